"""Receive questions and send answers on the sockets inside a sandbox.

UDP and TCP at 127.0.0.11, port 61053; a rule in the sandbox redirects port 53 there, so that a
container may serve DNS itself on every address. The rule must be ``dnat to 127.0.0.11:61053``:
``redirect`` in the output hook leads to 127.0.0.1, nft(8). The number of connections (RFC 7766) is
limited, idle ones are closed, and the questions of one may be answered in any order.
"""

import contextlib
import errno
import os
import socket
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from engine.resolver import wire
from engine.resolver.answers import Answers
from engine.resolver.forwarding import Forwarder, Route, Server
from engine.resolver.wire import Query
from engine.resolver.zones import Links, Zones
from engine.runtime.loop import HANGUP, READ, WRITE, Loop
from engine.runtime.messages import Message, ProtocolError

ADDRESS: Final = "127.0.0.11"
PORT: Final = 61053
"""Outside of the range from which the kernel chooses ports, ip_local_port_range of ip(7)."""
UDP_ROUND_MAX: Final = 64
"""Questions taken before another socket's turn."""
CONNECTIONS_MAX: Final = 32
"""Maximum of connections of one sandbox; the one that has been idle for longest is closed for a new
one.
"""
BACKLOG: Final = 32
CONNECTION_IDLE_S: Final = 10.0
"""RFC 7766 section 6.2.3: a few seconds."""
PENDING_MAX: Final = 16
"""Maximum of unanswered questions of one connection; no more is read from it until then."""
_LENGTH_BYTES: Final = 2
_ACCEPT_AGAIN_S: Final = 0.1

Reply = Callable[[bytes], None]


class Settings(NamedTuple):
    """The settings for answering a sandbox's questions."""

    networks: tuple[str, ...]
    servers: tuple[str, ...]
    forward: bool
    from_host: bool
    links: tuple[tuple[str, str], ...]

    def to_message(self) -> Message:
        """Return the message to send."""
        return self._asdict()

    @classmethod
    def from_message(cls, message: Message) -> "Settings":
        """Decode the result of :meth:`to_message`."""
        try:
            return cls(
                networks=tuple(map(str, message["networks"])),
                servers=tuple(map(str, message["servers"])),
                forward=bool(message["forward"]),
                from_host=bool(message["from_host"]),
                links=tuple((str(alias), str(owner)) for alias, owner in message["links"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolError(f"listener: {error!r}") from error


class Listener:
    """The DNS server of one sandbox. Owns its sockets and the descriptor of the namespace."""

    def __init__(
        self, loop: Loop, zones: Zones, forwarder: Forwarder, namespace_fd: int, settings: Settings
    ) -> None:
        self._loop = loop
        self._zones = zones
        self._forwarder = forwarder
        self._namespace_fd = namespace_fd
        self._connections: dict[_Connection, None] = {}
        self.adjust(settings)
        with contextlib.ExitStack() as undo:
            with forwarder.namespaces.inside(namespace_fd):
                self._udp = undo.enter_context(_bound(socket.SOCK_DGRAM))
                self._tcp = undo.enter_context(_bound(socket.SOCK_STREAM))
            self._tcp.listen(BACKLOG)
            undo.pop_all()
        loop.watch(self._udp.fileno(), READ, self._serve_datagrams)
        loop.watch(self._tcp.fileno(), READ, self._accept)

    def adjust(self, settings: Settings) -> None:
        """Use other settings from now on.

        Raises:
            ValueError: a server's address is invalid; the settings stay as they were.
        """
        servers = [
            Server.parse(server, from_host=settings.from_host) for server in settings.servers
        ]
        self._route = Route(tuple(servers) if settings.forward else (), self._namespace_fd)
        self._answers = Answers(self._zones, settings.networks, Links.of(settings.links))

    def is_in(self, namespace_fd: int) -> bool:
        """True if its sockets are in this namespace."""
        return os.path.sameopenfile(self._namespace_fd, namespace_fd)

    def close(self) -> None:
        """Close the sockets, and release the namespace."""
        self._forwarder.forget(self._namespace_fd)
        for connection in tuple(self._connections):
            connection.close()
        for sock in (self._udp, self._tcp):
            self._loop.forget(sock.fileno())
            sock.close()
        self._loop.cancel(self)
        os.close(self._namespace_fd)

    def ask(self, packet: bytes, reply: Reply, *, tcp: bool) -> None:
        """Answer a question, now or later.

        Raises:
            Malformed: the packet is not a question.
        """
        try:
            query = wire.parse_query(packet)
        except wire.Unanswerable as refusal:
            reply(refusal.reply)
            return
        bytes_max = wire.MESSAGE_BYTES_MAX if tcp else min(query.bytes_max, wire.OWN_UDP_BYTES)
        answer = self._answers.answer(query, bytes_max)
        if answer is not None:
            reply(answer)
            return
        self._forward(query, packet, reply, tcp=tcp)

    def disconnected(self, connection: "_Connection") -> None:
        """Remove a closed connection."""
        self._connections.pop(connection, None)

    def used(self, connection: "_Connection") -> None:
        """Mark a connection as the most recently used."""
        self._connections[connection] = self._connections.pop(connection)

    def _forward(self, query: Query, packet: bytes, reply: Reply, *, tcp: bool) -> None:
        """Forward a question. On internal networks no server is asked, and the answer is SERVFAIL,
        as in Docker.
        """
        failure = wire.reply(query, wire.SERVFAIL)
        self._forwarder.ask(self._route, packet, failure, reply, tcp=tcp)

    def _serve_datagrams(self, _events: int) -> None:
        receive = self._udp.recvfrom
        for _ in range(UDP_ROUND_MAX):
            try:
                packet, peer = receive(wire.OWN_UDP_BYTES)
            except OSError:  # EAGAIN, or the error of an earlier answer, which needs no handling
                return
            with contextlib.suppress(wire.Malformed):
                self.ask(packet, partial(self._send, peer), tcp=False)

    def _send(self, peer: tuple[str, int], answer: bytes) -> None:
        # the client is gone, or does not read: it will ask again
        with contextlib.suppress(OSError):
            self._udp.sendto(answer, peer)

    def _accept(self, _events: int) -> None:
        try:
            sock, _ = self._tcp.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                self._loop.change(self._tcp.fileno(), 0)
                self._loop.call_after(self, _ACCEPT_AGAIN_S, self._accept_again)
            return
        while len(self._connections) >= CONNECTIONS_MAX:
            next(iter(self._connections)).close()
        self._connections[_Connection(self._loop, self, sock)] = None

    def _accept_again(self) -> None:
        self._loop.change(self._tcp.fileno(), READ)


class _Connection:
    """A client over TCP: messages with their lengths before them, RFC 1035 section 4.2.2."""

    def __init__(self, loop: Loop, listener: Listener, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._loop = loop
        self._listener = listener
        self._socket = sock
        self._received = bytearray()
        self._unsent: deque[bytes] = deque()
        self._pending = 0
        self._takes = False
        self._is_open = True
        self._has_ended = False
        loop.watch(sock.fileno(), READ, self._ready)
        loop.call_after(self, CONNECTION_IDLE_S, self.close)

    def close(self) -> None:
        """Close the connection; answers that come later are dropped."""
        if self._is_open:
            self._is_open = False
            self._loop.cancel(self)
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._listener.disconnected(self)

    def _ready(self, events: int) -> None:
        if events & HANGUP:
            self.close()
            return
        if events & WRITE:
            self._flush()
        if self._is_open and events & READ:
            self._receive()

    def _receive(self) -> None:
        try:
            part = self._socket.recv(wire.MESSAGE_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if not part:
            self._has_ended = True
        self._received += part
        self._take()

    def _take(self) -> None:
        """Answer the complete questions that were received, up to PENDING_MAX."""
        self._takes = True
        while self._is_open and self._pending < PENDING_MAX:
            length = int.from_bytes(self._received[:_LENGTH_BYTES], "big")
            if len(self._received) < _LENGTH_BYTES + length or len(self._received) < _LENGTH_BYTES:
                break
            packet = bytes(self._received[_LENGTH_BYTES : _LENGTH_BYTES + length])
            del self._received[: _LENGTH_BYTES + length]
            self._ask(packet)
        self._takes = False
        self._settle()

    def _ask(self, packet: bytes) -> None:
        self._pending += 1
        self._listener.used(self)
        self._loop.call_after(self, CONNECTION_IDLE_S, self.close)
        try:
            self._listener.ask(packet, self._reply, tcp=True)
        except wire.Malformed:
            self.close()

    def _reply(self, answer: bytes) -> None:
        if self._is_open:
            self._unsent.append(len(answer).to_bytes(_LENGTH_BYTES, "big") + answer)
            self._flush()

    def _flush(self) -> None:
        while self._unsent:
            message = self._unsent.popleft()
            try:
                sent = self._socket.send(message)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.close()
                return
            if sent < len(message):
                self._unsent.appendleft(message[sent:])
                break
            self._pending -= 1
        if not self._takes:
            self._take()

    def _settle(self) -> None:
        """Wait for the next possible event; close the connection if there is none."""
        if not self._is_open:
            return
        if self._has_ended and not self._pending:
            self.close()
            return
        reads = READ if self._pending < PENDING_MAX and not self._has_ended else 0
        self._loop.change(self._socket.fileno(), reads | (WRITE if self._unsent else 0))


def _bound(kind: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((ADDRESS, PORT))
    except OSError:
        sock.close()
        raise
    return sock
