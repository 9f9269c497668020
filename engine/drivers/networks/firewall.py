"""Apply and check the firewall: one nftables table for each instance.

The check has two steps. Every transaction on any table increments nftables' *generation*, so an
unchanged generation means that nothing was changed: reading it takes 30 microseconds. If it has
changed, the table is listed. Its ports are compared with the plan one by one; its rules with what
the same kernel and the same libnftables list for the same rules in a new network namespace, because
the *listing* of a rule differs between versions of both.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog

from engine.domain import naming
from engine.domain.ids import InstanceId
from engine.drivers.networks import conntrack, netns, ruleset
from engine.drivers.networks.libnftables import Nftables, NftError
from engine.drivers.networks.messages import GENERATION, decode, encode
from engine.drivers.networks.netlink import NETLINK_NETFILTER, NetlinkSocket, Request
from engine.drivers.networks.ruleset import BridgeRules, FirewallPlan, PublishedPort
from engine.errors import DriverError

log = structlog.get_logger()

# linux/netfilter/nfnetlink.h, nf_tables.h
NFNL_SUBSYS_NFTABLES: Final = 10
NFT_MSG_GETGEN: Final = 16
_GETGEN: Final = Request(
    NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, 0, encode(GENERATION, {}), "ask for the generation"
)


@dataclass(slots=True)
class _Content:
    """What the table holds. The ports change in place, because copying many would cost more than
    the change.
    """

    bridges: frozenset[BridgeRules]
    ports: set[PublishedPort]

    @classmethod
    def of(cls, plan: FirewallPlan) -> "_Content":
        return cls(plan.bridges, set(plan.ports))


class Firewall:
    """The table of one instance, in the network namespace of the thread that first uses the driver.
    Belongs to that thread.
    """

    def __init__(self, instance: InstanceId) -> None:
        self._table = naming.firewall_table(instance)
        self._nft: Nftables | None = None
        self._netfilter: NetlinkSocket | None = None
        self._known: tuple[int, _Content] | None = None
        self._skeleton: tuple[frozenset[BridgeRules], list[dict[str, Any]]] | None = None

    def close(self) -> None:
        """Release the library's context and the socket; the next use opens new ones."""
        if self._nft is not None:
            self._nft.close()
        if self._netfilter is not None:
            self._netfilter.close()
        self._nft = self._netfilter = None

    def apply(self, plan: FirewallPlan) -> None:
        """Replace the whole table by the planned one, in one transaction. Connections continue.

        Raises:
            DriverError: nft refused; nothing has changed.
        """
        before = self._generation()
        self._run(ruleset.replacement(self._table, plan))
        self._learn(before, _Content.of(plan))

    def publish(self, ports: Collection[PublishedPort]) -> None:
        """Add ports to the table, all or none. A port that is already there with the same target is
        fine.

        Raises:
            DriverError: the table is missing, or a port has another target: :meth:`apply` repairs
                both.
        """
        self._change(ruleset.additions(self._table, ports), added=ports)

    def unpublish(self, ports: Collection[PublishedPort]) -> None:
        """Remove ports from the table; those that are not there are ignored.

        Raises:
            DriverError: nft refused.
        """
        present = self._present(ports)
        self._change(ruleset.deletions(self._table, present), removed=present)

    def move(self, before: Collection[PublishedPort], after: Collection[PublishedPort]) -> None:
        """Change where ports lead, in one transaction.

        Raises:
            DriverError: nft refused; nothing has changed.
        """
        present = self._present(before)
        commands = ruleset.deletions(self._table, present) + ruleset.additions(self._table, after)
        self._change(commands, removed=present, added=after)

    def add_bridge(self, bridge: BridgeRules) -> None:
        """Add a bridge to the table. A damaged entry of an existing bridge is repaired by
        :meth:`apply` only.

        Raises:
            DriverError: nft refused.
        """
        before = self._generation()
        known = self._known_at(before)
        self._run(ruleset.bridge_additions(self._table, (bridge,)))
        if known is not None:
            self._learn(before, replace(known, bridges=known.bridges | {bridge}))

    def remove_bridge(self, bridge: BridgeRules) -> None:
        """Remove a bridge from the table; do nothing if it is not there.

        Raises:
            DriverError: nft refused; the next :meth:`apply` repairs what is left.
        """
        before = self._generation()
        known = self._known_at(before)
        if known is not None and bridge not in known.bridges:
            return
        try:
            self._context.run(ruleset.bridge_deletions(self._table, (bridge,)))
        except NftError:
            if known is not None:
                raise
            return  # another program deleted the table or part of it: the sweep repairs that
        if known is not None:
            self._learn(before, replace(known, bridges=known.bridges - {bridge}))

    def _present(self, ports: Collection[PublishedPort]) -> Collection[PublishedPort]:
        """Return those of some ports that the table holds."""
        if not ports:
            return ()
        known = self._known_at(self._generation())
        present = self.published() if known is None else known.ports
        return [each for each in ports if each in present]

    def _change(
        self,
        commands: str,
        removed: Collection[PublishedPort] = (),
        added: Collection[PublishedPort] = (),
    ) -> None:
        """Run commands, and update the known ports without listing the table."""
        if not commands:
            return
        before = self._generation()
        known = self._known_at(before)
        self._run(commands)
        if known is not None:
            known.ports.difference_update(removed)
            known.ports.update(added)
            self._learn(before, known)
        self._forget_connections((*removed, *added))

    def _forget_connections(self, ports: Collection[PublishedPort]) -> None:
        """Best effort: when the kernel can't delete its entries, UDP clients reach the former
        target until the entries expire (30 s).
        """
        assert self._netfilter is not None
        try:
            conntrack.forget(self._netfilter, ports)
        except OSError as error:
            log.warning("connections_not_forgotten", error=str(error))

    def is_right(self, plan: FirewallPlan) -> bool:
        """True if the kernel has exactly the planned table.

        Raises:
            DriverError: nft failed to list it.
        """
        generation = self._generation()
        known = self._known_at(generation)
        if known is not None and known.bridges == plan.bridges and known.ports == plan.ports:
            return True
        listing = self._listing()
        right = (
            bool(listing)
            and ruleset.ports_of(listing) == plan.ports
            and ruleset.skeleton_of(listing) == self._expected(plan.bridges)
        )
        self._known = (generation, _Content.of(plan)) if right else None
        return right

    def has_changes(self) -> bool:
        """Return True unless the table was found right, and nothing has changed any table since.

        Raises:
            DriverError: the kernel refused.
        """
        return self._known_at(self._generation()) is None

    def remove(self) -> None:
        """Remove the table; do nothing if it is gone."""
        self._run(f"add table inet {self._table}\ndelete table inet {self._table}\n")
        self._known = None

    def published(self) -> frozenset[PublishedPort]:
        """Return the ports that the kernel's table holds."""
        return ruleset.ports_of(self._listing())

    def _known_at(self, generation: int) -> "_Content | None":
        """Return the known content of the table if nothing has changed since it was known."""
        if self._known is None or self._known[0] != generation:
            return None
        return self._known[1]

    def _learn(self, before: int, content: "_Content") -> None:
        """Remember what our own transaction made, unless another one happened between."""
        after = self._generation()
        self._known = (after, content) if after == before + 1 else None

    def _generation(self) -> int:
        if self._netfilter is None:
            self._netfilter = NetlinkSocket(NETLINK_NETFILTER)
        try:
            answer = self._netfilter.ask(_GETGEN)
        except OSError as error:
            raise DriverError(f"firewall: {error.strerror}") from error
        assert answer is not None
        return decode(GENERATION, answer).number("NFTA_GEN_ID")

    def _listing(self) -> list[dict[str, Any]]:
        """Return the table as nft lists it; empty if there is none."""
        try:
            tables = self._context.objects("list tables inet")
            if not any(each["table"]["name"] == self._table for each in tables):
                return []
            return self._context.objects(f"list table inet {self._table}")
        except NftError as error:
            raise DriverError(f"firewall table {self._table}: {error}") from error

    def _expected(self, bridges: frozenset[BridgeRules]) -> list[dict[str, Any]]:
        """Return the rules as this kernel and this library list them, from a new network
        namespace.
        """
        if self._skeleton is None or self._skeleton[0] != bridges:
            self._skeleton = (bridges, netns.on_own_thread(lambda: self._dry_run(bridges)))
        return self._skeleton[1]

    def _dry_run(self, bridges: frozenset[BridgeRules]) -> list[dict[str, Any]]:
        netns.leave()
        with Nftables() as nft:
            nft.run(
                ruleset.definition(self._table) + ruleset.bridge_additions(self._table, bridges)
            )
            return ruleset.skeleton_of(nft.objects(f"list table inet {self._table}"))

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
