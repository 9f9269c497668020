"""Define the records that are sent to the resolver."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from engine.domain.container.events import ProcessIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class HostNames:
    """The names and addresses of a container on one network."""

    owner: str
    """The container's ID."""
    network: str
    network_name: str
    names: tuple[str, ...]
    """The first is the answer to reverse lookups of its addresses."""
    addresses: tuple[IPv4Address | IPv6Address, ...]
    process: ProcessIdentity | None = None
    """The record ends with this process, even while the daemon is down. None: the record stays
    until it is replaced.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """The settings for answering a sandbox's queries."""

    sandbox: str
    networks: tuple[str, ...]
    """IDs of its networks; the order matters if several have the same name."""
    servers: tuple[str, ...] = ()
    """``ADDRESS``, ``ADDRESS:PORT`` or ``[ADDRESS]:PORT``; the first three are asked for all other
    names.
    """
    forward: bool = True
    """False on internal networks: other names get SERVFAIL, as with Docker."""
    links: tuple[tuple[str, str], ...] = ()
    """Links: an alias that only this container can resolve, and a container's ID."""
    from_host: bool = True
    """Whether the servers are the host's own: those on a loopback address are then asked from its
    network namespace.
    """
