"""Test the pool: it has what will be wanted next, never more than its limit, and nothing at an
address that another container has.
"""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import MockClock, trio_test

from engine.domain.ids import NetworkId, SandboxId
from engine.drivers.lanes import Lanes
from engine.drivers.networks.sandbox import Sandbox
from engine.drivers.networks.sandbox_pool import (
    PAUSE_S,
    QUIET_S,
    PoolCallbacks,
    Prepared,
    SandboxPool,
)

FRONT, BACK = NetworkId("f" * 64), NetworkId("b" * 64)


@dataclass
class Kernel:
    """The existing sandboxes, in the order in which they were made."""

    made: list[SandboxId] = field(default_factory=list)
    served: set[SandboxId] = field(default_factory=set)
    before_making: Callable[[], None] = lambda: None

    def prepare_sandbox(self, sandbox: Sandbox) -> None:
        self.before_making()
        self.made.append(sandbox.id)

    def remove_sandboxes(self, unwanted: Collection[SandboxId]) -> None:
        assert self.served.isdisjoint(unwanted)
        self.made = [each for each in self.made if each not in unwanted]

    async def serve(self, _network: NetworkId, sandbox: SandboxId) -> None:
        await trio.lowlevel.checkpoint()
        self.served.add(sandbox)

    async def end_serving(self, sandbox: SandboxId) -> None:
        await trio.lowlevel.checkpoint()
        self.served.discard(sandbox)


class InlineLanes(Lanes):
    """Lanes that run everything at once, on the calling thread."""

    async def run(self, lane, function):  # type: ignore[no-untyped-def]  # the base's signature
        await trio.lowlevel.checkpoint()
        return function()


@pytest.fixture
def clock() -> MockClock:
    return MockClock(autojump_threshold=0)


async def quiet() -> None:
    """Return when nothing has been asked for so long that everything is prepared."""
    await trio.sleep(10 * QUIET_S)


@asynccontextmanager
async def running(kernel: Kernel, most: int = 8) -> AsyncIterator[SandboxPool]:
    callbacks = PoolCallbacks(after_creation=kernel.serve, before_removal=kernel.end_serving)
    pool = SandboxPool(kernel, InlineLanes(), callbacks, most)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pool.run)
        yield pool
        nursery.cancel_scope.cancel()


def places(*addresses: str) -> list[Prepared]:
    return [Prepared((each,), Sandbox) for each in addresses]


@trio_test
async def test_a_wanted_sandbox_is_prepared_and_taken_once(clock: MockClock) -> None:
    kernel = Kernel()
    async with running(kernel) as pool:
        pool.offer(FRONT, places("10.0.0.2", "10.0.0.3"))
        await quiet()

        assert len(kernel.made) == 2
        assert pool.members == set(kernel.made) == kernel.served
        assert pool.take(FRONT, ("10.0.0.2",)) == kernel.made[0]
        assert pool.take(FRONT, ("10.0.0.2",)) is None
        assert pool.take(BACK, ("10.0.0.3",)) is None
        assert pool.members == {kernel.made[1]}


@trio_test
async def test_sandboxes_that_are_no_longer_wanted_are_removed(clock: MockClock) -> None:
    kernel = Kernel()
    async with running(kernel) as pool:
        pool.offer(FRONT, places("10.0.0.2", "10.0.0.3"))
        await quiet()
        second = pool.take(FRONT, ("10.0.0.3",))

        pool.offer(FRONT, places("10.0.0.4"))
        await quiet()

        assert len(kernel.made) == 2
        assert second in kernel.made
        assert pool.members == set(kernel.made) - {second}


@trio_test
async def test_an_evicted_address_has_no_prepared_sandbox(clock: MockClock) -> None:
    kernel = Kernel()
    async with running(kernel) as pool:
        pool.offer(FRONT, places("10.0.0.2", "10.0.0.3"))
        await quiet()

        await pool.evict(FRONT, ("10.0.0.3", "fd00::3"))

        assert pool.take(FRONT, ("10.0.0.3",)) is None
        await quiet()
        assert len(kernel.made) == 1
        assert pool.members == set(kernel.made)


@trio_test
async def test_an_eviction_waits_for_a_preparation_and_discards_it(clock: MockClock) -> None:
    """An eviction waits for a preparation in progress, which it can't prevent."""
    kernel = Kernel()
    async with running(kernel) as pool, trio.open_nursery() as nursery:
        kernel.before_making = lambda: nursery.start_soon(pool.evict, FRONT, ("10.0.0.2",))

        pool.offer(FRONT, places("10.0.0.2"))
        await quiet()

        assert kernel.made == []
        assert pool.members == set()


@trio_test
async def test_every_network_gets_a_share_when_namespaces_are_scarce(clock: MockClock) -> None:
    async with running(Kernel(), most=3) as pool:
        pool.offer(FRONT, places("10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"))
        pool.offer(BACK, places("10.1.0.2"))
        await quiet()

        assert len(pool.members) == 3
        assert pool.take(BACK, ("10.1.0.2",))


@trio_test
async def test_a_removed_network_leaves_no_objects(clock: MockClock) -> None:
    kernel = Kernel()
    async with running(kernel) as pool:
        pool.offer(FRONT, places("10.0.0.2"))
        pool.offer(BACK, places("10.1.0.2"))
        await quiet()

        await pool.forget(FRONT)

        await quiet()
        assert pool.members == set(kernel.made)
        assert {pool.take(BACK, ("10.1.0.2",))} == set(kernel.made)


@trio_test
async def test_emptying_the_pool_removes_all_sandboxes(clock: MockClock) -> None:
    kernel = Kernel()
    async with running(kernel) as pool:
        pool.offer(FRONT, places("10.0.0.2", "10.0.0.3"))
        await quiet()

        await pool.empty()

        await quiet()
        assert kernel.made == []
        assert pool.members == set()


@trio_test
async def test_nothing_is_prepared_beside_a_start_that_found_what_it_needed(
    clock: MockClock,
) -> None:
    """The waiting client's container gets the processors first."""
    kernel = Kernel()
    async with running(kernel) as pool:
        pool.offer(FRONT, places("10.0.0.2", "10.0.0.3"))
        await quiet()
        pool.take(FRONT, ("10.0.0.2",))
        pool.offer(FRONT, places("10.0.0.3", "10.0.0.4"))

        await trio.sleep(QUIET_S - PAUSE_S)
        assert len(kernel.made) == 2, "made beside the start"

        await quiet()
        assert len(kernel.made) == 3


@trio_test
async def test_a_start_right_after_another_finds_the_address_that_came_free(
    clock: MockClock,
) -> None:
    """Nothing is made for the addresses that were wanted while the first one ran."""
    kernel = Kernel()
    async with running(kernel) as pool:
        pool.offer(FRONT, places("10.0.0.2", "10.0.0.3"))
        await quiet()
        for _ in range(3):
            assert pool.take(FRONT, ("10.0.0.2",))
            pool.offer(FRONT, places("10.0.0.3", "10.0.0.4"))
            await trio.sleep(PAUSE_S)
            pool.offer(FRONT, places("10.0.0.2", "10.0.0.3"))
            await trio.sleep(3 * PAUSE_S)

        assert len(kernel.made) == 5, "two at first, one after each start"


@trio_test
async def test_removals_alone_prepare_no_namespaces(clock: MockClock) -> None:
    kernel = Kernel()
    async with running(kernel) as pool:
        for last in range(9, 1, -1):
            pool.offer(FRONT, places(f"10.0.0.{last}"))
            await trio.sleep(2 * PAUSE_S)
        await quiet()

        assert len(kernel.made) == 1
