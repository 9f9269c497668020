"""Declare the supervisor's port: observe containers, and act on them.

The real answer is in ``engine/drivers``. Tests have a simulated kernel; ``tests/contract`` holds
both to the same assertions.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from engine.domain.container.attachment import Endpoint
from engine.domain.container.spec import PortBinding
from engine.domain.container.state import Container
from engine.domain.ids import NetworkId, SandboxId
from engine.domain.network.addresses import Subnet
from engine.domain.network.state import Network
from engine.ports.actions import Action
from engine.ports.observation import Fact, Inventory, Observation


class NetworkKernel(Protocol):
    """Makes bridges, the firewall and sandboxes. Every method may be called again, after any
    crash.
    """

    async def wrong(
        self, networks: Sequence[Network], containers: Collection[Container]
    ) -> tuple[tuple[NetworkId, str], ...]:
        """Return which parts of which networks (``bridge``, ``parent``, ``firewall``) differ from
        the log. Faults of the firewall are reported for the first network.
        """
        ...

    async def repair(self, networks: Sequence[Network], containers: Collection[Container]) -> None:
        """Make all bridges with their addresses, all parents, and the firewall's table with the
        ports of these containers.

        Raises:
            DriverError: the kernel refuses; the others are as they should be.
        """
        ...

    async def taken_subnets(self) -> Sequence[Subnet]:
        """Return the subnets that the host has addresses in or routes to."""
        ...

    async def make(self, network: Network) -> None:
        """Make one more bridge with its place in the firewall, or one more parent.

        Raises:
            Conflict: a link that is not ours has the bridge's name.
            InvalidRequest: there is no such parent.
            Unsupported: the kernel has no links of the kind that is wanted.
            DriverError: the kernel refuses.
        """
        ...

    async def remove(self, network: Network) -> None:
        """Remove everything of a network except a link that is not ours.

        Raises:
            DriverError: the kernel refuses.
        """
        ...

    def take_sandbox(self, endpoint: Endpoint) -> SandboxId | None:
        """Return a prepared namespace that has this endpoint alone; from now on it is the
        caller's.
        """
        ...

    def offer_endpoints(self, network: Network, endpoints: Sequence[Endpoint]) -> None:
        """Announce which endpoints will be needed next, so that namespaces with them can be
        prepared.
        """
        ...

    def update_names(self, container: Container) -> None:
        """Make a container resolvable by its names, as long as it has endpoints."""
        ...

    def check_host_port(self, binding: PortBinding) -> None:
        """Refuse a port of the host that a process of the host uses.

        Raises:
            EngineError: with Docker's words, which are an error of the server's to its clients.
        """
        ...


class Kernel(Protocol):
    """Performs effects and makes observations. Every method may be called again, at any time, after
    any crash.
    """

    @property
    def boot_id(self) -> str:
        """Return ``/proc/sys/kernel/random/boot_id``."""
        ...

    @property
    def networks(self) -> NetworkKernel:
        """Return what makes networks."""
        ...

    async def observe(self, container: Container, facts_after: int) -> Observation:
        """Observe one container; of the journal return the facts with numbers above
        ``facts_after``.
        """
        ...

    async def perform(self, container: Container, action: Action) -> tuple[Fact, ...]:
        """Perform an action.

        Returns:
            What the journal came to say meanwhile, where the action waited for it; older facts may
            be among these.

        Raises:
            DriverError: the kernel refuses; what was done of it stays and does no harm.
        """
        ...

    async def may_have_changed(self) -> bool:
        """Return False if nothing has changed outside the log since this was last asked, so that
        neither :meth:`inventory` nor :meth:`NetworkKernel.wrong` would find anything new.

        True without a reason does no harm.
        """
        ...

    async def inventory(self) -> Inventory:
        """List everything with our mark, at a cost that hardly depends on how much there is."""
        ...

    async def discard(self, kind: str, name: str) -> None:
        """Remove an orphan: ``bundle``, ``cgroup``, ``directory`` or ``sandbox`` by its owner's ID,
        ``bridge`` by its name.

        Raises:
            DriverError: something runs in it, or it may hold a user's data; it is left as it is.
        """
        ...
