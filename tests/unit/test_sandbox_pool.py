"""The pool has what will be wanted next, never more than it may, and nothing at an address that somebody else has."""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio
from trio.testing import trio_test, wait_all_tasks_blocked

from engine.domain.ids import NetworkId, SandboxId
from engine.drivers.lanes import Lanes
from engine.drivers.networks.sandbox import Sandbox
from engine.drivers.networks.sandbox_pool import Attendants, Prepared, SandboxPool

FRONT, BACK = NetworkId("f" * 64), NetworkId("b" * 64)


@dataclass
class Kernel:
    """The sandboxes that there are, in the order in which they were made."""

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
    """Everything at once and where it is called."""

    async def run(self, lane, function):  # type: ignore[no-untyped-def]  # the base's signature
        await trio.lowlevel.checkpoint()
        return function()


@asynccontextmanager
async def running(kernel: Kernel, most: int = 8) -> AsyncIterator[SandboxPool]:
    attendants = Attendants(prepared=kernel.serve, thrown_away=kernel.end_serving)
    pool = SandboxPool(kernel, InlineLanes(), attendants, most)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pool.run)
        yield pool
        nursery.cancel_scope.cancel()


def places(*addresses: str) -> list[Prepared]:
    return [Prepared((each,), Sandbox) for each in addresses]


@trio_test
async def test_what_is_offered_is_prepared_and_taken_once() -> None:
    kernel = Kernel()
    async with running(kernel) as pool:
        pool.offer(FRONT, places("10.0.0.2", "10.0.0.3"))
        await wait_all_tasks_blocked()

        assert len(kernel.made) == 2
        assert pool.members == set(kernel.made) == kernel.served
        assert pool.take(FRONT, ("10.0.0.2",)) == kernel.made[0]
        assert pool.take(FRONT, ("10.0.0.2",)) is None
        assert pool.take(BACK, ("10.0.0.3",)) is None
        assert pool.members == {kernel.made[1]}


@trio_test
async def test_what_will_not_be_wanted_any_more_goes() -> None:
    kernel = Kernel()
    async with running(kernel) as pool:
        pool.offer(FRONT, places("10.0.0.2", "10.0.0.3"))
        await wait_all_tasks_blocked()
        second = pool.take(FRONT, ("10.0.0.3",))

        pool.offer(FRONT, places("10.0.0.4"))
        await wait_all_tasks_blocked()

        assert len(kernel.made) == 2
        assert second in kernel.made
        assert pool.members == set(kernel.made) - {second}


@trio_test
async def test_an_address_that_somebody_else_gets_is_nobodys_here() -> None:
    kernel = Kernel()
    async with running(kernel) as pool:
        pool.offer(FRONT, places("10.0.0.2", "10.0.0.3"))
        await wait_all_tasks_blocked()

        await pool.evict(FRONT, ("10.0.0.3", "fd00::3"))

        assert pool.take(FRONT, ("10.0.0.3",)) is None
        await wait_all_tasks_blocked()
        assert len(kernel.made) == 1
        assert pool.members == set(kernel.made)


@trio_test
async def test_nor_when_it_was_about_to_be() -> None:
    """An eviction waits for what is being prepared, which it can't prevent."""
    kernel = Kernel()
    async with running(kernel) as pool, trio.open_nursery() as nursery:
        kernel.before_making = lambda: nursery.start_soon(pool.evict, FRONT, ("10.0.0.2",))

        pool.offer(FRONT, places("10.0.0.2"))
        await wait_all_tasks_blocked()

        assert kernel.made == []
        assert pool.members == set()


@trio_test
async def test_no_network_starves_when_there_is_not_enough_for_all() -> None:
    async with running(Kernel(), most=3) as pool:
        pool.offer(FRONT, places("10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"))
        pool.offer(BACK, places("10.1.0.2"))
        await wait_all_tasks_blocked()

        assert len(pool.members) == 3
        assert pool.take(BACK, ("10.1.0.2",))


@trio_test
async def test_a_network_that_goes_leaves_none() -> None:
    kernel = Kernel()
    async with running(kernel) as pool:
        pool.offer(FRONT, places("10.0.0.2"))
        pool.offer(BACK, places("10.1.0.2"))
        await wait_all_tasks_blocked()

        await pool.forget(FRONT)

        await wait_all_tasks_blocked()
        assert pool.members == set(kernel.made)
        assert {pool.take(BACK, ("10.1.0.2",))} == set(kernel.made)


@trio_test
async def test_who_ends_in_good_order_leaves_none() -> None:
    kernel = Kernel()
    async with running(kernel) as pool:
        pool.offer(FRONT, places("10.0.0.2", "10.0.0.3"))
        await wait_all_tasks_blocked()

        await pool.empty()

        await wait_all_tasks_blocked()
        assert kernel.made == []
        assert pool.members == set()
