"""Define a container's place in networks: what was requested, what it has while it runs, and the
events that change both.

A *membership* is a request, and kept while the container is stopped. An *endpoint* is its outcome
for one run: an interface with addresses that no other container has. Both begin with a start or a
connect; an endpoint ends with its run or a disconnect.
"""

from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from ipaddress import ip_interface
from typing import ClassVar, Final

import msgspec
from msgspec.structs import replace

from engine.domain.container.namespace_sharing import HOST, NONE, is_with_container
from engine.domain.container.spec import Membership, Spec
from engine.domain.event import Event
from engine.domain.ids import SHORT, ContainerId, NetworkId

SYSCTLS_OPTION: Final = "com.docker.network.endpoint.sysctls"
"""An endpoint's driver option: ``NAME=VALUE`` with commas between; IFNAME in a name stands for the
interface."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A sandbox's connection to one network."""

    network: NetworkId
    name: str
    """The network's name, at the time."""
    slot: int = 0
    """Its interface is ``eth<slot>``."""
    address: str = ""
    """With the prefix length: ``172.17.0.2/16``. Empty on a network without IPv4."""
    gateway: str = ""
    """Empty if there is no default route."""
    address6: str = ""
    gateway6: str = ""
    mac: str
    priority: int = 0
    """The endpoint with the highest priority has the default route."""
    sysctls: tuple[str, ...] = ()
    """``NAME=VALUE``."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Return the endpoint's addresses, IPv4 first, without prefix lengths."""
        both = (self.address, self.address6)
        return tuple(each.partition("/")[0] for each in both if each)


class ConnectRequested(Event, frozen=True, kw_only=True):
    """Intent: connect the container to one more network."""

    TYPE: ClassVar[str] = "container_connect_requested"
    order: int
    membership: Membership
    endpoint: Endpoint | None = None
    """None: the container does not run, and gets its endpoint at its next start."""


class Connected(Event, frozen=True, kw_only=True):
    """The container is in the network, or will be from its next start on."""

    TYPE: ClassVar[str] = "container_connected"
    order: int


class ConnectFailed(Event, frozen=True, kw_only=True):
    """The kernel has refused the connection; the container is not in the network."""

    TYPE: ClassVar[str] = "container_connect_failed"
    order: int
    reason: str


class DisconnectRequested(Event, frozen=True, kw_only=True):
    """Intent: disconnect the container from that network."""

    TYPE: ClassVar[str] = "container_disconnect_requested"
    order: int
    network: NetworkId
    name: str
    force: bool = False


class Disconnected(Event, frozen=True, kw_only=True):
    """The container has nothing in the network any more; its addresses there are free."""

    TYPE: ClassVar[str] = "container_disconnected"
    order: int


EVENTS: Final[tuple[type[Event], ...]] = (
    ConnectRequested,
    Connected,
    ConnectFailed,
    DisconnectRequested,
    Disconnected,
)


def initial_memberships(spec: Spec) -> tuple[Membership, ...]:
    """Return the networks that a new container is in: that of its mode, which gets the first
    interface, then the others asked for.
    """
    mode = spec.network_mode
    if mode in (NONE, HOST) or is_with_container(mode):
        return ()
    first = next(
        (each for each in spec.networks if mode == each.name or each.network.startswith(mode)), None
    )
    others = (each for each in spec.networks if each is not first)
    first = first or Membership(name=mode)
    return (replace(first, mac=first.mac or spec.mac_address), *others)


def leader(endpoints: Iterable[Endpoint], *, ipv6: bool = False) -> Endpoint | None:
    """Return the endpoint that provides the default gateway and receives published ports.

    That of the highest priority, and among equals the one whose network's name sorts first, as
    Docker has it.
    """
    candidates = (each for each in endpoints if (each.gateway6 if ipv6 else each.gateway))
    return min(candidates, key=lambda each: (-each.priority, each.name), default=None)


def free_slot(endpoints: Iterable[Endpoint]) -> int:
    """Return the lowest number that no interface has."""
    taken = {each.slot for each in endpoints}
    return next(number for number in range(len(taken) + 1) if number not in taken)


@lru_cache(maxsize=256)
def mac_address(address: str) -> str:
    """Return the hardware address that belongs to an address: Docker's ``02:42`` and the last four
    bytes.

    Whoever gets an address again has the MAC that its neighbours still remember.
    """
    packed = ip_interface(address).ip.packed[-4:]
    return (b"\x02\x42" + packed).hex(":")


def dns_names(name: str, identity: ContainerId, membership: Membership) -> tuple[str, ...]:
    """Return the names by which others in a network find a container: its name, its aliases, and
    the beginning of its ID.
    """
    return tuple(dict.fromkeys((name, *membership.aliases, identity[:SHORT])))


def endpoint_id(container: ContainerId, network: NetworkId, run: int) -> str:
    """Return 64 digits that name one run's place in a network; they are computed, so that nothing
    needs to store them.
    """
    return sha256(f"endpoint/{container}/{network}/{run}".encode()).hexdigest()
