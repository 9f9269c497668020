"""Redirect DNS queries to the resolver: within a sandbox, 127.0.0.11:53 leads to the port where the
engine's resolver listens.

Port 53 itself stays the container's: a name server in it may bind 0.0.0.0:53. All functions act on
the namespace of the calling thread.
"""

from typing import Final

from engine.domain.container.etc_files import RESOLVER
from engine.drivers.networks.libnftables import Nftables, NftError
from engine.drivers.networks.messages import CHAIN, decode, encode
from engine.drivers.networks.netlink import NETLINK_NETFILTER, NetlinkSocket, Request
from engine.errors import DriverError
from engine.resolver.listeners import PORT

_TABLE: Final = "shipslog_resolver"
_CHAIN: Final = "output"
_RULES: Final = 2
_AWAY: Final = f"add table ip {_TABLE}\ndelete table ip {_TABLE}\n"
_HERE: Final = f"""table ip {_TABLE} {{
    chain {_CHAIN} {{
        type nat hook output priority -100; policy accept;
        ip daddr {RESOLVER} udp dport 53 dnat to {RESOLVER}:{PORT}
        ip daddr {RESOLVER} tcp dport 53 dnat to {RESOLVER}:{PORT}
    }}
}}
"""
# linux/netfilter/nfnetlink.h, nf_tables.h
_NFNL_SUBSYS_NFTABLES: Final = 10
_NFT_MSG_GETCHAIN: Final = 4
_NFPROTO_IPV4: Final = 2
_GET_CHAIN: Final = Request(
    _NFNL_SUBSYS_NFTABLES << 8 | _NFT_MSG_GETCHAIN,
    0,
    encode(
        CHAIN,
        {"nfgen_family": _NFPROTO_IPV4},
        [("NFTA_CHAIN_TABLE", _TABLE), ("NFTA_CHAIN_NAME", _CHAIN)],
    ),
    "look at the way to the resolver",
)


def add() -> None:
    """Add the rules to a new namespace.

    Raises:
        DriverError: nft refused.
    """
    _run(_HERE)


def replace() -> None:
    """Replace the rules, whatever their state. The kernel waits for its readers, which takes 10 ms.

    Raises:
        DriverError: nft refused.
    """
    _run(_AWAY + _HERE)


def _run(commands: str) -> None:
    try:
        with Nftables() as nft:
            nft.run(commands)
    except NftError as error:
        raise DriverError(f"the way to the resolver: {error}") from error


def is_there() -> bool:
    """True if the chain exists with the right number of rules: 30 microseconds, for the sweep."""
    with NetlinkSocket(NETLINK_NETFILTER) as kernel:
        try:
            answer = kernel.ask(_GET_CHAIN)
        except FileNotFoundError:
            return False
    return answer is not None and decode(CHAIN, answer).number("NFTA_CHAIN_USE") == _RULES
