"""Test a reboot of the machine: everything that ran is recorded as ended by it, once, and the
restart policies apply.

No hook in the engine: the test's own mount namespace has another file over
/proc/sys/kernel/random/boot_id, and everything that a reboot ends has been ended.
"""

import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.faults.conftest import STOPS_AT_ONCE
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

Reboot = Callable[[DaemonUnderTest], None]


@pytest.fixture(params=["tmpfs", "disk"])
def reboot(request: pytest.FixtureRequest, place: Path) -> Iterator[Reboot]:
    """Simulate a reboot, with the exec root on a tmpfs as intended, or on a disk."""
    boots: list[Path] = []

    def perform(daemon: DaemonUnderTest) -> None:
        daemon.power_off()
        if request.param == "tmpfs":
            shutil.rmtree(daemon.exec_root)
        boot = place / f"boot-{len(boots)}"
        boot.write_text(f"{uuid.uuid4()}\n")
        subprocess.run(["mount", "--bind", boot, BOOT_ID], check=True)
        boots.append(boot)

    yield perform
    for _ in boots:
        subprocess.run(["umount", BOOT_ID], check=True)


def test_what_ran_was_ended_by_the_reboot_and_is_recorded_once(
    daemon: DaemonUnderTest, reboot: Reboot
) -> None:
    ran = daemon.api.run("ran", *STOPS_AT_ONCE)
    paused = daemon.api.run("paused", *STOPS_AT_ONCE)
    daemon.api.post(f"/containers/{paused}/pause")
    stopped = daemon.api.run("stopped", "sh", "-c", "exit 3")
    daemon.api.wait(stopped)
    executed = daemon.api.exec_detached(ran, *STOPS_AT_ONCE)

    reboot(daemon)
    daemon.start()

    for identity in (ran, paused):
        state = daemon.api.inspect(identity)["State"]
        assert (state["Status"], state["Pid"], state["ExitCode"]) == ("exited", 0, 255)
    assert daemon.api.inspect(stopped)["State"]["ExitCode"] == 3
    assert daemon.api.get(f"/exec/{executed}/json")["Running"] is False
    daemon.restart()
    for identity, reason in ((ran, "reboot"), (paused, "reboot"), (stopped, "exited")):
        (exited,) = daemon.api.history(identity, type="container_exited")
        assert exited["data"]["reason"] == reason
    daemon.assert_settled()


def test_a_container_with_policy_always_is_restarted(
    daemon: DaemonUnderTest, reboot: Reboot
) -> None:
    policy = {"RestartPolicy": {"Name": "always"}}
    always = daemon.api.run("always", *STOPS_AT_ONCE, HostConfig=policy)
    once = daemon.api.run("once", *STOPS_AT_ONCE)

    reboot(daemon)
    daemon.start()

    eventually(lambda: daemon.api.status(always) == "running", "it runs again")
    assert daemon.api.status(once) == "exited"
    assert daemon.api.exec_output(always, "echo", "back") == (0, b"back\n")
    daemon.assert_settled()
    daemon.api.start(once)
    daemon.assert_settled()
    assert daemon.api.verify()["ok"]


def test_a_container_with_rm_is_removed_at_its_end(daemon: DaemonUnderTest, reboot: Reboot) -> None:
    identity = daemon.api.run("fleeting", *STOPS_AT_ONCE, HostConfig={"AutoRemove": True})

    reboot(daemon)
    daemon.start()

    eventually(lambda: not daemon.api.ps(), "it is removed")
    assert daemon.api.event_types(identity)[-1] == "container_removed"
    daemon.assert_nothing_leaked()


def test_a_second_reboot_is_another_end(daemon: DaemonUnderTest, reboot: Reboot) -> None:
    identity = daemon.api.run("twice", *STOPS_AT_ONCE)
    for _ in range(2):
        reboot(daemon)
        daemon.start()
        eventually(lambda: daemon.api.status(identity) == "exited", "ended by the reboot")
        daemon.api.start(identity)

    exits = daemon.api.history(identity, type="container_exited")
    assert [each["data"]["reason"] for each in exits] == ["reboot", "reboot"]
