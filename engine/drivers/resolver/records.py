"""Define what the resolver is told."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from engine.domain.container.events import ProcessIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class HostNames:
    """What a container is called on one network, and where it is there."""

    owner: str
    """The container's ID."""
    network: str
    network_name: str
    names: tuple[str, ...]
    """The first is the one that its addresses lead back to."""
    addresses: tuple[IPv4Address | IPv6Address, ...]
    process: ProcessIdentity | None = None
    """Its end is the record's end, whether the daemon sees it or not; None: the record stays until
    told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """What a sandbox's questions are answered from."""

    sandbox: str
    networks: tuple[str, ...]
    """IDs of those it is on; the order counts where several know a name."""
    servers: tuple[str, ...] = ()
    """``ADDRESS``, ``ADDRESS:PORT`` or ``[ADDRESS]:PORT``; the first three are asked for all other
    names."""
    forward: bool = True
    """False on internal networks: other names get SERVFAIL, as Docker has it."""
    links: tuple[tuple[str, str], ...] = ()
    """What it alone calls others: an alias and a container's ID."""
    from_host: bool = True
    """The servers are the host's own: those on a loopback address are asked from its network
    namespace."""
