"""New links of each kind that networks need, as netlink messages. ip-link(8), linux/if_link.h, linux/veth.h."""

from dataclasses import dataclass
from typing import Final

from engine.drivers.networks import netlink
from engine.drivers.networks.netlink import Request
from engine.drivers.networks.rtnetlink import (
    CREATE,
    IFINFO,
    IFLA_ADDRESS,
    IFLA_IFNAME,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_LINK,
    IFLA_LINKINFO,
    IFLA_MTU,
    IFLA_NET_NS_FD,
    RTM_NEWLINK,
    mac_bytes,
)

VETH_INFO_PEER: Final = 1
IFLA_MACVLAN_MODE: Final = 1
IFLA_IPVLAN_MODE: Final = 1
IFLA_VLAN_ID: Final = 1


@dataclass(frozen=True, slots=True)
class Over:
    """How a link without a cable of its own uses another one's."""

    kind: str
    """``macvlan`` or ``ipvlan``."""
    mode: int
    """MACVLAN_MODE_… or IPVLAN_MODE_…, linux/if_link.h."""

    @property
    def has_mac(self) -> bool:
        """Whether it has a hardware address of its own."""
        return self.kind == "macvlan"


def create_bridge(name: str, mac: str, mtu: int) -> Request:
    """A bridge that is down. With a MAC of its own it does not take on, and change, that of its ports."""
    body = (
        IFINFO.pack(0, 0, 0, 0, 0)
        + netlink.text(IFLA_IFNAME, name)
        + netlink.attribute(IFLA_ADDRESS, mac_bytes(mac))
        + netlink.u32(IFLA_MTU, mtu)
        + netlink.nested(IFLA_LINKINFO, netlink.text(IFLA_INFO_KIND, "bridge"))
    )
    return Request(RTM_NEWLINK, CREATE, body, f"create bridge {name}")


def create_veth(name: str, peer: str, peer_mac: str, peer_netns_fd: int, mtu: int) -> Request:
    """A pair of links, both down: one end here, the other in the namespace behind ``peer_netns_fd``."""
    inner = (
        IFINFO.pack(0, 0, 0, 0, 0)
        + netlink.text(IFLA_IFNAME, peer)
        + netlink.attribute(IFLA_ADDRESS, mac_bytes(peer_mac))
        + netlink.u32(IFLA_MTU, mtu)
        + netlink.u32(IFLA_NET_NS_FD, peer_netns_fd)
    )
    body = (
        IFINFO.pack(0, 0, 0, 0, 0)
        + netlink.text(IFLA_IFNAME, name)
        + netlink.u32(IFLA_MTU, mtu)
        + netlink.nested(
            IFLA_LINKINFO,
            netlink.text(IFLA_INFO_KIND, "veth"),
            netlink.nested(IFLA_INFO_DATA, netlink.attribute(VETH_INFO_PEER, inner)),
        )
    )
    return Request(RTM_NEWLINK, CREATE, body, f"create link {name}")


def create_over(parent: int, name: str, over: Over, mac: str, netns_fd: int, mtu: int) -> Request:
    """A link over ``parent``, down, in the namespace behind ``netns_fd``; EOPNOTSUPP where the kernel has no such links.

    With ``mtu`` 0 it has its parent's, and without a MAC one of the kernel's choice.
    """
    if over.kind == "macvlan":
        mode = netlink.u32(IFLA_MACVLAN_MODE, over.mode)
    else:
        mode = netlink.u16(IFLA_IPVLAN_MODE, over.mode)
    body = (
        IFINFO.pack(0, 0, 0, 0, 0)
        + netlink.text(IFLA_IFNAME, name)
        + netlink.u32(IFLA_LINK, parent)
        + (netlink.attribute(IFLA_ADDRESS, mac_bytes(mac)) if mac else b"")
        + (netlink.u32(IFLA_MTU, mtu) if mtu else b"")
        + netlink.u32(IFLA_NET_NS_FD, netns_fd)
        + netlink.nested(
            IFLA_LINKINFO,
            netlink.text(IFLA_INFO_KIND, over.kind),
            netlink.nested(IFLA_INFO_DATA, mode),
        )
    )
    return Request(RTM_NEWLINK, CREATE, body, f"create {over.kind} {name}")


def create_dummy(name: str) -> Request:
    """A link that leads nowhere, down."""
    return Request(RTM_NEWLINK, CREATE, _new_link(name, "dummy"), f"create dummy {name}")


def create_vlan(name: str, parent: int, number: int) -> Request:
    """A VLAN of a link, down: IEEE 802.1Q."""
    body = _new_link(name, "vlan", netlink.u16(IFLA_VLAN_ID, number))
    return Request(
        RTM_NEWLINK, CREATE, body + netlink.u32(IFLA_LINK, parent), f"create vlan {name}"
    )


def _new_link(name: str, kind: str, *about: bytes) -> bytes:
    info = (netlink.nested(IFLA_INFO_DATA, *about),) if about else ()
    return (
        IFINFO.pack(0, 0, 0, 0, 0)
        + netlink.text(IFLA_IFNAME, name)
        + netlink.nested(IFLA_LINKINFO, netlink.text(IFLA_INFO_KIND, kind), *info)
    )
