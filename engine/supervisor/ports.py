"""What the supervisor asks of whoever touches the kernel.

The real answer is in ``engine/drivers``; tests have a simulated kernel that is held to the same contract.
"""

from collections.abc import Collection, Iterable
from typing import Protocol

from engine.domain.container import Container
from engine.domain.ids import SandboxId
from engine.domain.network import Network
from engine.domain.spec import PortBinding
from engine.supervisor.actions import Action
from engine.supervisor.observation import Fact, Inventory, Observation


class Kernel(Protocol):
    """Effects and observations. Every method may be called again, at any time, after any crash."""

    @property
    def boot_id(self) -> str:
        """``/proc/sys/kernel/random/boot_id``."""
        ...

    async def observe(self, container: Container, facts_after: int) -> Observation:
        """One container; of the journal's facts those with a number above ``facts_after``."""
        ...

    async def perform(self, container: Container, action: Action) -> tuple[Fact, ...]:
        """Do it.

        Returns:
            What the journal came to say meanwhile, where the action waited for it; older facts may be among these.

        Raises:
            DriverError: the kernel refuses; what was done of it stays and does no harm.
        """
        ...

    async def inventory(self) -> Inventory:
        """Everything with our mark, at a cost that hardly depends on how much there is."""
        ...

    async def discard(self, kind: str, name: str) -> None:
        """Take an orphan away: ``bundle``, ``cgroup``, ``directory`` or ``sandbox``, by its owner's ID.

        Raises:
            DriverError: something runs in it, or it may hold somebody's data; it is left as it is.
        """
        ...

    async def network_wrong(
        self, network: Network, containers: Collection[Container]
    ) -> tuple[str, ...]:
        """Which parts of a network (``bridge``, ``firewall``) are not as the log wants them."""
        ...

    async def repair_network(self, network: Network, containers: Collection[Container]) -> None:
        """Have the bridge, its address and the firewall's table, with the ports of these containers.

        Raises:
            DriverError: the kernel refuses.
        """
        ...

    def take_sandbox(self, address: str) -> SandboxId | None:
        """A namespace that was prepared with this address, which is the caller's from now on."""
        ...

    def offer_addresses(self, network: Network, addresses: Iterable[str]) -> None:
        """Which addresses will be wanted next: namespaces for them may be prepared."""
        ...

    def check_host_port(self, binding: PortBinding) -> None:
        """Refuse a port of the host that a process of the host has.

        Raises:
            Conflict: with Docker's words.
        """
        ...


class Watcher(Protocol):
    """Who is told that a container is worth a look."""

    def wake(self, container: str) -> None:
        """Something may have changed: a hint, which says neither what nor whether."""
        ...
