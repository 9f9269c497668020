"""Define networks: state and events.

Addresses are not given out by the network: a container's endpoints name those that it has, so the
addresses in use are those of the containers that run, and nothing has to be given back. The
arithmetic is in ``addresses.py``.
"""

from typing import ClassVar, Final

import msgspec
from msgspec.structs import replace

from engine.domain.booleans import is_true
from engine.domain.event import Event
from engine.domain.ids import NetworkId

BRIDGE_DRIVER: Final = "bridge"
ICC_OPTION: Final = "com.docker.network.bridge.enable_icc"
MASQUERADE_OPTION: Final = "com.docker.network.bridge.enable_ip_masquerade"
HOST_BINDING_OPTION: Final = "com.docker.network.bridge.host_binding_ipv4"
BRIDGE_NAME_OPTION: Final = "com.docker.network.bridge.name"
DEFAULT_BRIDGE_OPTION: Final = "com.docker.network.bridge.default_bridge"
MTU_OPTION: Final = "com.docker.network.driver.mtu"
DEFAULT_MTU: Final = 1500


class Pool(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The addresses of one family that a network has."""

    subnet: str
    gateway: str
    """The host's own address, or a neighbour's if there is no bridge; never empty, for an internal
    network's bridge has one."""
    ip_range: str = ""
    """The part of the subnet that addresses are chosen from; empty for all of it."""
    auxiliary: dict[str, str] = msgspec.field(default_factory=dict)
    """Addresses in use elsewhere, by the names that the user gave them."""
    is_chosen: bool = False
    """Whether the subnet was requested, not chosen: then containers may request addresses of it."""


class NetworkCreated(Event, frozen=True, kw_only=True):
    """A network was defined."""

    TYPE: ClassVar[str] = "network_created"
    id: NetworkId
    name: str
    driver: str
    """``bridge``, ``macvlan``, ``ipvlan``, ``host`` or ``null``, as Docker names them."""
    bridge: str = ""
    """The host's link that containers are connected to: a bridge, or the parent of their own links;
    empty if there is none."""
    bridge_owned: bool = True
    """False: an administrator's link, which is used and never removed."""
    ipv4: Pool | None = None
    ipv6: Pool | None = None
    internal: bool = False
    attachable: bool = False
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    options: dict[str, str] = msgspec.field(default_factory=dict)


class NetworkMoved(Event, frozen=True, kw_only=True):
    """The default bridge was configured differently; no container had an address of it."""

    TYPE: ClassVar[str] = "network_moved"
    bridge: str
    bridge_owned: bool
    ipv4: Pool
    ipv6: Pool | None = None


class NetworkRemoveRequested(Event, frozen=True, kw_only=True):
    """Intent: remove the network. Its name is free from here on."""

    TYPE: ClassVar[str] = "network_remove_requested"
    reason: str = ""
    """Why the engine itself removes it; empty if a user asked."""


class NetworkRemoved(Event, frozen=True, kw_only=True):
    """Nothing is left of the network but its history."""

    TYPE: ClassVar[str] = "network_removed"
    name: str
    driver: str = BRIDGE_DRIVER


class NetworkDrifted(Event, frozen=True, kw_only=True):
    """Something of the network was changed outside of the engine."""

    TYPE: ClassVar[str] = "network_drift_detected"
    what: str


class NetworkRepaired(Event, frozen=True, kw_only=True):
    """What had changed is again as the log says."""

    TYPE: ClassVar[str] = "network_drift_repaired"
    what: str


EVENTS: Final[tuple[type[Event], ...]] = (
    NetworkCreated,
    NetworkMoved,
    NetworkRemoveRequested,
    NetworkRemoved,
    NetworkDrifted,
    NetworkRepaired,
)


class Network(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A network, computed from its events."""

    id: NetworkId
    name: str
    driver: str
    created_ns: int
    bridge: str = ""
    bridge_owned: bool = True
    ipv4: Pool | None = None
    ipv6: Pool | None = None
    internal: bool = False
    attachable: bool = False
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    options: dict[str, str] = msgspec.field(default_factory=dict)
    is_going: bool = False
    """Its removal is under way."""
    is_gone: bool = False

    @property
    def is_default(self) -> bool:
        """Return whether it is the network that containers are in by default: it has no names,
        aliases or chosen addresses.
        """
        return self.options.get(DEFAULT_BRIDGE_OPTION) == "true"

    @property
    def is_bridged(self) -> bool:
        """Return whether it has a bridge, and so a way to and from the host: published ports,
        masquerading, isolation.
        """
        return self.driver == BRIDGE_DRIVER

    @property
    def has_names(self) -> bool:
        """Return whether its containers find each other by name."""
        return bool(self.bridge) and not self.is_default

    @property
    def pools(self) -> tuple[Pool, ...]:
        """Return its one or two pools, IPv4 first."""
        return tuple(pool for pool in (self.ipv4, self.ipv6) if pool is not None)

    @property
    def icc(self) -> bool:
        """Return whether its containers may exchange packets."""
        return is_true(self.options.get(ICC_OPTION, "true"))

    @property
    def masquerade(self) -> bool:
        """Return whether packets to elsewhere get the host's address."""
        return is_true(self.options.get(MASQUERADE_OPTION, "true"))

    @property
    def mtu(self) -> int:
        """Return how many bytes fit into one packet."""
        return int(self.options.get(MTU_OPTION, "0")) or DEFAULT_MTU

    @property
    def host_binding(self) -> str:
        """Return the host's address for ports that are published without one; empty for all
        addresses.
        """
        chosen = self.options.get(HOST_BINDING_OPTION, "")
        return "" if chosen == "0.0.0.0" else chosen  # noqa: S104  (compared, not bound)


def evolve(network: Network | None, event: Event, at_ns: int) -> Network:
    """Return the network after one more event."""
    if network is None:
        assert isinstance(event, NetworkCreated)
        return Network(
            id=event.id,
            name=event.name,
            driver=event.driver,
            created_ns=at_ns,
            bridge=event.bridge,
            bridge_owned=event.bridge_owned,
            ipv4=event.ipv4,
            ipv6=event.ipv6,
            internal=event.internal,
            attachable=event.attachable,
            labels=event.labels,
            options=event.options,
        )
    match event:
        case NetworkMoved():
            return replace(
                network,
                bridge=event.bridge,
                bridge_owned=event.bridge_owned,
                ipv4=event.ipv4,
                ipv6=event.ipv6,
            )
        case NetworkRemoveRequested():
            return replace(network, is_going=True)
        case NetworkRemoved():
            return replace(network, is_gone=True)
        case _:
            return network
