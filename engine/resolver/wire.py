"""Parse DNS questions and build DNS answers.

RFC 1035 section 4; EDNS: RFC 6891; exactly one question: RFC 9619. Forwarded messages are not
parsed (RFC 3597: records of unknown types are left as they are). A name is kept in the wire format,
in lower case: length bytes are at most 63 and no letters, so ``bytes.lower`` folds the letters of
RFC 4343 and nothing else.
"""

from struct import Struct
from typing import Final, NamedTuple

A: Final = 1
PTR: Final = 12
AAAA: Final = 28
OPT: Final = 41
IN: Final = 1

NOERROR: Final = 0
FORMERR: Final = 1
SERVFAIL: Final = 2
NOTIMP: Final = 4
REFUSED: Final = 5
BADVERS: Final = 16
"""An extended code: its upper bits are in the OPT record. RFC 6891 section 9."""

UDP_BYTES_MIN: Final = 512
"""The size that every client accepts over UDP. RFC 1035 section 2.3.4."""
MESSAGE_BYTES_MAX: Final = 0xFFFF
HEADER_BYTES: Final = 12
OWN_UDP_BYTES: Final = 4096
"""The size that this server accepts over UDP; longer packets are not questions."""

QR: Final = 0x8000
OPCODE: Final = 0x7800
TC: Final = 0x0200
RD: Final = 0x0100
RA: Final = 0x0080
CD: Final = 0x0010
RCODE: Final = 0x000F

_HEADER: Final = Struct("!6H")
_PAIR: Final = Struct("!2H")
_RECORD: Final = Struct("!2HIH")
_OPT_TTL: Final = Struct("!BBH")
_LABEL_BYTES_MAX: Final = 63
NAME_BYTES_MAX: Final = 255
_POINTER: Final = 0xC0
_NAME_OF_QUESTION: Final = b"\xc0\x0c"
"""A pointer to the name right after the header: RFC 1035 section 4.1.4."""
_ROOT: Final = b"\0"


class Malformed(Exception):
    """The packet is not a DNS question."""


class Unanswerable(Exception):
    """A question that can only be answered with an error code: ``reply`` is that answer."""

    def __init__(self, reply: bytes) -> None:
        super().__init__()
        self.reply = reply


class Query(NamedTuple):
    """A question, and what its client accepts."""

    number: int
    flags: int
    question: bytes
    """Name, type and class, as they came: an answer repeats them exactly."""
    name: bytes
    """In lower case, with the root's zero."""
    type: int
    is_internet: bool
    bytes_max: int
    """Maximum size of an answer over UDP."""
    has_edns: bool


def parse_query(packet: bytes) -> Query:
    """Parse a question.

    Raises:
        Malformed: it is too short for a header, or itself an answer.
        Unanswerable: it can only be answered with an error code.
    """
    if len(packet) < HEADER_BYTES:
        raise Malformed
    number, flags, questions, answers, authorities, additional = _HEADER.unpack_from(packet)
    if flags & QR:
        raise Malformed
    if flags & OPCODE:
        raise Unanswerable(_bare(number, flags, NOTIMP))
    if questions != 1:
        raise Unanswerable(_bare(number, flags, FORMERR))
    try:
        end = skip_question(packet)
        opt = None
        if answers or authorities or additional:
            opt = _find_opt(packet, end, answers + authorities, additional)
    except Malformed:
        raise Unanswerable(_bare(number, flags, FORMERR)) from None
    kind, kind_class = _PAIR.unpack_from(packet, end - 4)
    query = Query(
        number=number,
        flags=flags,
        question=packet[HEADER_BYTES:end],
        name=packet[HEADER_BYTES : end - 4].lower(),
        type=kind,
        is_internet=kind_class == IN,
        bytes_max=UDP_BYTES_MIN if opt is None else max(UDP_BYTES_MIN, opt[0]),
        has_edns=opt is not None,
    )
    if opt is not None and opt[1] != 0:
        raise Unanswerable(reply(query, BADVERS))
    return query


def skip_question(packet: bytes) -> int:
    """Return where the first question of a message ends. Its name has no pointer, because nothing
    comes before it.

    Raises:
        Malformed: it does not end, or has a pointer.
    """
    position, size = HEADER_BYTES, len(packet)
    while True:
        if position >= size:
            raise Malformed
        length = packet[position]
        position += 1
        if length == 0:
            break
        if length > _LABEL_BYTES_MAX:
            raise Malformed
        position += length
    if position - HEADER_BYTES > NAME_BYTES_MAX or position + 4 > size:
        raise Malformed
    return position + 4


def _find_opt(packet: bytes, position: int, before: int, additional: int) -> tuple[int, int] | None:
    """Return payload size and version of the OPT record. RFC 6891 section 6.1: its name is the
    root, and there is at most one.

    Raises:
        Malformed: a record is truncated; there are two.
    """
    found = None
    for index in range(before + additional):
        start = position
        position = _skip_name(packet, position)
        if position + _RECORD.size > len(packet):
            raise Malformed
        kind, kind_class, ttl, length = _RECORD.unpack_from(packet, position)
        position += _RECORD.size + length
        if position > len(packet):
            raise Malformed
        if kind == OPT and index >= before:
            if found is not None or packet[start] != 0:
                raise Malformed
            found = (kind_class, ttl >> 16 & 0xFF)
    return found


def _skip_name(packet: bytes, position: int) -> int:
    """Return where a name ends that may end in a pointer. RFC 1035 section 4.1.4."""
    while True:
        if position >= len(packet):
            raise Malformed
        length = packet[position]
        if length == 0:
            return position + 1
        if length >= _POINTER:
            return position + 2
        if length > _LABEL_BYTES_MAX:
            raise Malformed
        position += 1 + length


def reply(
    query: Query, code: int, records: bytes = b"", count: int = 0, *, truncated: bool = False
) -> bytes:
    """Build an answer of our own: recursion available, not authoritative, as in Docker."""
    flags = QR | RA | (query.flags & (RD | CD)) | (code & RCODE) | (TC if truncated else 0)
    header = _HEADER.pack(query.number, flags, 1, count, 0, int(query.has_edns))
    packet = header + query.question + records
    return packet + _opt(code) if query.has_edns else packet


def _opt(code: int) -> bytes:
    return _ROOT + _PAIR.pack(OPT, OWN_UDP_BYTES) + _OPT_TTL.pack(code >> 4, 0, 0) + b"\0\0"


def _bare(number: int, flags: int, code: int) -> bytes:
    """Build an answer without the question, which was not understood."""
    kept = flags & (OPCODE | RD)
    return _HEADER.pack(number, QR | RA | kept | code, 0, 0, 0, 0)


def record(kind: int, ttl_s: int, content: bytes) -> bytes:
    """Build a record for the name of the question."""
    return _NAME_OF_QUESTION + _RECORD.pack(kind, IN, ttl_s, len(content)) + content


def name(text: str) -> bytes | None:
    """Convert a name to the wire format, keeping its case; None if it is invalid: RFC 1035 section
    2.3.4.
    """
    travelling = bytearray()
    for label in text.removesuffix(".").encode().split(b"."):
        if not 0 < len(label) <= _LABEL_BYTES_MAX:
            return None
        travelling += bytes((len(label),)) + label
    travelling += _ROOT
    return bytes(travelling) if len(travelling) <= NAME_BYTES_MAX else None


def with_number(packet: bytes, number: int) -> bytes:
    """Return the same message with another number: RFC 5452 requires an unpredictable one for each
    server.
    """
    return number.to_bytes(2, "big") + packet[2:]


def answers(packet: bytes, question: bytes, number: int) -> bool:
    """True if a server's message answers the question. RFC 5452 section 9.1."""
    if len(packet) < HEADER_BYTES:
        return False
    got, flags, questions, *_ = _HEADER.unpack_from(packet)
    if got != number or not flags & QR or flags & OPCODE:
        return False
    if questions == 0:  # from servers that could not read it, RFC 1035 section 4.1.1
        return bool(flags & RCODE)
    end = HEADER_BYTES + len(question)
    return (
        questions == 1
        and packet[HEADER_BYTES : end - 4].lower() == question[:-4].lower()
        and packet[end - 4 : end] == question[-4:]
    )


def code_of(packet: bytes) -> int:
    """Return the code of an answer."""
    return packet[3] & RCODE
