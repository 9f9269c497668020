"""A few network namespaces prepared ahead of time, each complete with the address that will be wanted next.

Addresses are given out in order, so which ones will be next is known: a start that finds its namespace here has nothing to do on
the network. What is not taken is made anew for other addresses, or removed; a crash leaves orphans, which the next daemon removes.
"""

import secrets
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Interface

import structlog
import trio

from engine.domain.ids import SandboxId
from engine.domain.network import Network, mac_address
from engine.drivers.lanes import Lane, Lanes
from engine.drivers.networks.network import NetworkDriver
from engine.drivers.networks.sandbox import Endpoint, Sandbox
from engine.errors import DriverError

log = structlog.get_logger()


class SandboxPool:
    """Prepared sandboxes by address. All methods are for the trio thread."""

    def __init__(self, driver: NetworkDriver, lanes: Lanes) -> None:
        self._driver = driver
        self._lanes = lanes
        self._ready: dict[str, SandboxId] = {}
        self._wanted: tuple[str, ...] = ()
        self._network: Network | None = None
        self._preparing: SandboxId | None = None
        self._changed = trio.Event()

    @property
    def members(self) -> frozenset[SandboxId]:
        """What is ready or being prepared: nobody's, and no orphans."""
        preparing = () if self._preparing is None else (self._preparing,)
        return frozenset((*self._ready.values(), *preparing))

    def take(self, address: str) -> SandboxId | None:
        """The sandbox prepared for an address, the caller's from now on."""
        self._wanted = tuple(each for each in self._wanted if each != address)
        return self._ready.pop(address, None)

    def offer(self, network: Network, addresses: Iterable[str]) -> None:
        """Which addresses will be wanted next."""
        wanted = tuple(addresses)
        if (network, wanted) != (self._network, self._wanted):
            if self._network is not None and network.bridge != self._network.bridge:
                self._ready.clear()  # orphans from here on: they hang on the wrong bridge
            self._network, self._wanted = network, wanted
            self._changed.set()

    async def run(self) -> None:
        """Prepare what is wanted and remove what is not, one at a time and behind everybody else. Until cancelled."""
        while True:
            self._changed = trio.Event()
            try:
                if await self._step():
                    continue
            except DriverError as error:
                log.warning("sandbox_not_prepared", error=str(error))
            await self._changed.wait()

    async def empty(self) -> None:
        """Remove all that is ready, when the daemon ends in good order."""
        unwanted = tuple(self._ready.values())
        self._ready.clear()
        await self._lanes.run(Lane.NETLINK, lambda: self._driver.remove_sandboxes(unwanted))

    async def _step(self) -> bool:
        """Do one thing; whether there was one."""
        stale = [address for address in self._ready if address not in self._wanted]
        if stale:
            unwanted = self._ready.pop(stale[0])
            await self._lanes.run(Lane.NETLINK, lambda: self._driver.remove_sandbox(unwanted))
            return True
        missing = [address for address in self._wanted if address not in self._ready]
        if not missing or self._network is None:
            return False
        await self._prepare(self._network, missing[0])
        return True

    async def _prepare(self, network: Network, address: str) -> None:
        sandbox = Sandbox(
            SandboxId(secrets.token_hex(8)),
            Endpoint(
                bridge=network.bridge,
                address=IPv4Interface(address),
                gateway=IPv4Address(network.gateway),
                mac=mac_address(address),
            ),
        )
        self._preparing = sandbox.id
        try:
            await self._lanes.run(Lane.NETLINK, lambda: self._driver.prepare_sandbox(sandbox))
            self._ready[address] = sandbox.id
        finally:
            self._preparing = None
