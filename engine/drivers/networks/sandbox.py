"""Build, repair and inspect one sandbox: a network namespace with ``lo`` and an ``ethN`` for each
endpoint.

    host namespace                             sandbox, pinned at EXEC_ROOT/netns/ID
    bridge ── sl<tag><7 digits of ID>0 ══════ eth0  addresses, MAC, sysctls, default routes
    bridge ── sl<tag><7 digits of ID>1 ══════ eth1
    any link ───────────────────────────────── eth2  a macvlan or ipvlan stacked on it
                                               lo

A sandbox is built by a thread that has just entered a new namespace, and pinned *last*. So the pin
is the commit: after a crash before it, the thread's end removes the namespace and both ends of the
pairs, and whatever has a pin was once complete.

Removal begins with the bridges' ports, which are disabled, so that an address can be given to the
next container at once. Then the pin is removed, and the kernel dismantles namespace and pairs in
the background (100 of them in 60 ms; deleting each pair separately waits 20 ms a piece).
"""

import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

from engine.domain import naming
from engine.domain.ids import SandboxId
from engine.domain.network.macvlan import STACKED_DRIVERS
from engine.drivers.networks import link_kinds, netns, redirect, rtnetlink
from engine.drivers.networks.link_kinds import Stacking
from engine.drivers.networks.netlink import NetlinkSocket, Request
from engine.drivers.networks.rtnetlink import (
    LOOPBACK_INDEX,
    Address,
    Interface,
    Link,
    Port,
)
from engine.errors import DriverError
from engine.failpoints import failpoint

_NET: Final = Path("/proc/sys/net")
_DIRECTLY: Final[dict[int, Address]] = {4: IPv4Address(0), 6: IPv6Address(0)}
"""The gateway of a route that has none."""
_IFNAME: Final = "IFNAME"
"""Placeholder for an interface's name in its sysctls."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A sandbox's connection to one network."""

    bridge: str
    """The link of the host that it is connected to."""
    slot: int
    """Its interface is ``eth<slot>``."""
    addresses: tuple[Interface, ...]
    mac: str
    mtu: int = 1500
    """0: the MTU of the link it is stacked on."""
    icc: bool = True
    """Whether it may reach other endpoints of the same bridge."""
    gateways: tuple[Address, ...] = ()
    """The gateways of its default routes; the unspecified address for a route to the link itself.
    """
    sysctls: tuple[tuple[str, str], ...] = ()
    """``net.…`` with IFNAME for the interface's name."""
    stacking: Stacking | None = None
    """How the interface is stacked on the link that ``bridge`` names. None: it is one end of a
    pair, and the other end is a port of that bridge.
    """

    @property
    def name(self) -> str:
        """The name of the interface inside."""
        return inner_name(self.slot)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The wanted state of a network namespace; without endpoints it has ``lo`` alone (Docker's
    ``none``).
    """

    id: SandboxId
    endpoints: tuple[Endpoint, ...] = ()
    resolver: bool = False
    """Whether the resolver answers at 127.0.0.11: :mod:`engine.drivers.networks.redirect`."""


@dataclass(frozen=True, slots=True)
class Site:
    """Names and paths of a sandbox on the host, and the host's properties that matter for it."""

    pin: Path
    veths: str
    """Prefix of the names of the host's ends; the rest is :data:`engine.domain.naming.SLOT_DIGITS`.
    """
    hairpin: bool
    """Whether bridged frames pass the IP firewall:
    :func:`engine.drivers.networks.bridge.netfilter_sees_bridged`.
    """
    ipv6: bool
    """Whether the kernel supports IPv6."""

    def veth(self, slot: int) -> str:
        """Return the host's end of the pair whose other end is ``eth<slot>``."""
        return f"{self.veths}{naming.SLOT_DIGITS[slot]}"

    def outer(self, endpoint: Endpoint) -> str:
        """Return the host's link that the interface refers to: the pair's other end, or its
        parent.
        """
        return endpoint.bridge if endpoint.stacking else self.veth(endpoint.slot)

    def port(self, endpoint: Endpoint) -> Port:
        """Return the options of the host's end as a port of the bridge."""
        return Port(hairpin=self.hairpin, isolated=not endpoint.icc)


def inner_name(slot: int) -> str:
    """Return the name of a sandbox's interface."""
    return f"eth{slot}"


def build(kernel: NetlinkSocket, sandbox: Sandbox, site: Site) -> None:
    """Make the calling thread's new namespace the sandbox. ``kernel`` is a socket of the host's
    namespace.
    """
    with NetlinkSocket() as inside:
        inside.transact([rtnetlink.change_link(LOOPBACK_INDEX, up=True)])
        for endpoint in sandbox.endpoints:
            _join(kernel, inside, endpoint, site)
    if sandbox.resolver:
        redirect.add()
    failpoint("sandbox_furnished")
    netns.pin(site.pin)


def repair(kernel: NetlinkSocket, sandbox: Sandbox, site: Site) -> None:
    """Repair the sandbox whose namespace the calling thread has entered.

    Interfaces that are no longer wanted are deleted, missing ones are made; what is right is left
    alone, so that connections survive where they can. Addresses and routes that were added in the
    container are left alone, too.
    """
    with NetlinkSocket() as inside:
        inside.transact([rtnetlink.change_link(LOOPBACK_INDEX, up=True)])
        present = {link.name: link for link in rtnetlink.links(inside)}
        _remove_unwanted(kernel, inside, present, sandbox, site)
        for endpoint in sandbox.endpoints:
            inner = present.get(endpoint.name)
            if inner is not None and not _is_joined(kernel, inner, site.outer(endpoint)):
                inside.transact([rtnetlink.delete_link(endpoint.name)])
                inner = None
            if inner is None:
                _connect(kernel, endpoint, site)
            _plug(kernel, endpoint, site)
        for endpoint in sandbox.endpoints:
            _configure(inside, endpoint)
    if sandbox.resolver and not redirect.is_there():
        redirect.replace()


def _remove_unwanted(
    kernel: NetlinkSocket,
    inside: NetlinkSocket,
    present: dict[str, Link],
    sandbox: Sandbox,
    site: Site,
) -> None:
    wanted = {endpoint.slot for endpoint in sandbox.endpoints}
    for slot in set(range(naming.SLOTS_MAX)) - wanted:
        inner = present.get(inner_name(slot))
        if inner is None:
            continue
        if inner.kind in STACKED_DRIVERS:
            inside.transact([rtnetlink.delete_link(inner.name)])
        elif _is_joined(kernel, inner, site.veth(slot)):
            kernel.transact([rtnetlink.delete_link(site.veth(slot))])


def remove_stacked_links() -> None:
    """Delete the macvlan and ipvlan links of the calling thread's namespace, because their
    addresses may be reused at once.
    """
    with NetlinkSocket() as inside:
        stacked = [link for link in rtnetlink.links(inside) if link.kind in STACKED_DRIVERS]
        inside.transact([rtnetlink.delete_link(link.name) for link in stacked])


def _is_joined(kernel: NetlinkSocket, inner: Link, name: str) -> bool:
    outer = rtnetlink.find_link(kernel, name)
    return outer is not None and inner.peer == outer.index


def _join(kernel: NetlinkSocket, inside: NetlinkSocket, endpoint: Endpoint, site: Site) -> None:
    _connect(kernel, endpoint, site)
    _plug(kernel, endpoint, site)
    _configure(inside, endpoint)


def _connect(kernel: NetlinkSocket, endpoint: Endpoint, site: Site) -> None:
    """Create the link between the calling thread's namespace and the host's; an old pair of the
    same name is deleted.
    """
    if endpoint.stacking is not None:
        _stack(kernel, endpoint, endpoint.stacking)
        return
    own_fd = netns.open_own()
    veth = site.veth(endpoint.slot)
    try:
        pair = link_kinds.create_veth(veth, endpoint.name, endpoint.mac, own_fd, endpoint.mtu)
        try:
            kernel.transact([pair])
        except FileExistsError:
            kernel.transact([rtnetlink.delete_link(veth), pair])
    finally:
        os.close(own_fd)


def _stack(kernel: NetlinkSocket, endpoint: Endpoint, stacking: Stacking) -> None:
    parent = rtnetlink.find_link(kernel, endpoint.bridge)
    if parent is None:
        raise OSError(errno.ENODEV, f"link {endpoint.bridge} does not exist")
    own_fd = netns.open_own()
    try:
        mac = endpoint.mac if stacking.has_mac else ""
        request = link_kinds.create_stacked_link(
            parent.index, endpoint.name, stacking, mac, own_fd, endpoint.mtu
        )
        kernel.transact([request])
    finally:
        os.close(own_fd)


def _plug(kernel: NetlinkSocket, endpoint: Endpoint, site: Site) -> None:
    """Plug the host's end, if there is one, into the bridge and bring it up."""
    if endpoint.stacking is not None:
        return
    bridge = rtnetlink.find_link(kernel, endpoint.bridge)
    if bridge is None:
        raise OSError(errno.ENODEV, f"bridge {endpoint.bridge} does not exist")
    veth = site.veth(endpoint.slot)
    requests = [
        rtnetlink.change_link(
            veth, up=True, mtu=endpoint.mtu, master=bridge.index, no_link_local=site.ipv6
        )
    ]
    if site.port(endpoint) != Port():
        requests.append(rtnetlink.change_port(veth, site.port(endpoint)))
    kernel.transact(requests)


def _configure(inside: NetlinkSocket, endpoint: Endpoint) -> None:
    """Give an interface of the calling thread's namespace its addresses, sysctls and default
    routes, and bring it up.
    """
    link = rtnetlink.find_link(inside, endpoint.name)
    if link is None:
        raise OSError(errno.ENODEV, f"{endpoint.name} does not exist")
    for name, value in _ipv6_settings(endpoint):
        with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
            (_NET / "ipv6/conf" / endpoint.name / name).write_text(value)
    has_mac = endpoint.stacking is None or endpoint.stacking.has_mac
    mac = endpoint.mac if endpoint.mac and has_mac else None
    requests: list[Request] = [
        rtnetlink.change_link(link.index, up=True, mtu=endpoint.mtu or None, mac=mac),
        *(rtnetlink.add_address(link.index, each) for each in endpoint.addresses),
        *(rtnetlink.replace_default_route(link.index, each) for each in endpoint.gateways),
    ]
    inside.transact(requests)
    for name, value in endpoint.sysctls:
        _set(name.replace(_IFNAME, endpoint.name), value)


def _ipv6_settings(endpoint: Endpoint) -> tuple[tuple[str, str], ...]:
    """Return the IPv6 sysctls of an interface.

    Without an IPv6 network the interface has no IPv6 at all, as with Docker, while ``lo`` keeps
    ``::1``. With one it has only the addresses that it was given: router advertisements are
    ignored.
    """
    if not any(each.version == 6 for each in endpoint.addresses):
        return (("disable_ipv6", "1"),)
    return (("disable_ipv6", "0"), ("accept_ra", "0"), ("autoconf", "0"))


def _set(name: str, value: str) -> None:
    """Write a sysctl of the calling thread's namespace. Its name is separated by dots, which an
    interface's name may also contain.
    """
    path = _NET.parent / name.replace(".", "/")
    if not path.is_relative_to(_NET) or ".." in path.parts:
        raise DriverError(f"{name} is not a sysctl of an interface")
    try:
        path.write_text(value)
    except OSError as error:
        raise DriverError(f"sysctl {name}={value}: {error.strerror}") from error


def outer_faults(find: Callable[[str], Link | None], sandbox: Sandbox, site: Site) -> list[str]:
    """Return what is wrong on the host's side, in words. ``find`` returns the host's links."""
    if not netns.is_pinned(site.pin):
        return ["its network namespace is not pinned"]
    return [fault for endpoint in sandbox.endpoints for fault in _outer(find, endpoint, site)]


def _outer(find: Callable[[str], Link | None], endpoint: Endpoint, site: Site) -> list[str]:
    veth = site.outer(endpoint)
    link, bridge = find(veth), find(endpoint.bridge)
    if link is None:
        return [f"link {veth} is gone"]
    if endpoint.stacking is not None:
        return []
    wrong = {
        f"link {veth} is down": not link.up,
        f"link {veth} is unplugged": bridge is None or link.master != bridge.index,
        f"link {veth} is plugged in otherwise": link.port not in (None, site.port(endpoint)),
    }
    return [fault for fault, present in wrong.items() if present]


@dataclass(frozen=True, slots=True)
class Inside:
    """The content of a sandbox's namespace, as the kernel's messages."""

    links: list[bytes]
    addresses: list[bytes]
    routes: list[bytes]
    redirected: bool

    @property
    def fingerprint(self) -> int:
        """A hash that is equal while nothing has changed: comparing it takes a tenth of the time of
        parsing.
        """
        return hash((*self.links, *self.addresses, *self.routes, self.redirected))


def look_inside(sandbox: Sandbox) -> Inside:
    """Read the state of the namespace that the calling thread has entered."""
    with NetlinkSocket() as inside:
        return Inside(
            rtnetlink.dump_links(inside),
            rtnetlink.dump_addresses(inside),
            rtnetlink.dump_routes(inside),
            not sandbox.resolver or redirect.is_there(),
        )


def inner_faults(
    find: Callable[[str], Link | None], sandbox: Sandbox, site: Site, inside: Inside
) -> list[str]:
    """Return what is wrong inside, in words. ``find`` returns the host's links."""
    links = {link.name: link for link in map(rtnetlink.parse_link, inside.links)}
    addresses = set(rtnetlink.parse_addresses(inside.addresses))
    default_routes = {
        (route.output, route.gateway or _DIRECTLY[route.network.version])
        for route in rtnetlink.parse_routes(inside.routes)
        if not route.network.prefixlen
    }
    faults = [] if inside.redirected else ["the way to the resolver is gone"]
    for endpoint in sandbox.endpoints:
        link, outer = links.get(endpoint.name), find(site.outer(endpoint))
        if link is None or outer is None or link.peer != outer.index:
            faults.append(f"{endpoint.name} is gone")
            continue
        wrong = {f"{endpoint.name} is down": not link.up}
        for address in endpoint.addresses:
            wrong[f"{endpoint.name} lost {address}"] = (link.index, address) not in addresses
        for gateway in endpoint.gateways:
            lost = (link.index, gateway) not in default_routes
            wrong[f"{endpoint.name} lost its default route"] = lost
        faults += [fault for fault, present in wrong.items() if present]
    return faults
