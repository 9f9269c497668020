"""The firewall driver: one nftables table per instance, computed from the state and compared with it.

Whether the table is right is asked of the kernel in two steps. Every transaction on any table moves nftables' *generation*
on by one, so an unmoved generation means that nobody has touched anything: that takes 30 microseconds. If it has moved, the
table is listed. Its ports are compared with the plan one by one; its rules with what the same kernel and the same
libnftables show of the same rules in a network namespace made for the purpose, because how a rule is *listed* differs
between versions of both.
"""

import struct
from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final

from engine.domain import naming
from engine.domain.ids import InstanceId
from engine.drivers.networks import netlink, netns, ruleset
from engine.drivers.networks.libnftables import Nftables, NftError
from engine.drivers.networks.netlink import NETLINK_NETFILTER, NetlinkSocket, Request
from engine.drivers.networks.ruleset import BridgeRules, FirewallPlan, PublishedPort
from engine.errors import DriverError

# linux/netfilter/nfnetlink.h, nf_tables.h
NFNL_SUBSYS_NFTABLES: Final = 10
NFT_MSG_GETGEN: Final = 16
NFTA_GEN_ID: Final = 1
_NFGENMSG: Final = struct.Struct("=BBH")  # family, version, resource
_GETGEN: Final = Request(
    NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, 0, _NFGENMSG.pack(0, 0, 0), "ask for the generation"
)


class Firewall:
    """The table of one instance, in the namespace of the thread that first uses the driver, and on that thread."""

    def __init__(self, instance: InstanceId) -> None:
        self._table = naming.firewall_table(instance)
        self._nft: Nftables | None = None
        self._netfilter: NetlinkSocket | None = None
        self._known: tuple[int, FirewallPlan] | None = None
        self._skeleton: tuple[frozenset[BridgeRules], list[dict[str, Any]]] | None = None

    def close(self) -> None:
        """Release the library's context and the socket; the next use opens others."""
        if self._nft is not None:
            self._nft.close()
        if self._netfilter is not None:
            self._netfilter.close()
        self._nft = self._netfilter = None

    def apply(self, plan: FirewallPlan) -> None:
        """Put the planned table in place of whatever there is, as one transaction. Connections go on.

        Raises:
            DriverError: nft refused; nothing has changed.
        """
        before = self._generation()
        self._run(ruleset.replacement(self._table, plan))
        self._learn(before, plan)

    def publish(self, ports: Collection[PublishedPort]) -> None:
        """Add ports to the table: all or none. One that is there already is fine, if it leads to the same place.

        Raises:
            DriverError: the table is gone, or a key leads elsewhere: :meth:`apply` puts both right.
        """
        if not ports:
            return
        before = self._generation()
        known = self._plan_at(before)
        self._run(ruleset.additions(self._table, ports))
        if known is not None:
            self._learn(before, replace(known, ports=known.ports.union(ports)))

    def unpublish(self, ports: Collection[PublishedPort]) -> None:
        """Take ports out of the table: nothing to do for those that are not there.

        Raises:
            DriverError: nft refused.
        """
        if not ports:
            return
        before = self._generation()
        known = self._plan_at(before)
        if known is not None and known.ports.issuperset(ports):
            self._run(ruleset.deletions(self._table, ports))
            self._learn(before, replace(known, ports=known.ports.difference(ports)))
            return
        present = self.published().intersection(ports)
        if present:
            self._run(ruleset.deletions(self._table, present))

    def is_right(self, plan: FirewallPlan) -> bool:
        """Whether the kernel has exactly the planned table.

        Raises:
            DriverError: nft could not tell.
        """
        generation = self._generation()
        if self._plan_at(generation) == plan:
            return True
        listing = self._listing()
        right = (
            bool(listing)
            and ruleset.ports_of(listing) == plan.ports
            and ruleset.skeleton_of(listing) == self._expected(plan.bridges)
        )
        self._known = (generation, plan) if right else None
        return right

    def remove(self) -> None:
        """Remove the table; nothing to do when it is gone."""
        self._run(f"add table ip {self._table}\ndelete table ip {self._table}\n")
        self._known = None

    def published(self) -> frozenset[PublishedPort]:
        """The ports that the kernel's table holds."""
        return ruleset.ports_of(self._listing())

    def _plan_at(self, generation: int) -> FirewallPlan | None:
        """What the table is known to hold, if nothing has happened since it was known."""
        if self._known is None or self._known[0] != generation:
            return None
        return self._known[1]

    def _learn(self, before: int, plan: FirewallPlan) -> None:
        """Remember what our own transaction made, unless somebody else's came between."""
        after = self._generation()
        self._known = (after, plan) if after == before + 1 else None

    def _generation(self) -> int:
        if self._netfilter is None:
            self._netfilter = NetlinkSocket(NETLINK_NETFILTER)
        try:
            answer = self._netfilter.ask(_GETGEN)
        except OSError as error:
            raise DriverError(f"firewall: {error.strerror}") from error
        assert answer is not None
        return int.from_bytes(netlink.attributes(answer, _NFGENMSG.size)[NFTA_GEN_ID], "big")

    def _listing(self) -> list[dict[str, Any]]:
        """The table as nft lists it; empty when there is none."""
        try:
            tables = self._context.objects("list tables ip")
            if not any(each["table"]["name"] == self._table for each in tables):
                return []
            return self._context.objects(f"list table ip {self._table}")
        except NftError as error:
            raise DriverError(f"firewall table {self._table}: {error}") from error

    def _expected(self, bridges: frozenset[BridgeRules]) -> list[dict[str, Any]]:
        """How this kernel and this library show the table's rules: asked in a network namespace made for it."""
        if self._skeleton is None or self._skeleton[0] != bridges:
            self._skeleton = (bridges, netns.on_own_thread(lambda: self._rehearse(bridges)))
        return self._skeleton[1]

    def _rehearse(self, bridges: frozenset[BridgeRules]) -> list[dict[str, Any]]:
        netns.leave()
        with Nftables() as nft:
            nft.run(ruleset.definition(self._table, FirewallPlan(bridges)))
            return ruleset.skeleton_of(nft.objects(f"list table ip {self._table}"))

    @property
    def _context(self) -> Nftables:
        if self._nft is None:
            try:
                self._nft = Nftables()
            except OSError as error:
                raise DriverError(f"firewall: {error}; is libnftables installed?") from error
        return self._nft

    def _run(self, commands: str) -> None:
        try:
            self._context.run(commands)
        except NftError as error:
            raise DriverError(f"firewall table {self._table}: {error}") from error
