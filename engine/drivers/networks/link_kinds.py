"""Build requests for new links, of each kind that networks need. ip-link(8)."""

from dataclasses import dataclass
from typing import Final

from engine.drivers.networks.messages import LINK, Attribute, encode, nested
from engine.drivers.networks.netlink import Request
from engine.drivers.networks.rtnetlink import CREATE, RTM_NEWLINK, link_name

_MODE: Final = {"macvlan": "IFLA_MACVLAN_MODE", "ipvlan": "IFLA_IPVLAN_MODE"}


@dataclass(frozen=True, slots=True)
class Stacking:
    """Kind and mode of a macvlan or ipvlan link, which is stacked on a parent and sends through
    it.
    """

    kind: str
    """``macvlan`` or ``ipvlan``."""
    mode: int
    """MACVLAN_MODE_… or IPVLAN_MODE_…, linux/if_link.h."""

    @property
    def has_mac(self) -> bool:
        """True if such a link has a hardware address of its own."""
        return self.kind == "macvlan"


def create_bridge(name: str, mac: str, mtu: int) -> Request:
    """Create a bridge, down. A fixed MAC keeps it from taking over the MAC of a port."""
    return _create("bridge", name, (), ("IFLA_ADDRESS", mac), ("IFLA_MTU", mtu))


def create_veth(name: str, peer: str, peer_mac: str, peer_netns_fd: int, mtu: int) -> Request:
    """Create a pair of links, both down: one end here, the other in the namespace behind
    ``peer_netns_fd``.
    """
    inner = nested(
        link_name(peer),
        ("IFLA_ADDRESS", peer_mac),
        ("IFLA_MTU", mtu),
        ("IFLA_NET_NS_FD", peer_netns_fd),
        index=0,
    )
    return _create("veth", name, (("VETH_INFO_PEER", inner),), ("IFLA_MTU", mtu))


def create_stacked_link(
    parent: int, name: str, stacking: Stacking, mac: str, netns_fd: int, mtu: int
) -> Request:
    """Create a link stacked on ``parent``, down, in the namespace behind ``netns_fd``.

    The kernel answers EOPNOTSUPP when it has no such links. With ``mtu`` 0 the link has its
    parent's, and without a MAC one of the kernel's choice.
    """
    optional: list[Attribute] = [("IFLA_ADDRESS", mac)] if mac else []
    optional += [("IFLA_MTU", mtu)] if mtu else []
    return _create(
        stacking.kind,
        name,
        ((_MODE[stacking.kind], stacking.mode),),
        ("IFLA_LINK", parent),
        ("IFLA_NET_NS_FD", netns_fd),
        *optional,
    )


def create_dummy(name: str) -> Request:
    """Create a dummy link, which sends nothing anywhere, down."""
    return _create("dummy", name, ())


def create_vlan(name: str, parent: int, number: int) -> Request:
    """Create a VLAN of a link, down: IEEE 802.1Q."""
    return _create("vlan", name, (("IFLA_VLAN_ID", number),), ("IFLA_LINK", parent))


def _create(kind: str, name: str, about: tuple[Attribute, ...], *attributes: Attribute) -> Request:
    """Build a request for a link; ``about`` are the attributes that only links of this kind
    have.
    """
    own: tuple[Attribute, ...] = (("IFLA_INFO_DATA", nested(*about)),) if about else ()
    info = nested(("IFLA_INFO_KIND", kind), *own)
    body = encode(LINK, {}, (link_name(name), *attributes, ("IFLA_LINKINFO", info)))
    return Request(RTM_NEWLINK, CREATE, body, f"create {kind} link {name}")
