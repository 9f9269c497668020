"""Send netlink requests: batches, acknowledgements, dumps. netlink(7).

    request   ── nlmsghdr ── family header ── attributes (type, length, value; may nest)
    batch     ── many requests in one sendmsg(2); the kernel does all of them before it returns
    answer    ── NLMSG_ERROR with 0 (done) or -errno and, with NETLINK_EXT_ACK, an explanation

pyroute2 encodes and decodes the bodies: :mod:`engine.drivers.networks.messages`. Its sockets are
not used: each brings an asyncio loop, and opening one takes 0.3 ms instead of 0.01. A socket
belongs to the network namespace in which it was *opened*, so the engine opens one inside every
container that it prepares or inspects.
"""

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from engine.drivers.networks.messages import refusal_words

# linux/netlink.h
NETLINK_ROUTE: Final = 0
NETLINK_NETFILTER: Final = 12
SOL_NETLINK: Final = 270
NETLINK_EXT_ACK: Final = 11
NETLINK_GET_STRICT_CHK: Final = 12
NLM_F_REQUEST: Final = 0x1
NLM_F_ACK: Final = 0x4
NLM_F_DUMP_INTR: Final = 0x10
NLM_F_DUMP: Final = 0x300
NLM_F_REPLACE: Final = 0x100
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
NLM_F_ACK_TLVS: Final = 0x200
NLA_F_NESTED: Final = 0x8000
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3

_HEADER: Final = struct.Struct("=IHHII")
_ERRNO: Final = struct.Struct("=i")
_BATCH_MAX: Final = 64
"""Requests in one sendmsg(2): their acknowledgements (about 800 bytes each as the kernel counts)
fit into a default buffer.
"""
_RECEIVE_BYTES: Final = 1 << 16
_DUMP_ATTEMPTS_MAX: Final = 10

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """A message to the kernel."""

    kind: int
    flags: int
    body: bytes
    what: str
    """The action and its object, for the message of an error."""
    expected: frozenset[int] = frozenset()
    """Error numbers that mean *already done*."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message from the kernel."""

    kind: int
    flags: int
    sequence: int
    body: bytes


def split(datagram: bytes) -> Iterator[Message]:
    """Yield the messages of one datagram."""
    offset = 0
    while offset + _HEADER.size <= len(datagram):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(datagram, offset)
        if length < _HEADER.size:
            return
        body = datagram[offset + _HEADER.size : offset + length]
        yield Message(kind, flags, sequence, body)
        offset += (length + 3) & ~3


class NetlinkSocket:
    """Sends requests about the network namespace in which the socket was opened. For one thread at
    a time.
    """

    def __init__(self, protocol: int = NETLINK_ROUTE) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol
        )
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        if protocol == NETLINK_ROUTE:  # so that a dump can name a link
            self._socket.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
        self._sequence = 0
        self._parsed: dict[bytes, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the descriptor."""
        self._socket.close()

    def transact(self, requests: Sequence[Request]) -> None:
        """Carry out requests in order, in as few system calls as possible.

        The kernel goes on after a request that failed, so a batch is not a transaction.

        Raises:
            OSError: the first failure that its request did not expect.
        """
        for start in range(0, len(requests), _BATCH_MAX):
            self._transact(requests[start : start + _BATCH_MAX])

    def _transact(self, requests: Sequence[Request]) -> None:
        first = self._sequence + 1
        self._socket.send(b"".join(self._encoded(request, NLM_F_ACK) for request in requests))
        failure: OSError | None = None
        waiting = len(requests)
        while waiting:
            for message in split(self._socket.recv(_RECEIVE_BYTES)):
                if message.kind != NLMSG_ERROR or message.sequence < first:
                    continue
                waiting -= 1
                failure = failure or _failure(message, requests[message.sequence - first])
        if failure is not None:
            raise failure

    def ask(self, request: Request) -> bytes | None:
        """Return the object that a request names; ``None`` if the kernel answers with one of the
        expected errors.

        Raises:
            OSError: any other error.
        """
        self._socket.send(self._encoded(request, 0))
        while True:
            for message in split(self._socket.recv(_RECEIVE_BYTES)):
                if message.sequence != self._sequence:
                    continue
                if message.kind != NLMSG_ERROR:
                    return message.body
                failure = _failure(message, request)
                if failure is not None:
                    raise failure
                return None

    def dump(self, request: Request) -> list[bytes]:
        """Return every object of a kind, as of one moment: a dump that was interrupted by a change
        is repeated.

        Raises:
            OSError: EAGAIN if changes interrupted every attempt.
        """
        for _ in range(_DUMP_ATTEMPTS_MAX):
            self._socket.send(self._encoded(request, NLM_F_DUMP))
            bodies, consistent = self._read_dump(request)
            if consistent:
                return bodies
        raise OSError(errno.EAGAIN, f"{request.what}: changed {_DUMP_ATTEMPTS_MAX} times meanwhile")

    def parse_anew(self, bodies: Iterable[bytes], parse: Callable[[bytes], T]) -> list[T]:
        """Parse dumped bodies, reusing the results for bodies that the previous call already
        parsed: most links have not changed.

        A lookup takes a thirtieth of the time of decoding. Callers pass bodies without counters,
        and always of the same kind.
        """
        known: dict[bytes, T] = self._parsed
        found = {body: known[body] if body in known else parse(body) for body in bodies}
        self._parsed = found
        return list(found.values())

    def _read_dump(self, request: Request) -> tuple[list[bytes], bool]:
        bodies: list[bytes] = []
        consistent = True
        while True:
            for message in split(self._socket.recv(_RECEIVE_BYTES)):
                if message.sequence != self._sequence:
                    continue
                consistent = consistent and not message.flags & NLM_F_DUMP_INTR
                if message.kind in (NLMSG_DONE, NLMSG_ERROR):
                    failure = _failure(message, request)
                    if failure is not None:
                        raise failure
                    return bodies, consistent
                bodies.append(message.body)

    def _encoded(self, request: Request, flags: int) -> bytes:
        self._sequence += 1
        length = _HEADER.size + len(request.body)
        header = _HEADER.pack(
            length, request.kind, request.flags | NLM_F_REQUEST | flags, self._sequence, 0
        )
        return header + request.body + bytes(-length % 4)


def _failure(message: Message, request: Request) -> OSError | None:
    """Return the error that an acknowledgement, or the end of a dump, reports; None for success and
    expected errors.
    """
    number = -_ERRNO.unpack_from(message.body)[0]
    if number == 0 or number in request.expected:
        return None
    reason = os.strerror(number)
    if message.kind == NLMSG_ERROR and message.flags & NLM_F_ACK_TLVS:
        words = refusal_words(message.body)
        reason = f"{reason} ({words})" if words else reason
    return OSError(number, f"{request.what}: {reason}")
