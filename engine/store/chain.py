r"""Compute the hash that binds each row of the log to the one before.

    hash(n) = SHA-256( hash(n - 1) ‖ canonical(row n) )        hash(0) = 32 zero bytes

``canonical(row)`` is a JSON array without white space, in UTF-8, of the ten columns as they are
stored:

    [seq, stream, version, type, schema, data, at_ns, actor, cause, correlation]

``data`` and ``actor`` are the stored texts, as JSON *strings* (so no text can pretend to be two
columns); a missing cause is ``null``. Characters are escaped only where JSON demands it, in the
short form where there is one, else as ``\u00xx`` in lower case. Python's own ``json.dumps(row,
separators=(",", ":"), ensure_ascii=False)`` gives the same bytes, so an auditor needs nothing of
ours. The bytes cover what is *stored*: upcasting changes no hash.

A chain shows edits and gaps, and the ``head`` row a missing tail. It can't show that someone with
write access computed the whole chain anew: for that, keep a head elsewhere.
"""

from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

GENESIS: Final = bytes(32)

_encode = msgspec.json.Encoder().encode


class Row(NamedTuple):
    """A row of ``events`` without its hash; the columns are in the order of the table and of the
    canonical bytes.
    """

    seq: int
    stream: str
    version: int
    type: str
    schema: int
    data: str
    at_ns: int
    actor: str
    cause: int | None
    correlation: str


def canonical(row: Row) -> bytes:
    """Return the bytes of a row that its hash covers."""
    return _encode(row)


def next_hash(previous: bytes, row: Row) -> bytes:
    """Return the hash of ``row`` when it follows the row whose hash is ``previous``."""
    return sha256(previous + _encode(row)).digest()
