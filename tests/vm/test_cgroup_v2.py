"""Test the engine on a kernel that has cgroup v2 only, as most users' machines do.

An emulated processor is slow and there are usually two real ones: the kernel tests are divided
between two machines that run at the same time, and quickstart follows in the one that is done
first.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.vm import machine
from tests.vm.tree import REPOSITORY

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]

MACHINES_AT_ONCE: Final = 2
BOOT_TIMEOUT_S: Final = 60
QUICKSTART_TIMEOUT_S: Final = 180
KERNEL_TESTS_TIMEOUT_S: Final = 600
EMULATION: Final = {"SHIPSLOG_PATIENCE": "15"}  # how much slower a machine is when two of them work

FILES_ALONE: Final = frozenset(
    {
        "test_archives_made_by_others.py",
        "test_content.py",
        "test_layer_tar.py",
        "test_lean_imports.py",
        "test_log_disk.py",
        "test_log_follow.py",
        "test_log_rotation.py",
        "test_tar_stream.py",
        "test_unpack.py",
    }
)
"""These read and write files, which is the same on every kernel: the host has proved them."""
LEFT_OUT: Final = (
    # Tested by repetition, and on the host: a thousand repetitions take minutes in here.
    "tests/kernel/test_monitor_execs.py::test_a_thousand_execs_leave_a_monitor_as_it_was",
    "tests/kernel/test_launcher.py::test_a_hundred_short_containers_leave_the_launcher_as_it_was",
    # Need identifiers for files of cgroups, which Linux has since 6.6.
    "tests/kernel/cgroup/test_write_watch.py::test_a_move_of_a_process_is_heard_of[cgroup]",
    "tests/kernel/cgroup/test_write_watch.py::test_what_this_process_writes_is_no_news",
    # Needs a second interpreter, and the machine has one.
    "tests/kernel/test_launcher.py::test_a_sealed_copy_finds_its_library_and_prefix[/usr/bin/python3]",
)


@dataclass(frozen=True)
class Runs:
    """The results of the machines' commands."""

    boot: Future[machine.Outcome]
    kernel_tests: list[Future[machine.Outcome]]
    quickstart: Future[machine.Outcome]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    if reason := machine.missing():
        pytest.skip(reason)
    disk = machine.build_disk(tmp_path_factory.mktemp("vm"))
    # The pool's threads share only the disk, which no machine writes to.
    with ThreadPoolExecutor(MACHINES_AT_ONCE) as pool:

        def give(command: str, timeout_s: float) -> Future[machine.Outcome]:
            return pool.submit(
                machine.run, disk, command, timeout_s=timeout_s, environment=EMULATION
            )

        yield Runs(
            give("mount -t cgroup; cat /sys/fs/cgroup/cgroup.controllers; exit 42", BOOT_TIMEOUT_S),
            [give(_pytest(hand), KERNEL_TESTS_TIMEOUT_S) for hand in _dealt(_test_files())],
            give(f"exec {sys.executable} -m engine.cli quickstart", QUICKSTART_TIMEOUT_S),
        )
        pool.shutdown(cancel_futures=True)
    disk.unlink()


def test_the_machine_has_every_controller_below_v2_and_tells_exit_statuses(runs: Runs) -> None:
    outcome = runs.boot.result()

    assert outcome.status == 42
    v1_mounts, _, controllers = outcome.output.rstrip("\n").rpartition("\n")
    assert v1_mounts == ""
    assert {"cpu", "cpuset", "io", "memory", "pids"} <= set(controllers.split())


@pytest.mark.parametrize("hand", range(MACHINES_AT_ONCE))
def test_the_kernel_tests_pass(runs: Runs, hand: int) -> None:
    outcome = runs.kernel_tests[hand].result()

    sys.stdout.write(outcome.output)
    assert outcome.status == 0


def test_quickstart_runs_to_its_end(runs: Runs) -> None:
    outcome = runs.quickstart.result()

    sys.stdout.write(outcome.output)
    assert outcome.status == 0


def _test_files() -> list[Path]:
    """The kernel tests whose result may depend on the kernel."""
    found = sorted((REPOSITORY / "tests" / "kernel").rglob("test_*.py"))
    assert {each.name for each in found} >= FILES_ALONE
    return [each for each in found if each.name not in FILES_ALONE]


def _dealt(files: list[Path]) -> list[list[Path]]:
    """Divide the files among the machines, with about the same amount of text for each."""
    hands: list[list[Path]] = [[] for _ in range(MACHINES_AT_ONCE)]
    for file in sorted(files, key=lambda file: file.stat().st_size, reverse=True):
        min(hands, key=lambda hand: sum(other.stat().st_size for other in hand)).append(file)
    return hands


def _pytest(files: list[Path]) -> str:
    """Return the command for pytest in a network namespace, as on the host: the tests refuse to run
    in the machine's own.
    """
    names = " ".join(str(file.relative_to(REPOSITORY)) for file in files)
    left_out = " ".join(f"--deselect={name}" for name in LEFT_OUT)
    options = f"-p no:cacheprovider --durations=5 --timeout=300 {left_out}"
    return (
        f"cd {REPOSITORY} && exec unshare --net --mount sh -c "
        f"'ip link set lo up; exec {sys.executable} -m pytest {options} {names}'"
    )
