"""Encode and decode netlink messages with pyroute2. The only module that uses pyroute2; the rest of
the package sees types.

pyroute2 knows the layout of every message: which attributes there are, how they nest, how each
value is written. It has no types, and ``import pyroute2`` loads all of its 140 modules, asyncio
sockets among them: 60 ms and 8 MB. So its package is entered into ``sys.modules`` without being
run, and only the modules that define messages are imported: 10 ms and 2 MB.
"""

import errno
import importlib.util
import struct
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final


def _enter_package(name: str) -> None:
    """Make the submodules of a package importable without running the package's own
    ``__init__``.
    """
    spec = importlib.util.find_spec(name) if name not in sys.modules else None
    if spec is not None:
        sys.modules[name] = importlib.util.module_from_spec(spec)


_enter_package("pyroute2")

from pyroute2.netlink import nlmsgerr
from pyroute2.netlink.exceptions import NetlinkDecodeError
from pyroute2.netlink.nfnetlink import nfgen_msg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg, protinfo_bridge
from pyroute2.netlink.rtnl.rtmsg import rtmsg

_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_TYPE_MASK: Final = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER

Attribute = tuple[str, object] | tuple[str, object, int]
"""A name as in the kernel's headers, a value (a number, a string, or what :func:`nested` returns),
and optionally flags for the type.
"""


class _ChainMessage(nfgen_msg):  # type: ignore[misc]  # pyroute2 has no types
    """A chain of nftables. pyroute2's own class comes with its asyncio sockets."""

    nla_map = (
        (1, "NFTA_CHAIN_TABLE", "asciiz"),
        (3, "NFTA_CHAIN_NAME", "asciiz"),
        (6, "NFTA_CHAIN_USE", "be32"),
    )


class _GenerationMessage(nfgen_msg):  # type: ignore[misc]  # pyroute2 has no types
    """The number of changes that nftables has made."""

    nla_map = ((1, "NFTA_GEN_ID", "be32"),)


Essential = Mapping[int, "Essential | None"]
"""The types of the attributes that are read; for an attribute made of attributes, those of them
that are read.
"""


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of one kind of message."""

    message: Any
    """pyroute2's class."""
    fixed_bytes: int
    """Length of the part before the attributes."""
    essential: Essential


def _layout(message: Any, essential: Essential) -> Layout:
    fixed_bytes = sum(struct.calcsize(format_) for _, format_ in message.fields)
    return Layout(message, fixed_bytes, essential)


def _types(message: Any, *names: str) -> dict[int, Essential | None]:
    """Return the types of attributes by their names. pyroute2 numbers attributes without a number
    by position.
    """
    known = {
        (entry[1] if isinstance(entry[0], int) else entry[0]): (
            entry[0] if isinstance(entry[0], int) else position
        )
        for position, entry in enumerate(message.nla_map)
    }
    return {known[name]: None for name in names}


def _type(message: Any, name: str) -> int:
    (number,) = _types(message, name)
    return number


_PORT: Final = _types(protinfo_bridge, "IFLA_BRPORT_MODE", "IFLA_BRPORT_ISOLATED")
_LINK_INFO: Final = {
    **_types(ifinfmsg.ifinfo, "IFLA_INFO_KIND", "IFLA_INFO_SLAVE_KIND"),
    _type(ifinfmsg.ifinfo, "IFLA_INFO_SLAVE_DATA"): _PORT,
}
LINK: Final = _layout(
    ifinfmsg,
    {
        **_types(ifinfmsg, "IFLA_ADDRESS", "IFLA_IFNAME", "IFLA_MTU", "IFLA_LINK"),
        **_types(ifinfmsg, "IFLA_MASTER", "IFLA_IFALIAS"),
        _type(ifinfmsg, "IFLA_LINKINFO"): _LINK_INFO,
    },
)
ADDRESS: Final = _layout(ifaddrmsg, _types(ifaddrmsg, "IFA_ADDRESS", "IFA_LOCAL"))
ROUTE: Final = _layout(rtmsg, _types(rtmsg, "RTA_DST", "RTA_OIF", "RTA_GATEWAY"))
CHAIN: Final = _layout(_ChainMessage, _types(_ChainMessage, "NFTA_CHAIN_USE"))
GENERATION: Final = _layout(_GenerationMessage, _types(_GenerationMessage, "NFTA_GEN_ID"))
_ERROR: Final = _layout(nlmsgerr, _types(nlmsgerr, "NLMSGERR_ATTR_MSG"))


@cache
def connection_layout() -> Layout:
    """Return the layout of a tracked connection. Imported at the first use, because pyroute2 keeps
    it beside its asyncio sockets.
    """
    from pyroute2.netlink.nfnetlink.nfctsocket import nfct_msg

    return _layout(nfct_msg, _types(nfct_msg, "CTA_TUPLE_ORIG"))


def nested(*attributes: Attribute, **fields: int) -> dict[str, object]:
    """Return the value of an attribute that is made of attributes, after fields where it has
    any.
    """
    return {**fields, "attrs": list(attributes)}


def encode(
    layout: Layout, fields: Mapping[str, int], attributes: Iterable[Attribute] = ()
) -> bytes:
    """Return a message's body: everything after its header."""
    message = layout.message()
    message.update(fields)
    message["attrs"] = list(attributes)
    message.encode()
    return bytes(message.data[_HEADER.size :])


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded message, or an attribute made of attributes."""

    _values: Any
    """pyroute2's dictionary; ``None`` for a missing attribute."""

    def field(self, name: str) -> int:
        """Return a field of the fixed part."""
        return int(self._values[name])

    def number(self, attribute: str) -> int:
        """Return a number; 0 if there is no such attribute."""
        return int(self._get(attribute) or 0)

    def text(self, attribute: str) -> str:
        """Return a string or an IP address; empty if there is no such attribute."""
        value = self._get(attribute) or ""
        return value if isinstance(value, str) else bytes(value).decode(errors="replace")

    def octets(self, attribute: str) -> bytes:
        """Return the bytes as the kernel sent them; empty if there is no such attribute."""
        for each in self._values["attrs"]:
            if each.name == attribute:
                cell = each.cell[1]
                return bytes(cell.data[cell.offset + _ATTRIBUTE.size : cell.offset + cell.length])
        return b""

    def nested(self, attribute: str) -> "Decoded":
        """Return an attribute that is made of attributes; empty if there is no such attribute."""
        return Decoded(self._get(attribute))

    def _get(self, attribute: str) -> Any:
        return None if self._values is None else self._values.get_attr(attribute)


def decode(layout: Layout, body: bytes) -> Decoded:
    """Decode a message's body.

    Raises:
        OSError: EBADMSG if it is not a message of that kind.
    """
    kept = essence(layout, body)
    message = layout.message(_HEADER.pack(_HEADER.size + len(kept), 0, 0, 0, 0) + kept)
    try:
        message.decode()
    except (NetlinkDecodeError, struct.error) as error:
        raise OSError(errno.EBADMSG, "a netlink message can't be decoded") from error
    return Decoded(message)


def essence(layout: Layout, body: bytes) -> bytes:
    """Return a message's body without the attributes that are never read.

    pyroute2 makes an object of each attribute before it looks at any, and a link has fifty, not
    counting nested ones. Counters and timers are dropped, too: the result for an unchanged link
    stays the same.
    """
    start = (layout.fixed_bytes + 3) & ~3
    return body[:start] + _essential(body, start, len(body), layout.essential)


def _essential(body: bytes, offset: int, end: int, essential: Essential) -> bytes:
    kept = b""
    unpack, last = _ATTRIBUTE.unpack_from, end - _ATTRIBUTE.size
    while offset <= last:
        length, kind = unpack(body, offset)
        if length < _ATTRIBUTE.size:
            break
        following = (offset + length + 3) & ~3
        number = kind & _TYPE_MASK
        if number in essential:
            within = essential[number]
            if within is None:
                kept += body[offset:following]
            else:
                inner_end = min(offset + length, end)
                inner = _essential(body, offset + _ATTRIBUTE.size, inner_end, within)
                kept += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(inner), kind) + inner
        offset = following
    return kept


def refusal_words(body: bytes) -> str:
    """Return the kernel's explanation in an NLMSG_ERROR with attributes; empty if it gives none.
    NETLINK_EXT_ACK, netlink(7).
    """
    return decode(_ERROR, body).text("NLMSGERR_ATTR_MSG")
