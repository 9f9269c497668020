"""Test that a stuck container affects no other. casebook 14."""

import os
import signal
import statistics
import time
from typing import Final

import pytest

from tests.faults.conftest import STOPS_AT_ONCE
from tests.harness.conditions import eventually, wait_until_gone
from tests.harness.daemon import DaemonUnderTest

LISTINGS: Final = 100
SLOWER_MAX: Final = 4.0
"""How much slower a listing may get. Waiting for a monitor would make it a thousand times
slower.
"""


def median_listing_s(daemon: DaemonUnderTest) -> float:
    times = []
    for _ in range(LISTINGS):
        began = time.perf_counter()
        daemon.api.ps()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def get_stuck(daemon: DaemonUnderTest, container: str) -> int:
    """Stop a container's monitor and make its worker wait for it; return the monitor's pid."""
    monitor = daemon.monitor_pid(container)
    os.kill(monitor, signal.SIGSTOP)
    with pytest.raises(TimeoutError):  # a signal that the monitor would have to send
        daemon.api.request("POST", f"/containers/{container}/kill", signal="HUP", timeout_s=0.2)
    return monitor


def test_listing_stays_quick_and_other_containers_keep_running(daemon: DaemonUnderTest) -> None:
    stuck = daemon.api.run("stuck", *STOPS_AT_ONCE)
    other = daemon.api.run("other", *STOPS_AT_ONCE)
    before_s = median_listing_s(daemon)
    get_stuck(daemon, stuck)

    while_stuck_s = median_listing_s(daemon)

    assert while_stuck_s < before_s * SLOWER_MAX
    assert daemon.api.exec_output(other, "echo", "here") == (0, b"here\n")
    third = daemon.api.run("third", *STOPS_AT_ONCE)
    daemon.api.stop(other)
    daemon.api.remove(other)
    daemon.api.remove(third)
    assert daemon.api.status(stuck) == "running"


def test_the_stuck_one_can_be_removed_by_force(daemon: DaemonUnderTest) -> None:
    stuck = daemon.api.run("stuck", *STOPS_AT_ONCE)
    monitor = get_stuck(daemon, stuck)

    daemon.api.remove(stuck)

    wait_until_gone(monitor)
    assert daemon.api.ps() == []
    daemon.assert_nothing_leaked()


def test_the_stuck_one_goes_on_where_it_stood(daemon: DaemonUnderTest) -> None:
    stuck = daemon.api.run(
        "stuck", "sh", "-c", "trap 'echo heard' HUP; while :; do sleep 1000 & wait $!; done"
    )
    monitor = get_stuck(daemon, stuck)

    os.kill(monitor, signal.SIGCONT)

    eventually(lambda: daemon.api.logs(stuck) == b"heard\n", "the signal arrives", within_s=20)
    daemon.api.stop(stuck, timeout_s=1)
    assert daemon.api.logs(stuck) == b"heard\n"
    daemon.assert_settled()


def test_a_daemon_starts_beside_a_stuck_monitor(daemon: DaemonUnderTest) -> None:
    stuck = daemon.api.run("stuck", *STOPS_AT_ONCE)
    get_stuck(daemon, stuck)

    daemon.restart()

    assert daemon.api.status(stuck) == "running"
    daemon.api.run("other", *STOPS_AT_ONCE)
    daemon.api.remove(stuck)
    daemon.assert_settled()
