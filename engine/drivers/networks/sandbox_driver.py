"""Manage the bridges and sandboxes of one instance, in the daemon's network namespace.

All methods block for well under a millisecond to a few, and belong on *one* thread that stays in
the daemon's namespace: the driver's socket is opened there, at the first use. Every method is
idempotent. What the driver remembers only saves time: which sandboxes were right when they were
last inspected, which slots were in use, and which links the kernel is about to dismantle.
"""

import contextlib
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Final

from engine.domain import naming
from engine.domain.container.events import ProcessIdentity
from engine.domain.ids import InstanceId, SandboxId
from engine.drivers.listing import names_in
from engine.drivers.networks import bridge as bridges
from engine.drivers.networks import macvlan_parents as parents
from engine.drivers.networks import netns, rtnetlink
from engine.drivers.networks import sandbox as sandboxes
from engine.drivers.networks.bridge import Bridge
from engine.drivers.networks.host_links import HostLinks
from engine.drivers.networks.macvlan_parents import Parent
from engine.drivers.networks.netlink import NetlinkSocket
from engine.drivers.networks.rtnetlink import Link, Subnet
from engine.drivers.networks.sandbox import Sandbox, Site
from engine.drivers.networks.sandbox_looks import SandboxLooks
from engine.drivers.processes.identity import held
from engine.errors import DriverError

_SANDBOX_DIGITS: Final = 16
_IPV6: Final = Path("/proc/net/if_inet6")
_DISMANTLING_S: Final = 5.0
"""How long the kernel may take to dismantle a namespace without a pin, before its veth counts as
left over.
"""
_DELETION_GROUP: Final = 0x5D000000
"""Interface group of links that are about to be deleted together; the instance's tag is added."""


@dataclass(frozen=True, slots=True)
class Survey:
    """The result of one inspection of everything."""

    sandboxes: frozenset[SandboxId]
    """All that carry our mark, wanted or not."""
    damaged: frozenset[SandboxId]
    """The damaged ones of the wanted sandboxes."""
    bridges: frozenset[str]
    """Names of the bridges that carry our mark."""


class NetworkDriver:
    """Creates, inspects and removes bridges and sandboxes."""

    def __init__(self, instance: InstanceId, exec_root: Path) -> None:
        self._instance = instance
        self._exec_root = exec_root
        self._socket: NetlinkSocket | None = None
        self._dismantled: dict[str, float] = {}
        self._listing: HostLinks | None = None
        self._surveyed = 0
        """Which listing of the host's links the last survey was made with."""
        self._looks = SandboxLooks(self._site)
        self._slots: dict[SandboxId, int] = {}
        """How many slots of each sandbox have been in use."""
        self._with_stacked_links: set[SandboxId] = set()
        """Sandboxes with macvlan or ipvlan links."""

    @property
    def _kernel(self) -> NetlinkSocket:
        if self._socket is None:
            self._socket = NetlinkSocket()
        return self._socket

    @property
    def _host(self) -> HostLinks:
        if self._listing is None:
            self._listing = HostLinks(self._kernel)
        return self._listing

    def close(self) -> None:
        """Release the sockets; the next use opens new ones."""
        self._looks.close()
        self._looks = SandboxLooks(self._site)
        if self._listing is not None:
            self._listing.close()
            self._listing = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # Bridges

    def ensure_bridge(self, bridge: Bridge) -> None:
        """Create or repair a bridge, and enable forwarding.

        Raises:
            ForeignBridge: the name belongs to a link that is not ours.
            DriverError: the kernel refused.
        """
        with _acting(f"bridge {bridge.name}"):
            bridges.ensure(self._kernel, self._instance, bridge)

    def faults_of_bridges(self, wanted: Iterable[Bridge]) -> dict[str, tuple[str, ...]]:
        """Return what is wrong with each bridge, in words, by its name; an empty tuple if nothing
        is.
        """
        with _acting("bridges"):
            self._host.refresh()
            return bridges.all_faults(self._host, self._instance, wanted)

    def remove_bridge(self, name: str) -> None:
        """Remove a bridge of ours; do nothing if it is gone or not ours."""
        with _acting(f"bridge {name}"):
            bridges.remove(self._kernel, self._instance, name)

    def taken_subnets(self, apart_from: Collection[str] = ()) -> list[Subnet]:
        """Return the subnets that the host has or routes to, in order, not counting those of the
        links named ``apart_from``.
        """
        with _acting("subnets"):
            return bridges.taken_subnets(self._kernel, frozenset(apart_from))

    def address_of(self, name: str) -> IPv4Interface | None:
        """Return the first IPv4 address of a link; None if it has none or does not exist."""
        with _acting(f"link {name}"):
            link = rtnetlink.find_link(self._kernel, name)
            found = rtnetlink.addresses(self._kernel, link.index) if link is not None else []
            return next(
                (
                    address
                    for index, address in found
                    if link and index == link.index and isinstance(address, IPv4Interface)
                ),
                None,
            )

    # Parents

    def make_parent(self, parent: Parent) -> None:
        """Create a parent, and check that the kernel supports the links that containers will need.

        Raises:
            InvalidRequest, Unsupported, DriverError: see
                :mod:`engine.drivers.networks.macvlan_parents`.
        """
        self.ensure_parent(parent)
        parents.check_supported(self._kernel, parent)

    def ensure_parent(self, parent: Parent) -> None:
        """Create or repair a parent.

        Raises:
            InvalidRequest, Unsupported, DriverError: as above.
        """
        with _acting(f"link {parent.name}"):
            parents.ensure(self._kernel, self._instance, parent)

    def faults_of_parent(self, parent: Parent) -> tuple[str, ...]:
        """Return what is wrong with a parent, in words."""
        with _acting(f"link {parent.name}"):
            return parents.faults(self._kernel, self._instance, parent)

    # Sandboxes

    def prepare_sandbox(self, sandbox: Sandbox) -> None:
        """Create or repair a sandbox."""
        self.prepare_sandboxes((sandbox,))

    def prepare_sandboxes(self, wanted: Iterable[Sandbox]) -> None:
        """Create or repair several sandboxes, one after the other on one thread; those before one
        that failed stay.

        Raises:
            DriverError: the kernel refused; the message names the sandbox.
        """
        hairpin, ipv6 = bridges.netfilter_sees_bridged(), _IPV6.exists()
        kernel = self._kernel

        def prepare() -> None:
            for sandbox in wanted:
                self._note_slots(sandbox)
                site = self._site(sandbox, hairpin, ipv6)
                with _acting(f"sandbox {sandbox.id}"):
                    if netns.is_pinned(site.pin):
                        netns.enter(site.pin)
                        sandboxes.repair(kernel, sandbox, site)
                    else:
                        netns.leave()
                        sandboxes.build(kernel, sandbox, site)

        netns.on_own_thread(prepare)

    def adopt_sandbox(self, sandbox: Sandbox, process: ProcessIdentity) -> None:
        """Pin the namespace of a container's process again, after its pin was removed; then prepare
        it.

        Raises:
            DriverError: the process has ended, so its pid may have been reused.
        """
        pin = naming.sandbox_path(self._exec_root, sandbox.id)
        with (
            held(process) as is_there,
            _acting(f"sandbox {sandbox.id}"),
            netns.opened(process.pid) as namespace_fd,
        ):
            if not is_there():  # checked after the open: what was opened is the process's own
                raise DriverError(f"sandbox {sandbox.id}: process {process.pid} has ended")
            netns.pin(pin, f"/proc/self/fd/{namespace_fd}")
        self.prepare_sandbox(sandbox)

    def has_changes(self, wanted_bridges: Iterable[Bridge]) -> bool:
        """Return True if links, sandboxes or the settings of these bridges may have changed since
        the last survey.
        """
        with _acting("links"):
            links_changed = self._host.has_changes() or self._host.listings != self._surveyed
        self._forget_dismantled()
        return (
            self._looks.has_changes()
            or links_changed
            or bool(self._dismantled)
            or not all(map(bridges.has_settings, wanted_bridges))
        )

    def survey(self, wanted: Collection[Sandbox]) -> Survey:
        """List everything that carries our mark, and return which of the wanted sandboxes are
        damaged.
        """
        with _acting("links"):
            self._host.refresh()
        self._forget_dismantled()
        for sandbox in wanted:
            self._note_slots(sandbox)
        self._surveyed = self._host.listings
        links, mark = self._host.by_name, bridges.alias_of(self._instance)
        return Survey(
            damaged=self._looks.damaged(wanted, links, self._host.listings),
            sandboxes=frozenset(self._owned(links.values())),
            bridges=frozenset(link.name for link in links.values() if link.alias == mark),
        )

    def remove_sandbox(self, sandbox: SandboxId) -> None:
        """Remove a sandbox. Its address may be reused at once; the kernel dismantles the rest in
        the background.
        """
        self.remove_sandboxes((sandbox,))

    def remove_sandboxes(self, unwanted: Collection[SandboxId]) -> None:
        """Remove several sandboxes; links that outlived their pin are deleted.

        Raises:
            DriverError: the kernel refused.
        """
        left_over: list[str] = []
        with _acting("remove sandboxes"):
            for sandbox in unwanted:
                self._looks.forget(sandbox)
                self._remove_stacked_links(sandbox)
                veths = self._silence(sandbox)
                if netns.unpin(naming.sandbox_path(self._exec_root, sandbox)):
                    now = time.monotonic()
                    self._dismantled |= dict.fromkeys(veths, now + _DISMANTLING_S)
                else:
                    left_over += (each for each in veths if not self._being_dismantled(each))
            self._delete_links(left_over)

    def _silence(self, sandbox: SandboxId) -> list[str]:
        """Stop all frames from a sandbox; return the names of the host's ends of its pairs.

        A sandbox that was seen since the daemon's start has no more interfaces than were seen then.
        """
        found = (
            rtnetlink.find_link(self._kernel, naming.host_veth(self._instance, sandbox, slot))
            for slot in range(self._slots.pop(sandbox, naming.SLOTS_MAX))
        )
        links = [link for link in found if link is not None]
        self._kernel.transact([rtnetlink.silence_port(link.index) for link in links])
        return [link.name for link in links]

    def _remove_stacked_links(self, sandbox: SandboxId) -> None:
        """Delete a sandbox's macvlan and ipvlan links at once: until the kernel has dismantled its
        namespace, they answer and keep their MACs.
        """
        pin = naming.sandbox_path(self._exec_root, sandbox)
        if sandbox not in self._with_stacked_links or not netns.is_pinned(pin):
            return

        def take() -> None:
            netns.enter(pin)
            sandboxes.remove_stacked_links()

        netns.on_own_thread(take)
        self._with_stacked_links.discard(sandbox)

    def _note_slots(self, sandbox: Sandbox) -> None:
        if any(endpoint.stacking for endpoint in sandbox.endpoints):
            self._with_stacked_links.add(sandbox.id)
        slots = max((endpoint.slot + 1 for endpoint in sandbox.endpoints), default=0)
        self._slots[sandbox.id] = max(slots, self._slots.get(sandbox.id, 0))

    def _delete_links(self, names: Collection[str]) -> None:
        """Delete links together: one by one, each would wait 20 ms for the kernel's readers."""
        present = [name for name in names if rtnetlink.find_link(self._kernel, name) is not None]
        if not present:
            return
        group = _DELETION_GROUP | int(naming.tag(self._instance), 16)
        self._kernel.transact([rtnetlink.change_link(name, group=group) for name in present])
        self._kernel.transact([rtnetlink.delete_group(group)])

    def owned_sandboxes(self) -> set[SandboxId]:
        """Return all sandboxes of this instance: those with a pin, and those of which only host
        ends of pairs exist.

        A link's name holds part of the sandbox's ID; without a pin the rest is returned as zeros,
        which leads to the same link names.
        """
        with _acting("sandboxes"):
            return self._owned(rtnetlink.links(self._kernel))

    def _owned(self, links: Iterable[Link]) -> set[SandboxId]:
        directory = naming.sandbox_path(self._exec_root, SandboxId(""))
        found = set(map(SandboxId, names_in(directory)))
        pinned = {naming.host_veths(self._instance, sandbox) for sandbox in found}
        prefix = naming.host_veth_prefix(self._instance)
        length = len(naming.host_veth(self._instance, SandboxId("0" * _SANDBOX_DIGITS)))
        for link in links:
            if not link.name.startswith(prefix) or len(link.name) != length:
                continue
            if link.name[:-1] not in pinned and not self._being_dismantled(link.name):
                digits = link.name[:-1].removeprefix(prefix)
                found.add(SandboxId(digits.ljust(_SANDBOX_DIGITS, "0")))
        return found

    def _being_dismantled(self, veth: str) -> bool:
        """True if the kernel is dismantling it and still within its time."""
        return self._dismantled.get(veth, 0.0) > time.monotonic()

    def _forget_dismantled(self) -> None:
        """Forget the names whose time is over; each survey does."""
        now = time.monotonic()
        self._dismantled = {name: end for name, end in self._dismantled.items() if end > now}

    def _site(self, sandbox: Sandbox, hairpin: bool, ipv6: bool) -> Site:
        return Site(
            pin=naming.sandbox_path(self._exec_root, sandbox.id),
            veths=naming.host_veths(self._instance, sandbox.id),
            hairpin=hairpin,
            ipv6=ipv6,
        )


@contextlib.contextmanager
def _acting(subject: str) -> Iterator[None]:
    """Convert an OSError to a DriverError that names the object."""
    try:
        yield
    except OSError as error:
        raise DriverError(f"{subject}: {error.strerror or error}") from error
