"""Make and check the parents of macvlan and ipvlan networks: the host's links on which the
containers' links are stacked.

An administrator's link is used as it is. When a network names a VLAN that does not exist, or no
parent at all, the link is made, marked with the bridges' alias, and removed with the network.
"""

import errno
import os
from dataclasses import dataclass

from engine.domain.ids import InstanceId
from engine.domain.network.macvlan import is_dummy, vlan_of
from engine.drivers.networks import link_kinds, netns, rtnetlink
from engine.drivers.networks.bridge import alias_of
from engine.drivers.networks.link_kinds import Stacking
from engine.drivers.networks.netlink import NetlinkSocket, Request
from engine.drivers.networks.rtnetlink import Link
from engine.errors import DriverError, InvalidRequest, Unsupported


@dataclass(frozen=True, slots=True)
class Parent:
    """The parent of one network's links."""

    name: str
    stacking: Stacking
    """The kind of links that containers have on it."""


def ensure(kernel: NetlinkSocket, instance: InstanceId, parent: Parent) -> None:
    """Make the parent if it does not exist, and bring it up if this daemon made it.

    Raises:
        InvalidRequest: there is no such link, and no VLAN or dummy has such a name.
        Unsupported: the kernel lacks a required kind of link.
        DriverError: it refuses for another reason.
    """
    link = rtnetlink.find_link(kernel, parent.name)
    if link is None:
        link = _create(kernel, instance, parent.name)
    if not link.up and link.alias == alias_of(instance):
        kernel.transact([rtnetlink.change_link(link.index, up=True)])


def faults(kernel: NetlinkSocket, instance: InstanceId, parent: Parent) -> tuple[str, ...]:
    """Return what is wrong with the parent, in words. An administrator's link may be down."""
    link = rtnetlink.find_link(kernel, parent.name)
    if link is None:
        return (f"link {parent.name} is gone",)
    if not link.up and link.alias == alias_of(instance):
        return (f"link {parent.name} is down",)
    return ()


def check_supported(kernel: NetlinkSocket, parent: Parent) -> None:
    """Check that the kernel can stack a link on the parent, in a namespace that is deleted together
    with the link.

    Raises:
        Unsupported: the kernel lacks this kind of link.
        DriverError: it refuses for another reason.
    """
    link = rtnetlink.find_link(kernel, parent.name)
    assert link is not None

    def attempt() -> None:
        netns.leave()
        own_fd = netns.open_own()
        try:
            request = link_kinds.create_stacked_link(
                link.index, "try0", parent.stacking, "", own_fd, 0
            )
            kernel.transact([request])
            with NetlinkSocket() as inside:
                inside.transact([rtnetlink.delete_link("try0")])
        finally:
            os.close(own_fd)

    try:
        netns.on_own_thread(attempt)
    except OSError as error:
        raise _refusal(parent.stacking.kind, parent.name, error) from error


def _create(kernel: NetlinkSocket, instance: InstanceId, name: str) -> Link:
    kind, request = _making(kernel, name)
    try:
        kernel.transact([request, rtnetlink.change_link(name, alias=alias_of(instance), up=True)])
    except OSError as error:
        kernel.transact([rtnetlink.delete_link(name)])
        raise _refusal(kind, name, error) from error
    made = rtnetlink.find_link(kernel, name)
    assert made is not None
    return made


def _making(kernel: NetlinkSocket, name: str) -> tuple[str, Request]:
    if is_dummy(name):
        return "dummy", link_kinds.create_dummy(name)
    vlan = vlan_of(name)
    if vlan is None:
        raise InvalidRequest(
            f"invalid subinterface vlan name {name}, example formatting is eth0.10"
        )
    base = rtnetlink.find_link(kernel, vlan[0])
    if base is None:
        raise InvalidRequest(f"failed to find master interface {vlan[0]} on the host")
    return "vlan", link_kinds.create_vlan(name, base.index, vlan[1])


def _refusal(kind: str, link: str, error: OSError) -> Exception:
    if error.errno == errno.EOPNOTSUPP:
        return Unsupported(f"this kernel has no links of the kind {kind}: load the module {kind}")
    return DriverError(f"{kind} link over {link}: {error.strerror or error}")
