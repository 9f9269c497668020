"""Hold names and addresses for each network. Pure.

A name is looked up in this order, as in Docker (libnetwork, ``sandbox.ResolveName``): the sandbox's
own links before containers' names, a whole name before ``NAME.NETWORK``, and the sandbox's networks
in their order; the first network that has an address of the requested family answers alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from engine.resolver import wire
from engine.runtime.messages import Message, ProtocolError


class HostRecord(NamedTuple):
    """The names and addresses of one container on one network. The first name is the answer to
    reverse lookups.
    """

    network: str
    network_name: str
    names: tuple[str, ...]
    addresses: tuple[str, ...]

    @classmethod
    def from_message(cls, message: Message) -> "HostRecord":
        """Decode the result of :meth:`to_message`."""
        try:
            return cls(
                network=str(message["network"]),
                network_name=str(message["network_name"]),
                names=tuple(map(str, message["names"])),
                addresses=tuple(map(str, message["addresses"])),
            )
        except (KeyError, TypeError) as error:
            raise ProtocolError(f"host record: {error!r}") from error

    def to_message(self) -> Message:
        """Return the message to send."""
        return self._asdict()


class _Host(NamedTuple):
    """A record in the form for lookups."""

    owner: str
    network: str
    network_name: str
    names: frozenset[bytes]
    qualified: frozenset[bytes]
    addresses: tuple[bytes, ...]
    """In network byte order: 4 bytes or 16."""
    reverse: tuple[bytes, ...]
    called: bytes | None
    """The answer to reverse lookups."""


class _Zone:
    """The hosts of one network, by name and by address."""

    def __init__(self) -> None:
        self.names: dict[bytes, list[_Host]] = {}
        self.qualified: dict[bytes, list[_Host]] = {}
        self.reverse: dict[bytes, list[_Host]] = {}

    def add(self, host: _Host) -> None:
        for table, keys in self._entries(host):
            for key in keys:
                table.setdefault(key, []).append(host)

    def remove(self, host: _Host) -> None:
        for table, keys in self._entries(host):
            for key in keys:
                table[key].remove(host)
                if not table[key]:
                    del table[key]

    def _entries(self, host: _Host) -> Iterator[tuple[dict[bytes, list[_Host]], Iterable[bytes]]]:
        yield self.names, host.names
        yield self.qualified, host.qualified
        yield self.reverse, set(host.reverse)


class Links(NamedTuple):
    """The links of one sandbox: aliases in the wire format, and the containers that they mean."""

    names: dict[bytes, str]

    @classmethod
    def of(cls, links: Iterable[tuple[str, str]]) -> "Links":
        """Create links from pairs of an alias and a container."""
        named = ((wire.name(alias.lower()), owner) for alias, owner in links)
        return cls({name: owner for name, owner in named if name is not None})


class Zones:
    """The records of all networks."""

    def __init__(self) -> None:
        self._zones: dict[str, _Zone] = {}
        self._owners: dict[str, list[_Host]] = {}
        self.revision = 0
        """Incremented by each change: results of an older revision are invalid."""

    @property
    def owners(self) -> frozenset[str]:
        """Return the containers that have a record."""
        return frozenset(self._owners)

    def __len__(self) -> int:
        """Return how many containers have records."""
        return len(self._owners)

    def set_records(self, owner: str, records: Iterable[HostRecord]) -> None:
        """Replace a container's records by these.

        Raises:
            ValueError: an address is invalid; the old records stay.
        """
        hosts = [_host(owner, record) for record in records]
        for host in self._owners.pop(owner, ()):
            zone = self._zones[host.network]
            zone.remove(host)
            if not zone.names and not zone.reverse:
                del self._zones[host.network]
        for host in hosts:
            self._zones.setdefault(host.network, _Zone()).add(host)
        if hosts:
            self._owners[owner] = hosts
        self.revision += 1

    def addresses(
        self, networks: Sequence[str], links: Links, name: bytes, length: int
    ) -> list[bytes] | None:
        """Return the addresses of a name that have ``length`` bytes; None if no container has the
        name.
        """
        is_known = False
        for hosts in self._candidates(networks, links, name):
            is_known = True
            found = [each for host in hosts for each in host.addresses if len(each) == length]
            if found:
                return list(dict.fromkeys(found))
        return [] if is_known else None

    def called(self, networks: Sequence[str], name: bytes) -> bytes | None:
        """Return the name for an address's reverse lookup, both in the wire format; None if no
        container has the address.
        """
        for zone in self._seen(networks):
            for host in zone.reverse.get(name, ()):
                return host.called
        return None

    def _candidates(
        self, networks: Sequence[str], links: Links, name: bytes
    ) -> Iterator[list[_Host]]:
        """Yield the hosts with a name, one network at a time, in the order of lookup; none of the
        lists is empty.
        """
        if links.names:
            yield from self._linked(networks, links, name)
        zones = self._seen(networks)
        for zone in zones:
            if hosts := zone.names.get(name):
                yield hosts
        for zone in zones:
            if hosts := zone.qualified.get(name):
                yield hosts

    def _linked(self, networks: Sequence[str], links: Links, name: bytes) -> Iterator[list[_Host]]:
        for alias, owner in links.names.items():
            if name.startswith(alias[:-1]):
                for network in networks:
                    hosts = [
                        host
                        for host in self._owners.get(owner, ())
                        if host.network == network
                        and name in (alias, _qualified(alias, host.network_name))
                    ]
                    if hosts:
                        yield hosts

    def _seen(self, networks: Sequence[str]) -> list[_Zone]:
        zones = self._zones
        return [zones[network] for network in networks if network in zones]


def _host(owner: str, record: HostRecord) -> _Host:
    addresses = [ip_address(address) for address in record.addresses]
    names = [name for text in record.names if (name := wire.name(text)) is not None]
    called = _qualified(names[0], record.network_name) if names else None
    folded = frozenset(name.lower() for name in names)
    qualified = (_qualified(name, record.network_name) for name in folded)
    return _Host(
        owner=owner,
        network=record.network,
        network_name=record.network_name,
        names=folded,
        qualified=frozenset(name.lower() for name in qualified if name is not None),
        addresses=tuple(address.packed for address in addresses),
        reverse=tuple(_reverse(address) for address in addresses),
        called=called,
    )


def _qualified(name: bytes, network_name: str) -> bytes | None:
    """Return ``name.network_name``; None if that is not a valid name."""
    network = wire.name(network_name)
    if network is None or len(name) - 1 + len(network) > wire.NAME_BYTES_MAX:
        return None
    return name[:-1] + network


def _reverse(address: IPv4Address | IPv6Address) -> bytes:
    """Return the name for an address's reverse lookup. RFC 1035 section 3.5, RFC 3596 section
    2.5.
    """
    name = wire.name(address.reverse_pointer)
    assert name is not None
    return name
