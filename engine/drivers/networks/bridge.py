"""Create and check bridges.

A bridge of ours carries the whole ID of its instance as interface alias, so that neither another
instance's nor an administrator's bridge of the same name is ever changed. An administrator's bridge
can be *used* when the network says so (``owned=False``): then it is checked and never changed.
"""

import os
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.domain.container.attachment import mac_address
from engine.domain.ids import InstanceId
from engine.drivers.networks import link_kinds, rtnetlink
from engine.drivers.networks.host_links import HostLinks
from engine.drivers.networks.netlink import NetlinkSocket
from engine.drivers.networks.rtnetlink import Interface, Link, Subnet
from engine.errors import Conflict, DriverError

_NET: Final = Path("/proc/sys/net")
_IP_FORWARD: Final = _NET / "ipv4/ip_forward"
_IPV6_FORWARD: Final = _NET / "ipv6/conf/all/forwarding"
_BRIDGE_NETFILTER: Final = _NET / "bridge/bridge-nf-call-iptables"
_VALUE_BYTES_MAX: Final = 256
DEFAULT_MTU: Final = 1500


class ForeignBridge(Conflict):
    """A link with the bridge's name was made by another program, or is not a bridge."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """The wanted state of one network's bridge."""

    name: str
    addresses: tuple[Interface, ...]
    """The host's own addresses on it, which are the containers' gateways, with the subnets' prefix
    lengths; at most one of a family.
    """
    mtu: int = DEFAULT_MTU
    icc: bool = True
    """Whether containers on it may reach each other."""
    owned: bool = True
    """False for an administrator's bridge, which is used as it is."""
    internal: bool = False
    """Whether its containers can reach only each other and the host."""

    @property
    def mac(self) -> str:
        """Return the MAC derived from its first address."""
        return mac_address(str(self.addresses[0]))

    def has(self, version: int) -> bool:
        """True if it has an address of that IP version."""
        return any(each.version == version for each in self.addresses)


def alias_of(instance: InstanceId) -> str:
    """Return the interface alias that marks a link as an instance's own."""
    return f"shipslog {instance}"


def ensure(kernel: NetlinkSocket, instance: InstanceId, bridge: Bridge) -> None:
    """Create or repair the bridge.

    Raises:
        ForeignBridge: the name is taken.
        DriverError: the administrator's bridge does not exist.
    """
    link = rtnetlink.find_link(kernel, bridge.name)
    if not bridge.owned:
        _check_usable(bridge, link)
    elif link is None:
        _create(kernel, instance, bridge)
    else:
        _check_ours(instance, link)
        _correct(kernel, bridge, link)
    for setting, value in _settings(bridge):
        if setting == _IPV6_FORWARD and _read(setting) == "0":
            _keep_router_advertisements()
        _write(setting, value)


def _check_usable(bridge: Bridge, link: Link | None) -> None:
    if link is None:
        raise DriverError(f"bridge {bridge.name} does not exist")
    if link.kind != "bridge":
        raise ForeignBridge(f"{bridge.name} is not a bridge")


def _check_ours(instance: InstanceId, link: Link) -> None:
    if link.kind != "bridge" or link.alias != alias_of(instance):
        raise ForeignBridge(
            f"the name {link.name} is taken by a link that this daemon did not make"
        )


def _create(kernel: NetlinkSocket, instance: InstanceId, bridge: Bridge) -> None:
    """Create the bridge and its alias in one sendmsg(2): a crash leaves a marked bridge, or
    none.
    """
    try:
        kernel.transact(
            [
                link_kinds.create_bridge(bridge.name, bridge.mac, bridge.mtu),
                rtnetlink.change_link(bridge.name, alias=alias_of(instance)),
            ]
        )
    except OSError:
        kernel.transact([rtnetlink.delete_link(bridge.name)])
        raise
    link = rtnetlink.find_link(kernel, bridge.name)
    assert link is not None
    _correct(kernel, bridge, link)


def _correct(kernel: NetlinkSocket, bridge: Bridge, link: Link) -> None:
    present = _addresses(kernel, link)
    wanted = set(bridge.addresses)
    _write(_of_link(6, bridge.name, "accept_ra"), "0")
    _write(_of_link(6, bridge.name, "disable_ipv6"), "0" if bridge.has(6) else "1")
    kernel.transact(
        [rtnetlink.delete_address(link.index, each) for each in present - wanted]
        + [rtnetlink.change_link(link.index, up=True, mtu=bridge.mtu, mac=bridge.mac)]
        + [rtnetlink.add_address(link.index, each) for each in bridge.addresses]
    )


def _addresses(kernel: NetlinkSocket, link: Link) -> set[Interface]:
    """Return a link's addresses without the link-local ones, which the kernel assigns."""
    return {
        address
        for index, address in rtnetlink.addresses(kernel, link.index)
        if index == link.index and not address.is_link_local
    }


def all_faults(
    host: HostLinks, instance: InstanceId, bridges: Iterable[Bridge]
) -> dict[str, tuple[str, ...]]:
    """Return the differences of many bridges from their wanted state, in words, by the bridges'
    names.
    """
    return {
        bridge.name: _faults(instance, bridge, host.by_name.get(bridge.name), host.addresses)
        for bridge in bridges
    }


def _faults(
    instance: InstanceId,
    bridge: Bridge,
    link: Link | None,
    addresses: Container[tuple[int, Interface]],
) -> tuple[str, ...]:
    if link is None:
        return (f"bridge {bridge.name} is gone",)
    wrong = {f"bridge {bridge.name} is down": not link.up}
    for address in bridge.addresses:
        wrong[f"bridge {bridge.name} lost {address}"] = (link.index, address) not in addresses
    if bridge.owned:
        wrong |= {
            f"bridge {bridge.name} is not ours": link.alias != alias_of(instance),
            f"bridge {bridge.name} has MTU {link.mtu}": link.mtu != bridge.mtu,
            f"bridge {bridge.name} has MAC {link.mac}": link.mac != bridge.mac,
        }
    for setting, value in _settings(bridge):
        wrong[f"{setting.relative_to(_NET)} is not {value}"] = _read(setting) not in (value, None)
    return tuple(fault for fault, present in wrong.items() if present)


def has_settings(bridge: Bridge) -> bool:
    """True if the sysctls are as the bridge needs them: their changes are not reported."""
    return all(_read(setting) in (value, None) for setting, value in _settings(bridge))


def remove(kernel: NetlinkSocket, instance: InstanceId, name: str) -> None:
    """Remove a bridge of ours; do nothing if it is gone or not ours."""
    link = rtnetlink.find_link(kernel, name)
    if link is not None and link.alias == alias_of(instance):
        kernel.transact([rtnetlink.delete_link(name)])


def taken_subnets(kernel: NetlinkSocket, apart_from: frozenset[str]) -> list[Subnet]:
    """Return the subnets that the host has addresses in or routes to, not counting those of the
    links named ``apart_from``.

    Default routes, which overlap everything, don't count.
    """
    ignored = {link.index for link in rtnetlink.links(kernel) if link.name in apart_from}
    taken = {
        address.network for index, address in rtnetlink.addresses(kernel) if index not in ignored
    }
    taken |= {
        route.network
        for route in rtnetlink.routes(kernel)
        if route.output not in ignored and route.network.prefixlen
    }
    return sorted(taken, key=lambda subnet: (subnet.version, subnet))


def netfilter_sees_bridged() -> bool:
    """True if the IP firewall, and with it address translation, also sees frames between two ports
    of a bridge.

    Then a packet that a container sends to its own published port is turned round within the
    bridge, and its port needs hairpin mode. Kernel documentation, networking/bridge.rst,
    "br_netfilter".
    """
    return _read(_BRIDGE_NETFILTER) == "1"


def _settings(bridge: Bridge) -> tuple[tuple[Path, str], ...]:
    """Return the sysctls that a bridge needs: kernel documentation, networking/ip-sysctl.rst.

    - ``ip_forward``, ``forwarding``: only if containers on it may reach other networks, and only
      for the IP versions that it has.
    - ``route_localnet``: lets the host's packets to 127.0.0.1 leave through the bridge once their
      destination is translated. It would also let containers reach the host's 127.0.0.0/8:
      the firewall drops that (CVE-2020-8558).
    - ``disable_ipv6``: without an IPv6 network, containers must not react to router advertisements
      (CVE-2020-13401).
    - ``accept_ra``: with one, the host ignores router advertisements from the bridge.
    """
    found: list[tuple[Path, str]] = []
    if bridge.has(4):
        found.append((_of_link(4, bridge.name, "route_localnet"), "1"))
        if not bridge.internal:
            found.append((_IP_FORWARD, "1"))
    if bridge.has(6) and not bridge.internal:
        found.append((_IPV6_FORWARD, "1"))
    if bridge.owned:
        found.append((_of_link(6, bridge.name, "disable_ipv6"), "0" if bridge.has(6) else "1"))
        found.append((_of_link(6, bridge.name, "accept_ra"), "0"))
    return tuple(found)


def _of_link(version: int, link: str, setting: str) -> Path:
    return _NET / f"ipv{version}" / "conf" / link / setting


def _keep_router_advertisements() -> None:
    """Let the host's links keep learning their routes: with forwarding on, accept_ra=1 stops that,
    and 2 does not.
    """
    for setting in (_NET / "ipv6/conf").glob("*/accept_ra"):
        if _read(setting) == "1":
            _write(setting, "2")


def _read(setting: Path) -> str | None:
    """Return a sysctl's value. Read at each sweep, so without a file object."""
    try:
        descriptor = os.open(setting, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None  # the kernel was built or booted without that protocol
    try:
        return os.read(descriptor, _VALUE_BYTES_MAX).decode().strip()
    finally:
        os.close(descriptor)


def _write(setting: Path, value: str) -> None:
    """Write a sysctl only if it differs: each *change* of ip_forward resets other settings, and
    auditors see each write.
    """
    if _read(setting) not in (value, None):
        setting.write_text(value)
