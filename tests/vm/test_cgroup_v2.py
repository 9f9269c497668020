"""The engine on a kernel that has cgroup v2 and nothing else, as most users' machines do."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm import machine
from tests.vm.tree import REPOSITORY

pytestmark = pytest.mark.vm

PYTHON = sys.executable
BOOT_TIMEOUT_S = 60
KERNEL_TESTS_TIMEOUT_S = 400
QUICKSTART_TIMEOUT_S = 120


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if reason := machine.missing():
        pytest.skip(reason)
    disk = machine.build_disk(tmp_path_factory.mktemp("vm"))
    yield disk
    disk.unlink()


@pytest.mark.timeout(BOOT_TIMEOUT_S + 30)
def test_the_machine_has_every_controller_below_v2_and_tells_exit_statuses(disk: Path) -> None:
    command = "mount -t cgroup; cat /sys/fs/cgroup/cgroup.controllers; exit 42"

    outcome = machine.run(disk, command, timeout_s=BOOT_TIMEOUT_S)

    assert outcome.status == 42
    v1_mounts, _, controllers = outcome.output.rstrip("\n").rpartition("\n")
    assert v1_mounts == ""
    assert {"cpu", "cpuset", "io", "memory", "pids"} <= set(controllers.split())


@pytest.mark.timeout(KERNEL_TESTS_TIMEOUT_S + 30)
def test_the_kernel_tests_pass(disk: Path) -> None:
    # In a network namespace, as on the host: the tests refuse to run in the machine's own.
    command = (
        f"cd {REPOSITORY} && exec unshare --net --mount sh -c "
        f"'ip link set lo up; exec {PYTHON} -m pytest tests/kernel -p no:cacheprovider --durations=10 --timeout=300'"
    )

    outcome = machine.run(
        disk, command, timeout_s=KERNEL_TESTS_TIMEOUT_S, environment={"SHIPSLOG_PATIENCE": "15"}
    )

    sys.stdout.write(outcome.output)
    assert outcome.status == 0


@pytest.mark.timeout(QUICKSTART_TIMEOUT_S + 30)
def test_quickstart_runs_to_its_end(disk: Path) -> None:
    outcome = machine.run(
        disk, f"exec {PYTHON} -m engine.cli quickstart", timeout_s=QUICKSTART_TIMEOUT_S
    )

    sys.stdout.write(outcome.output)
    assert outcome.status == 0
