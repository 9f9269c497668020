"""Prepare network namespaces ahead of time, with the addresses that are next.

Addresses are given out in order, so the next ones are known: a start that finds its namespace here
has nothing to do on the network. A namespace that is not taken is removed; a crash leaves orphans,
which the next daemon removes.

Preparing takes processor time that could delay a client's container, so most of it waits until
nothing has been asked for during :data:`QUIET_S`. Only the next start's namespace is made sooner,
while one start follows another.
"""

import secrets
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Final, Protocol

import trio

from engine.background import Loop, forever
from engine.domain.ids import NetworkId, SandboxId
from engine.drivers.lanes import Lane, Lanes
from engine.drivers.networks.sandbox import Sandbox

QUIET_S: Final = 0.25
"""How long after the last start or change the other namespaces are prepared: longer than a short
container lives.
"""
PAUSE_S: Final = 0.015
"""How long the next start's namespace waits, so that the client that was just answered goes first.
"""

Key = tuple[str, ...]
"""The addresses of a namespace."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A namespace to prepare; its ID is chosen when it is made."""

    key: Key
    make: Callable[[SandboxId], Sandbox]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolCallbacks:
    """Other effects that belong to a namespace: one is called after it is made, the other before it
    is removed.
    """

    after_creation: Callable[[NetworkId, SandboxId], Awaitable[None]]
    before_removal: Callable[[SandboxId], Awaitable[None]]


class Driver(Protocol):
    """Makes and removes sandboxes; both methods block."""

    def prepare_sandbox(self, sandbox: Sandbox) -> None:
        """Create a sandbox."""

    def remove_sandboxes(self, unwanted: Collection[SandboxId]) -> None:
        """Remove these sandboxes."""


class SandboxPool:
    """Prepared sandboxes by network and address. All methods are for the trio thread."""

    def __init__(self, driver: Driver, lanes: Lanes, callbacks: PoolCallbacks, most: int) -> None:
        self._driver = driver
        self._lanes = lanes
        self._callbacks = callbacks
        self._most = most
        self._wanted: dict[NetworkId, dict[Key, Prepared]] = {}
        self._ready: dict[NetworkId, dict[Key, SandboxId]] = {}
        self._busy: set[SandboxId] = set()
        self._preparing: Key = ()
        self._taken_s = self._offered_s = float("-inf")
        """When a sandbox was last taken, and when the wanted ones last changed: trio's clock."""
        self._changed = trio.Event()
        self._lock = trio.Lock()

    @property
    def members(self) -> frozenset[SandboxId]:
        """The sandboxes that are ready, being prepared or being removed: they have no container but
        are no orphans.
        """
        ready = (each for group in self._ready.values() for each in group.values())
        return frozenset((*ready, *self._busy))

    def take(self, network: NetworkId, key: Key) -> SandboxId | None:
        """Take the sandbox prepared for these addresses, if there is one."""
        self._taken_s = trio.current_time()
        self._wanted.get(network, {}).pop(key, None)
        return self._ready.get(network, {}).pop(key, None)

    def offer(self, network: NetworkId, wanted: Sequence[Prepared]) -> None:
        """Set which sandboxes will be wanted next in a network, in order."""
        by_key = {each.key: each for each in wanted}
        if self._wanted.get(network, {}).keys() != by_key.keys():
            self._wanted[network] = by_key
            self._offered_s = trio.current_time()
            self._changed.set()

    async def evict(self, network: NetworkId, addresses: Collection[str]) -> None:
        """Remove prepared sandboxes with any of these addresses, which a container is about to get:
        both would answer to them.

        Raises:
            DriverError: the kernel refused.
        """

        def shares(key: Key) -> bool:
            return not set(addresses).isdisjoint(key)

        wanted = self._wanted.get(network, {})
        for key in tuple(filter(shares, wanted)):
            del wanted[key]
        ready = self._ready.get(network, {})
        if not any(map(shares, (*ready, self._preparing))):
            return
        async with self._lock:  # what was being prepared is ready now, or has failed
            ready = self._ready.get(network, {})
            unwanted = [ready.pop(key) for key in tuple(filter(shares, ready))]
            await self._discard(unwanted)

    async def forget(self, network: NetworkId) -> None:
        """Remove a network's prepared sandboxes; return when they are gone.

        Raises:
            DriverError: the kernel refused.
        """
        self._wanted.pop(network, None)
        async with self._lock:  # what was being prepared is ready now, or has failed
            await self._discard(tuple(self._ready.pop(network, {}).values()))

    async def run(self) -> None:
        """Prepare what is wanted and remove what is not, one at a time and after other work. Until
        cancelled.
        """
        await forever(Loop.SANDBOX_POOL, self._work)

    async def _work(self) -> None:
        """Do one thing if its time has come, or wait until there is one to do."""
        self._changed = trio.Event()
        await trio.sleep(PAUSE_S)
        if (quiet_in_s := self._quiet_in_s()) > 0 and not self._is_next_missing():
            with trio.move_on_after(quiet_in_s):
                await self._changed.wait()
            return
        async with self._lock:
            worked = await self._step()
        if not worked:
            await self._changed.wait()

    def _quiet_in_s(self) -> float:
        """Return how much longer nothing must be asked for before the pool works."""
        return max(self._taken_s, self._offered_s) + QUIET_S - trio.current_time()

    def _is_next_missing(self) -> bool:
        """True if starts follow each other and the next one in some network would find no
        namespace.
        """
        if trio.current_time() - self._taken_s > QUIET_S:
            return False
        firsts = ((network, next(iter(wanted), None)) for network, wanted in self._wanted.items())
        return any(key and key not in self._ready.get(network, {}) for network, key in firsts)

    async def empty(self) -> None:
        """Remove all prepared sandboxes, and prepare no more: the daemon is shutting down."""
        self._most = 0
        async with self._lock:
            unwanted = tuple(each for group in self._ready.values() for each in group.values())
            self._ready.clear()
            await self._discard(unwanted)

    async def _step(self) -> bool:
        """Prepare or remove one sandbox; return False if there was nothing to do."""
        stale = next(self._stale(), None)
        if stale is not None:
            network, key = stale
            await self._discard((self._ready[network].pop(key),))
            return True
        missing = next(self._missing(), None)
        if missing is None:
            return False
        await self._prepare(*missing)
        return True

    def _stale(self) -> Iterator[tuple[NetworkId, Key]]:
        for network, group in self._ready.items():
            for key in group:
                if key not in self._wanted.get(network, {}):
                    yield network, key

    def _missing(self) -> Iterator[tuple[NetworkId, Prepared]]:
        """Yield the missing sandboxes, up to the limit: first one of each network, then a second
        one of each.
        """
        ranked = (
            (rank, network, each)
            for network, wanted in self._wanted.items()
            for rank, each in enumerate(wanted.values())
        )
        for _, network, each in islice(sorted(ranked, key=itemgetter(0)), self._most):
            if each.key not in self._ready.get(network, {}):
                yield network, each

    async def _prepare(self, network: NetworkId, wanted: Prepared) -> None:
        sandbox = wanted.make(SandboxId(secrets.token_hex(8)))
        self._busy.add(sandbox.id)
        self._preparing = wanted.key
        try:
            await self._lanes.run(Lane.NETLINK, lambda: self._driver.prepare_sandbox(sandbox))
            await self._callbacks.after_creation(network, sandbox.id)
            self._ready.setdefault(network, {})[wanted.key] = sandbox.id
        finally:
            self._preparing = ()
            self._busy.discard(sandbox.id)

    async def _discard(self, unwanted: Sequence[SandboxId]) -> None:
        self._busy.update(unwanted)
        try:
            for sandbox in unwanted:
                await self._callbacks.before_removal(sandbox)
            await self._lanes.run(Lane.NETLINK, lambda: self._driver.remove_sandboxes(unwanted))
        finally:
            self._busy.difference_update(unwanted)
