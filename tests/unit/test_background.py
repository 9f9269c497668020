"""Test the common root of background loops.

Errors are logged once, delays grow and end with the first success.
"""

import errno
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice, pairwise

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from engine.background import Backoff, Loop, forever, until_done
from engine.errors import DriverError

NO_DISK = OSError(errno.EIO, "Input/output error")


def outcomes(*planned: Exception | None) -> tuple[Callable[[], Awaitable[None]], list[float]]:
    """Return a step with these outcomes, the last one for ever, and the times at which it is
    run.
    """
    at: list[float] = []

    async def step() -> None:
        outcome = planned[min(len(at), len(planned) - 1)]
        at.append(trio.current_time())
        await trio.sleep(1)
        if outcome is not None:
            raise outcome

    return step, at


def lived(seconds: float, body: Callable[[], Awaitable[object]]) -> None:
    async def main() -> None:
        with trio.move_on_after(seconds):
            await body()

    trio.run(main, clock=MockClock(autojump_threshold=0))


def rests(at: list[float]) -> Iterator[float]:
    """Return the times between the end of a step and the next one."""
    return (round(later - earlier - 1, 6) for earlier, later in pairwise(at))


def test_delays_grow_to_a_maximum() -> None:
    assert list(islice(Backoff(0.1, 3, 2).delays(), 5)) == pytest.approx([0.1, 0.3, 0.9, 2, 2])


def test_a_step_that_fails_is_tried_again_later_each_time() -> None:
    step, at = outcomes(NO_DISK)

    lived(100, lambda: forever(Loop.SWEEP, step, Backoff(1, 2, 10)))

    assert list(islice(rests(at), 6)) == [1, 2, 4, 8, 10, 10]


def test_a_step_that_succeeds_follows_at_once_and_ends_the_delays() -> None:
    step, at = outcomes(NO_DISK, NO_DISK, None, None, NO_DISK, None)

    lived(30, lambda: forever(Loop.SWEEP, step, Backoff(1, 2, 10)))

    assert list(islice(rests(at), 6)) == [1, 2, 0, 0, 1, 0]


def test_the_same_error_is_logged_once_and_its_end_too() -> None:
    step, _ = outcomes(*[NO_DISK] * 5, None)

    with capture_logs() as said:
        lived(100, lambda: forever(Loop.TRASH, step))

    assert [each["event"] for each in said] == [
        "background_loop_failed",
        "background_loop_recovered",
    ]
    assert said[0]["loop"] == "trash"
    assert "Input/output error" in said[0]["error"]


def test_another_error_is_another_line_and_a_cause_is_named() -> None:
    refused = DriverError("list bundles")
    refused.__cause__ = NO_DISK
    step, _ = outcomes(NO_DISK, refused, refused, None)

    with capture_logs() as said:
        lived(100, lambda: until_done(Loop.SWEEP, step))

    assert [each["error"] for each in said[:2]] == [
        "OSError: [Errno 5] Input/output error",
        "DriverError: list bundles",
    ]
    assert said[1]["cause"] == str(NO_DISK)
    assert len(said) == 3


def test_the_same_refusal_about_another_object_is_not_logged_again() -> None:
    refusals = [DriverError(f"sandbox {number}") for number in range(4)]
    for refusal in refusals:
        refusal.__cause__ = NO_DISK
    step, _ = outcomes(*refusals, None)

    with capture_logs() as said:
        lived(100, lambda: until_done(Loop.SANDBOX_POOL, step))

    assert [each.get("error") for each in said] == ["DriverError: sandbox 0", None]


def test_only_our_own_bugs_have_a_traceback() -> None:
    step, _ = outcomes(NO_DISK, KeyError("view"), ExceptionGroup("two", [ValueError()]), None)

    with capture_logs() as said:
        lived(100, lambda: until_done(Loop.SWEEP, step))

    assert [each["exc_info"] for each in said[:3]] == [False, True, True]


def test_a_job_is_done_once() -> None:
    step, at = outcomes(NO_DISK, None)

    lived(100, lambda: until_done(Loop.IMAGE_COLLECTOR, step))

    assert len(at) == 2


def test_a_step_without_a_checkpoint_can_be_cancelled() -> None:
    async def busy() -> None:
        """Succeeds at once."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(forever, Loop.SWEEP, busy)
            nursery.cancel_scope.cancel()

    trio.run(main)
