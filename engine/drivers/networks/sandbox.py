"""Sandboxes: one network namespace each, with ``lo`` and, if it has an endpoint, ``eth0`` plugged into a bridge.

    host namespace                         sandbox, pinned at EXEC_ROOT/netns/ID
    bridge ── sl<tag><8 digits of ID> ════ eth0  address, MAC, default route
                                           lo

A sandbox is built from inside a thread that has just left for a new namespace, and pinned *last*. So the pin is the
commit: a crash before it ends the thread, the thread's end takes the namespace and both ends of the pair with it, and
whatever has a pin was once complete.

Removal is the pin's end too. The bridge's port is silenced, so that an address can be given to the next container at
once, the pin goes, and the kernel dismantles namespace and pair in the background (100 of them in 60 ms; deleting each
pair ourselves waits for 20 ms a piece).
"""

import contextlib
import errno
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Final

from engine.domain.ids import SandboxId
from engine.drivers.networks import netns, rtnetlink
from engine.drivers.networks.netlink import NetlinkSocket
from engine.drivers.networks.rtnetlink import LOOPBACK_INDEX, Link, Port
from engine.failpoints import failpoint

INSIDE: Final = "eth0"
_DISABLE_IPV6: Final = f"/proc/sys/net/ipv6/conf/{INSIDE}/disable_ipv6"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A sandbox's joint with one network."""

    bridge: str
    address: IPv4Interface
    gateway: IPv4Address
    mac: str
    mtu: int = 1500
    icc: bool = True
    """Whether it may speak to other endpoints of the same bridge."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A network namespace, as it should be; without an endpoint it has ``lo`` alone (Docker's ``none``)."""

    id: SandboxId
    endpoint: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """Where a sandbox's two halves stand, and what the host is like."""

    pin: Path
    veth: str
    hairpin: bool
    """Whether bridged frames pass the IP firewall: :func:`engine.drivers.networks.bridge.netfilter_sees_bridged`."""
    ipv6: bool
    """Whether the kernel speaks it at all."""

    def port(self, endpoint: Endpoint) -> Port:
        """How the host's end is plugged in."""
        return Port(hairpin=self.hairpin, isolated=not endpoint.icc)


def build(kernel: NetlinkSocket, sandbox: Sandbox, site: Site) -> None:
    """Make the calling thread's fresh namespace the sandbox. ``kernel`` speaks to the host's namespace."""
    with NetlinkSocket() as inside:
        _furnish(kernel, inside, sandbox, site)
    failpoint("sandbox_furnished")
    netns.pin(site.pin)


def repair(kernel: NetlinkSocket, sandbox: Sandbox, site: Site) -> None:
    """Put right whatever is wrong with the sandbox whose namespace the calling thread has entered.

    What is right is left alone, so connections survive where they can. Addresses and routes that somebody in the
    container added are the container's own business.
    """
    with NetlinkSocket() as inside:
        if sandbox.endpoint is None or not _joined(kernel, inside, site):
            inside.transact([rtnetlink.delete_link(INSIDE)])
            _furnish(kernel, inside, sandbox, site)
            return
        plug(kernel, sandbox.endpoint, site)
        configure(inside, sandbox.endpoint)


def _furnish(kernel: NetlinkSocket, inside: NetlinkSocket, sandbox: Sandbox, site: Site) -> None:
    if sandbox.endpoint is None:
        inside.transact([rtnetlink.change_link(LOOPBACK_INDEX, up=True)])
        return
    connect(kernel, sandbox.endpoint, site)
    configure(inside, sandbox.endpoint)


def connect(kernel: NetlinkSocket, endpoint: Endpoint, site: Site) -> None:
    """Make the pair that joins the calling thread's namespace to the bridge; one left over from before goes."""
    own_fd = netns.open_own()
    try:
        pair = rtnetlink.create_veth(site.veth, INSIDE, endpoint.mac, own_fd, endpoint.mtu)
        try:
            kernel.transact([pair])
        except FileExistsError:
            kernel.transact([rtnetlink.delete_link(site.veth), pair])
    finally:
        os.close(own_fd)
    plug(kernel, endpoint, site)


def plug(kernel: NetlinkSocket, endpoint: Endpoint, site: Site) -> None:
    """Plug the host's end into the bridge and bring it up."""
    bridge = rtnetlink.find_link(kernel, endpoint.bridge)
    if bridge is None:
        raise OSError(errno.ENODEV, f"bridge {endpoint.bridge} does not exist")
    requests = [
        rtnetlink.change_link(site.veth, up=True, master=bridge.index, no_link_local=site.ipv6)
    ]
    if site.port(endpoint) != Port():
        requests.append(rtnetlink.change_port(site.veth, site.port(endpoint)))
    kernel.transact(requests)


def configure(inside: NetlinkSocket, endpoint: Endpoint) -> None:
    """Give ``eth0`` of the calling thread's namespace its address and its way out, and bring it up.

    Without an IPv6 network eth0 has no IPv6 at all, as Docker has it, while ``lo`` keeps ``::1``.
    """
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
        Path(_DISABLE_IPV6).write_text("1")
    index = socket.if_nametoindex(INSIDE)
    inside.transact(
        [
            rtnetlink.change_link(LOOPBACK_INDEX, up=True),
            rtnetlink.change_link(index, up=True, mtu=endpoint.mtu),
            rtnetlink.add_address(index, endpoint.address),
            rtnetlink.replace_default_route(index, endpoint.gateway),
        ]
    )


def _joined(kernel: NetlinkSocket, inside: NetlinkSocket, site: Site) -> bool:
    """Whether the two ends are there and belong to each other."""
    outer, inner = rtnetlink.find_link(kernel, site.veth), rtnetlink.find_link(inside, INSIDE)
    return outer is not None and inner is not None and inner.peer == outer.index


def outer_faults(find: Callable[[str], Link | None], sandbox: Sandbox, site: Site) -> list[str]:
    """What is wrong on the host's side, in words. ``find`` knows the host's links."""
    if not netns.is_pinned(site.pin):
        return ["its network namespace is not pinned"]
    if sandbox.endpoint is None:
        return []
    link, bridge = find(site.veth), find(sandbox.endpoint.bridge)
    if link is None:
        return [f"link {site.veth} is gone"]
    wrong = {
        f"link {site.veth} is down": not link.up,
        f"link {site.veth} is unplugged": bridge is None or link.master != bridge.index,
        f"link {site.veth} is plugged in otherwise": link.port
        not in (None, site.port(sandbox.endpoint)),
    }
    return [fault for fault, present in wrong.items() if present]


def inner_faults(find: Callable[[str], Link | None], sandbox: Sandbox, site: Site) -> list[str]:
    """What is wrong inside the namespace that the calling thread has entered, in words."""
    if sandbox.endpoint is None:
        return []
    outer = find(site.veth)
    with NetlinkSocket() as inside:
        link = rtnetlink.find_link(inside, INSIDE)
        if link is None or outer is None or link.peer != outer.index:
            return [f"{INSIDE} is gone"]
        owned = (link.index, sandbox.endpoint.address) in rtnetlink.addresses(inside)
        routes = rtnetlink.routes(inside)
    wrong = {
        f"{INSIDE} is down": not link.up,
        f"{INSIDE} lost {sandbox.endpoint.address}": not owned,
        f"{INSIDE} lost its default route": not any(
            not route.network.prefixlen and route.gateway == sandbox.endpoint.gateway
            for route in routes
        ),
    }
    return [fault for fault, present in wrong.items() if present]
