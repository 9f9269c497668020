"""Test what an exec sees of its container."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.drivers.runs.seccomp import SeccompPrograms
from engine.runtime import init
from tests.kernel.runtime import bundles
from tests.kernel.runtime.bundles import Outcome, config, shell

Exec = Callable[..., Outcome]


@pytest.fixture
def execute(image: Path, tmp_path: Path) -> Exec:
    """Start a container that sleeps, run one command in it, and end both."""
    made = bundles.bundle(tmp_path / "bundle", image, config("sleep", "60"))

    def execute(*args: str, **changes: Any) -> Outcome:
        def act(monitor: bundles.Monitor) -> Outcome:
            first = monitor.init()
            seen = monitor.exec(*args, **changes)
            first.kill()
            return seen

        return Outcome(*bundles.in_monitor(made, act))

    return execute


def test_it_is_in_every_namespace_of_the_first(execute: Exec) -> None:
    kinds = ("cgroup", "ipc", "mnt", "net", "pid", "uts")
    seen = execute(
        *shell(
            "; ".join(
                f"readlink /proc/1/ns/{kind}; readlink /proc/self/ns/{kind}" for kind in kinds
            )
        )
    ).lines

    assert seen[::2] == seen[1::2]
    assert len(set(seen)) == len(kinds)
    assert not set(seen) & {bundles.link(f"/proc/self/ns/{kind}") for kind in kinds}


def test_its_root_and_working_directory_are_the_containers(execute: Exec) -> None:
    seen = execute(
        *shell("readlink /proc/$$/root; readlink /proc/$$/cwd; cat /etc/passwd | head -n 1"),
        cwd="/etc",
    )

    assert seen.lines == ["/", "/etc", "root:x:0:0:root:/root:/bin/sh"]


def test_it_leads_a_session_and_has_only_its_stdio(execute: Exec) -> None:
    seen = execute(*shell("cut -d' ' -f 4,6 /proc/$$/stat; echo $$; ls /proc/$$/fd; true"))

    ids, pid, *fds = seen.lines
    assert (ids, fds) == (f"0 {pid}", ["0", "1", "2"])


def test_its_capabilities_are_what_was_asked_for(execute: Exec) -> None:
    seen = execute("grep", "^Cap", "/proc/self/status")

    assert [line.split()[1] for line in seen.lines[1:4]] == ["00000000a80425fb"] * 3


def test_the_seccomp_filter_applies(execute: Exec, tmp_path: Path) -> None:
    program = SeccompPrograms(tmp_path / "programs").path("", ())
    seen = execute(
        *shell("grep Seccomp: /proc/self/status; unshare -U true"), seccomp_path=str(program)
    )

    assert seen.lines == ["Seccomp:\t2", "unshare: unshare(0x10000000): Operation not permitted"]


def test_its_user_is_looked_up_inside(execute: Exec) -> None:
    seen = execute(*shell("id; echo $HOME"), user={"username": "daemon"})

    assert seen.lines == ["uid=1(daemon) gid=1 groups=1,10(wheel),63(audio)", "/var"]


def test_a_terminal_is_its_own_and_the_console_is_not(execute: Exec) -> None:
    process = {"terminal": True, "consoleSize": {"height": 7, "width": 9}}
    seen = execute(
        *shell("tty; stty size; ls /dev/console; cut -d' ' -f 7 /proc/$$/stat"), **process
    )

    assert seen.lines == [
        "/dev/pts/0",
        "7 9",
        "ls: /dev/console: No such file or directory",
        "34816",
    ]


@pytest.mark.parametrize(
    ("args", "changes", "code", "message"),
    [
        (["nope"], {}, 127, 'exec: "nope": executable file not found in $PATH'),
        (["/nope"], {}, 127, 'exec: "/nope": stat /nope: no such file or directory'),
        (["/etc"], {}, 126, 'exec: "/etc": permission denied'),
        (["true"], {"cwd": "/nope"}, 127, 'chdir to cwd ("/nope") set in config.json failed: no such file or directory'),
        (["true"], {"cwd": "/etc/passwd"}, 126, 'chdir to cwd ("/etc/passwd") set in config.json failed: not a directory'),
        (["true"], {"user": {"username": "nosuch"}}, 125, "unable to find user nosuch: no matching entries in passwd file"),
    ],
)  # fmt: skip
def test_what_can_not_run_is_refused_in_dockers_words(
    execute: Exec, args: list[str], changes: dict[str, Any], code: int, message: str
) -> None:
    seen = execute(*args, **changes)

    assert (seen.report["message"], seen.code) == (message, code)


def test_a_container_that_has_ended_can_not_be_joined(image: Path, tmp_path: Path) -> None:
    def act(monitor: bundles.Monitor) -> str:
        first = monitor.init()
        first.kill()
        first.wait()
        try:
            monitor.exec("true")
        except OSError as error:
            return error.strerror or ""
        return "joined"

    made = bundles.bundle(tmp_path / "bundle", image, config("sleep", "60"))

    assert bundles.in_monitor(made, act) in ("No such process", "Cannot allocate memory")


def test_the_joining_process_can_not_be_inspected_by_the_container(
    image: Path, tmp_path: Path
) -> None:
    """A process that opened the exe or a descriptor of the joining one would hold a part of the
    host (CVE-2016-9962).
    """

    def act(monitor: bundles.Monitor) -> Outcome:
        first = monitor.init()
        joiner = monitor.joiner_that_stops_at("init_identify")
        proc = f"/proc/{joiner.inside}"
        look = f"cat {proc}/exe; cat < {proc}/fd/0; ls {proc}/cwd/; ls {proc}/root/"
        seen = monitor.exec(*shell(look))
        joiner.kill()
        first.kill()
        return seen

    made = bundles.bundle(tmp_path / "bundle", image, config("sleep", "60"))
    seen = Outcome(*bundles.in_monitor(made, act))

    assert [line.rpartition(": ")[2] for line in seen.lines] == ["Permission denied"] * 4


@pytest.mark.parametrize("action", ["fail", "die"])
@pytest.mark.parametrize("step", [name for name, _ in init.EXEC_STEPS])
def test_failing_or_dying_at_any_step_leaves_the_container_alone(
    image: Path, tmp_path: Path, step: str, action: str
) -> None:
    def act(monitor: bundles.Monitor) -> tuple[Outcome, Outcome]:
        first = monitor.init()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(init, "failpoint", bundles.breaks_at(f"init_{step}", action))
            broken = monitor.exec("true")
        whole = monitor.exec("echo", "fine")
        first.kill()
        return broken, whole

    made = bundles.bundle(tmp_path / "bundle", image, config("sleep", "60"))
    broken, whole = (Outcome(*seen) for seen in bundles.in_monitor(made, act))

    assert broken.code == (bundles.DIED if action == "die" else 125)
    assert broken.report.get("step") == (None if action == "die" else step)
    assert whole.output == "fine\n"
