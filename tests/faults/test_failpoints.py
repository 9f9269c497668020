"""Fail at every registered point, or die there and start again: neither loses an order or leaves
anything behind.
"""

import http.client
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.runtime.init import INIT_STEPS
from tests.faults import failpoint_names as points
from tests.faults.conftest import STOPS_AT_ONCE
from tests.faults.lifecycle import Lifecycle
from tests.harness.client import Refused
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

IN_THE_DAEMON = points.where(lambda name: not name.startswith("init_"))
IN_THE_CONTAINER = points.where(lambda name: name.startswith("init_"))
OF_INIT = {f"init_{name}" for name, _ in INIT_STEPS}
"""The other steps belong to execs alone."""


@pytest.fixture
def failing_daemon(place: Path) -> Iterator[DaemonUnderTest]:
    """Make a data root with an image, and no running daemon."""
    with DaemonUnderTest(place, forked=True) as daemon:
        daemon.start().import_busybox()
        daemon.kill()
        yield daemon


def test_the_points_are_found() -> None:
    assert {"before_Launch", "after_RemoveDirectory", "concluded", "init_execute"} <= set(
        points.registered()
    )


@pytest.mark.parametrize("point", IN_THE_DAEMON)
def test_a_daemon_that_dies_there_starts_again_and_converges(
    failing_daemon: DaemonUnderTest, point: str
) -> None:
    failing_daemon.start(f"{point}=die")
    lifecycle = Lifecycle(failing_daemon)

    assert lifecycle.run(), f"{point} was never passed"

    assert failing_daemon.wait_for_death() == -signal.SIGKILL
    failing_daemon.start()
    lifecycle.check()
    lifecycle.live_on()


def test_a_container_goes_on_when_the_daemon_dies_while_it_is_committed(
    failing_daemon: DaemonUnderTest,
) -> None:
    failing_daemon.start("commit_layer_made=die")
    failing_daemon.api.run("held", *STOPS_AT_ONCE)
    images = failing_daemon.api.get("/images/json")

    with pytest.raises((OSError, http.client.HTTPException)):
        failing_daemon.api.post("/commit", container="held", repo="half")

    assert failing_daemon.wait_for_death() == -signal.SIGKILL
    failing_daemon.start()
    eventually(lambda: failing_daemon.api.status("held") == "running", "it goes on")
    assert failing_daemon.api.get("/images/json") == images
    failing_daemon.api.remove("held")
    failing_daemon.assert_nothing_leaked()


@pytest.mark.parametrize("point", IN_THE_DAEMON)
def test_what_fails_there_once_is_refused_or_retried_and_works_then(
    failing_daemon: DaemonUnderTest, point: str
) -> None:
    failing_daemon.start(f"{point}=fail")
    lifecycle = Lifecycle(failing_daemon)

    assert not lifecycle.run(again=True)

    assert failing_daemon.answers
    lifecycle.check()
    lifecycle.live_on()


@pytest.mark.parametrize("point", IN_THE_CONTAINER)
def test_a_process_that_dies_there_is_one_that_did_not_start(
    failing_daemon: DaemonUnderTest, point: str
) -> None:
    failing_daemon.start(f"{point}=die")
    identity = failing_daemon.api.create("stillborn", *STOPS_AT_ONCE)

    if point in OF_INIT:
        with pytest.raises(Refused) as refusal:
            failing_daemon.api.start(identity)
        assert failing_daemon.api.inspect(identity)["State"]["Error"] == refusal.value.message != ""
        assert failing_daemon.api.status(identity) in ("created", "exited")
    else:
        failing_daemon.api.start(identity)
        exec_id = failing_daemon.api.create_exec(identity, "true")
        failing_daemon.api.post(f"/exec/{exec_id}/start", {"Detach": True})
        ended = failing_daemon.api.get(f"/exec/{exec_id}/json")
        assert (ended["Running"], ended["ExitCode"]) == (False, 128 + signal.SIGKILL)

    failing_daemon.api.remove(identity)
    failing_daemon.assert_nothing_leaked()
