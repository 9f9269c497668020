"""Lanes: each container has its own queue, and a thread that hangs is given up, counted, and holds
nobody."""

import threading
from collections.abc import Iterator

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
    """What hanging work waits for; at the end it answers."""
    event = threading.Event()
    yield event
    event.set()


async def give_up(lanes: Lanes, container: ContainerId, mount: threading.Event) -> None:
    """Have a thread hang, and its caller lose patience."""
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
        lanes = Lanes()
        await give_up(lanes, ONE, mount)
        assert (lanes.hanging(ONE), lanes.hanging(OTHER), lanes.abandoned_count) == (1, 0, 1)
        assert await lanes.run_for(ONE, lambda: "done") == "done"
        mount.set()
        while lanes.hanging(ONE):
            await trio.lowlevel.checkpoint()
        assert lanes.abandoned_count == 1

    trio.run(main)


def test_more_hanging_threads_than_the_cap_stop_nobody(mount: threading.Event) -> None:
    async def main() -> None:
        lanes = Lanes()
        for number in range(FAMILY_THREADS_MAX + 1):
            await give_up(lanes, ContainerId(f"{number:064}"), mount)
        assert await lanes.run_for(ONE, lambda: "done") == "done"

    trio.run(main)


def test_a_container_with_many_hanging_threads_gets_no_more(mount: threading.Event) -> None:
    async def main() -> None:
        lanes = Lanes()
        for _ in range(HANGING_EACH_MAX):
            lanes.refuse_hanging(ONE)
            await give_up(lanes, ONE, mount)
        with pytest.raises(DriverError, match="doesn't answer"):
            lanes.refuse_hanging(ONE)
        lanes.refuse_hanging(OTHER)

    trio.run(main)


def test_work_that_was_given_up_goes_no_further(mount: threading.Event) -> None:
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
        lanes = Lanes()
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
        lanes = Lanes()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lanes.run_for, ONE, mount.wait)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(lanes.run_for, ONE, lambda: order.append("second"))
            await lanes.run_for(ONE, lambda: order.append("kill"), Family.KILLS)
            await lanes.run_for(OTHER, lambda: order.append("other"))
            mount.set()

    trio.run(main)
    assert order == ["kill", "other", "second"]
