"""Test how a container ends before it has started, and with its monitor."""

import contextlib
import errno
import os
import select
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.runtime import init
from engine.runtime.bundle import Bundle
from tests.kernel.runtime import bundles
from tests.kernel.runtime.bundles import RunContainer, shell


def test_it_dies_with_its_monitor(make: Callable[..., Bundle], tmp_path: Path) -> None:
    def act(monitor: bundles.Monitor) -> int:
        return monitor.init().pid  # in the monitor's own namespace: a pid of the host's

    pid = bundles.in_monitor(make("sleep", "60"), act)

    with contextlib.suppress(ProcessLookupError):
        select.select([os.pidfd_open(pid)], [], [])


@pytest.mark.parametrize("action", ["fail", "die"])
@pytest.mark.parametrize("step", [name for name, _ in init.INIT_STEPS])
def test_failing_or_dying_at_any_step_leaves_nothing(
    make: Callable[..., Bundle], monkeypatch: pytest.MonkeyPatch, step: str, action: str
) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    monkeypatch.setattr(init, "failpoint", bundles.breaks_at(f"init_{step}", action))
    seen = bundles.run(make("true", process={"cwd": "/new"}))

    assert Path("/proc/self/mountinfo").read_text() == before
    if action == "die":
        assert (seen.code, seen.report) == (bundles.DIED, {})
    else:
        assert (seen.code, seen.report["step"], seen.report["errno"]) == (125, step, errno.EIO)


def test_a_limit_that_the_kernel_refuses_is_reported(run: RunContainer) -> None:
    limits = [{"type": "RLIMIT_NOFILE", "soft": 1 << 40, "hard": 1 << 40}]
    seen = run("true", process={"rlimits": limits})

    assert seen.report["message"] == (
        "error setting rlimits for ready process: error setting rlimit type 7: operation not permitted"
    )


def test_as_many_layers_as_docker_allows_are_mounted(
    run: RunContainer, image: Path, tmp_path: Path
) -> None:
    layers = []
    for number in range(127):
        layer = tmp_path / "layers" / f"{number:024x}"
        layer.mkdir(parents=True)
        (layer / f"layer-{number}").touch()
        layers.append(str(layer))
    base = tmp_path / "layers" / "b"
    base.symlink_to(image)
    overlay = {
        "lower": [*layers, str(base)],
        "upper": str(tmp_path / "bundle/upper"),
        "work": str(tmp_path / "bundle/work"),
    }
    seen = run(*shell("ls -d /layer-* | wc -l"), monitor={"overlay": overlay})

    assert seen.output == "127\n"


def test_layers_may_have_awkward_names(run: RunContainer, tmp_path: Path) -> None:
    layer = bundles.busybox_root(tmp_path / "a,b:c\\d" / "e:f,g")
    (layer / "it").touch()
    overlay = {
        "lower": [str(layer)],
        "upper": str(tmp_path / "bundle/upper"),
        "work": str(tmp_path / "bundle/work"),
    }
    seen = run("ls", "/it", monitor={"overlay": overlay})

    assert seen.output == "/it\n"
