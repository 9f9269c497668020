"""At every registered point: fail there, or die there and start again. Neither costs an order or
leaves anything behind."""

import http.client
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.runtime.init import INIT_STEPS
from tests.faults import failpoint_names as points
from tests.faults.conftest import STOPS_AT_ONCE
from tests.faults.lifecycle import Story
from tests.harness.client import Refused
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

IN_THE_DAEMON = points.where(lambda name: not name.startswith("init_"))
IN_THE_CONTAINER = points.where(lambda name: name.startswith("init_"))
OF_INIT = {f"init_{name}" for name, _ in INIT_STEPS}
"""The others are steps of an exec alone."""


@pytest.fixture
def harbour(place: Path) -> Iterator[DaemonUnderTest]:
    """A data root with an image, and no daemon."""
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
    harbour: DaemonUnderTest, point: str
) -> None:
    harbour.start(f"{point}=die")
    story = Story(harbour)

    assert story.tell(), f"{point} was never passed"

    assert harbour.bury() == -signal.SIGKILL
    harbour.start()
    story.check()
    story.live_on()


def test_a_container_goes_on_when_the_daemon_dies_while_it_is_committed(
    harbour: DaemonUnderTest,
) -> None:
    harbour.start("commit_layer_made=die")
    harbour.api.run("held", *STOPS_AT_ONCE)
    images = harbour.api.get("/images/json")

    with pytest.raises((OSError, http.client.HTTPException)):
        harbour.api.post("/commit", container="held", repo="half")

    assert harbour.bury() == -signal.SIGKILL
    harbour.start()
    eventually(lambda: harbour.api.status("held") == "running", "it goes on")
    assert harbour.api.get("/images/json") == images
    harbour.api.remove("held")
    harbour.assert_nothing_leaked()


@pytest.mark.parametrize("point", IN_THE_DAEMON)
def test_what_fails_there_once_is_refused_or_retried_and_works_then(
    harbour: DaemonUnderTest, point: str
) -> None:
    harbour.start(f"{point}=fail")
    story = Story(harbour)

    assert not story.tell(again=True)

    assert harbour.answers
    story.check()
    story.live_on()


@pytest.mark.parametrize("point", IN_THE_CONTAINER)
def test_a_process_that_dies_there_is_one_that_did_not_start(
    harbour: DaemonUnderTest, point: str
) -> None:
    harbour.start(f"{point}=die")
    identity = harbour.api.create("stillborn", *STOPS_AT_ONCE)

    if point in OF_INIT:
        with pytest.raises(Refused) as refusal:
            harbour.api.start(identity)
        assert harbour.api.inspect(identity)["State"]["Error"] == refusal.value.message != ""
        assert harbour.api.status(identity) in ("created", "exited")
    else:
        harbour.api.start(identity)
        exec_id = harbour.api.create_exec(identity, "true")
        harbour.api.post(f"/exec/{exec_id}/start", {"Detach": True})
        ended = harbour.api.get(f"/exec/{exec_id}/json")
        assert (ended["Running"], ended["ExitCode"]) == (False, 128 + signal.SIGKILL)

    harbour.api.remove(identity)
    harbour.assert_nothing_leaked()
