"""Test lanes: each container has its own queue, and a thread that hangs is abandoned, counted, and
blocks nothing else.
"""

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import trio
import trio.lowlevel
import trio.testing

from engine.domain.ids import ContainerId
from engine.drivers.lanes import (
    FAMILY_THREADS_MAX,
    HANGING_EACH_MAX,
    Family,
    Lanes,
    check_abandoned,
)
from engine.errors import DriverError

ONE, OTHER = ContainerId("1" * 64), ContainerId("2" * 64)


@pytest.fixture
def mount() -> Iterator[threading.Event]:
    """Provide what hanging work waits for; at the end it answers."""
    event = threading.Event()
    yield event
    event.set()


async def give_up(lanes: Lanes, container: ContainerId, mount: threading.Event) -> None:
    """Let a thread hang, and cancel its caller."""
    hangs = threading.Event()

    def work() -> None:
        hangs.set()
        mount.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lanes.run_for, container, work)
        await trio.to_thread.run_sync(hangs.wait)
        nursery.cancel_scope.cancel()


def test_a_thread_that_hangs_is_counted_and_the_next_work_gets_another(
    mount: threading.Event,
) -> None:
    async def main() -> None:
        lanes = Lanes(grace_s=0)
        await give_up(lanes, ONE, mount)
        assert (lanes.hanging(ONE), lanes.hanging(OTHER), lanes.abandoned_count) == (1, 0, 1)
        assert await lanes.run_for(ONE, lambda: "done") == "done"
        mount.set()
        while lanes.hanging(ONE):
            await trio.lowlevel.checkpoint()
        assert lanes.abandoned_count == 1

    trio.run(main)


def test_more_hanging_threads_than_the_limit_stop_no_other_container(
    mount: threading.Event,
) -> None:
    async def main() -> None:
        lanes = Lanes(grace_s=0)
        for number in range(FAMILY_THREADS_MAX + 1):
            await give_up(lanes, ContainerId(f"{number:064}"), mount)
        assert await lanes.run_for(ONE, lambda: "done") == "done"

    trio.run(main)


def test_a_container_with_many_hanging_threads_gets_no_more(mount: threading.Event) -> None:
    async def main() -> None:
        lanes = Lanes(grace_s=0)
        for _ in range(HANGING_EACH_MAX):
            lanes.refuse_hanging(ONE)
            await give_up(lanes, ONE, mount)
        with pytest.raises(DriverError, match="doesn't answer"):
            lanes.refuse_hanging(ONE)
        lanes.refuse_hanging(OTHER)

    trio.run(main)


def test_work_that_ends_soon_after_its_caller_is_not_abandoned(mount: threading.Event) -> None:
    async def main() -> None:
        lanes, discarded = Lanes(grace_s=60), list[bool]()
        begun = threading.Event()

        def work() -> bool:
            begun.set()
            return mount.wait()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(lanes.run_for, ONE, work, discard=discarded.append))
            await trio.to_thread.run_sync(begun.wait)
            nursery.cancel_scope.cancel()
            nursery.start_soon(to_thread_anyway, mount.set)
        assert (lanes.hanging(ONE), lanes.abandoned_count, discarded) == (0, 0, [True])

    trio.run(main)


async def to_thread_anyway(function: Callable[[], None]) -> None:
    """Call a function although the caller is cancelled."""
    with trio.CancelScope(shield=True):
        await trio.to_thread.run_sync(function)


def test_what_abandoned_work_returns_is_discarded(mount: threading.Event) -> None:
    discarded = threading.Event()

    async def main() -> None:
        lanes = Lanes(grace_s=0)
        begun = threading.Event()

        def work() -> threading.Event:
            begun.set()
            mount.wait()
            return discarded

        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(lanes.run_for, ONE, work, discard=threading.Event.set))
            await trio.to_thread.run_sync(begun.wait)
            nursery.cancel_scope.cancel()
        assert lanes.hanging(ONE) == 1
        assert not discarded.is_set()
        mount.set()
        assert await trio.to_thread.run_sync(partial(discarded.wait, 10))

    trio.run(main)


def test_work_that_was_cancelled_before_it_began_counts_as_nothing() -> None:
    async def main() -> None:
        lanes = Lanes(grace_s=0)
        with trio.CancelScope() as scope:
            scope.cancel()
            await lanes.run_for(ONE, lambda: pytest.fail("it was to be left undone"))
        assert (lanes.hanging(ONE), lanes.abandoned_count) == (0, 0)

    trio.run(main)


def test_work_that_was_abandoned_goes_no_further(mount: threading.Event) -> None:
    done: list[str] = []
    hangs, ended = threading.Event(), threading.Event()

    def work() -> None:
        hangs.set()
        mount.wait()
        try:
            check_abandoned()
            done.append("changed something")
        finally:
            ended.set()

    async def main() -> None:
        lanes = Lanes(grace_s=0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lanes.run_for, ONE, work)
            await trio.to_thread.run_sync(hangs.wait)
            nursery.cancel_scope.cancel()
        mount.set()
        await trio.to_thread.run_sync(ended.wait)

    trio.run(main)
    assert not done


def test_a_container_has_one_thread_at_a_time_but_kills_do_not_wait(
    mount: threading.Event,
) -> None:
    order: list[str] = []

    async def main() -> None:
        lanes = Lanes(grace_s=0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lanes.run_for, ONE, mount.wait)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(lanes.run_for, ONE, lambda: order.append("second"))
            await lanes.run_for(ONE, lambda: order.append("kill"), Family.KILLS)
            await lanes.run_for(OTHER, lambda: order.append("other"))
            mount.set()

    trio.run(main)
    assert order == ["kill", "other", "second"]
