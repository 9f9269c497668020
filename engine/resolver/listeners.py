"""Receive questions and send answers on the sockets inside a sandbox.

UDP and TCP at 127.0.0.11, port 61053; a rule of the sandbox's own leads port 53 there, so that a
container may serve names itself on every address. The rule has to be ``dnat to 127.0.0.11:61053``:
``redirect`` in the output hook leads to 127.0.0.1, nft(8). Of connections (RFC 7766) there is a
bound, each is closed when idle, and what one asks may be answered in any order.
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
"""Questions taken before it is another socket's turn."""
CONNECTIONS_MAX: Final = 32
"""Of one sandbox; the one that has been idle for longest makes room."""
BACKLOG: Final = 32
CONNECTION_IDLE_S: Final = 10.0
"""RFC 7766 section 6.2.3: a few seconds."""
PENDING_MAX: Final = 16
"""Questions of one connection that wait for their answers; until then no more is read from it."""
_LENGTH_BYTES: Final = 2
_ACCEPT_AGAIN_S: Final = 0.1

Reply = Callable[[bytes], None]


class Settings(NamedTuple):
    """What a sandbox's questions are answered from."""

    networks: tuple[str, ...]
    servers: tuple[str, ...]
    forward: bool
    from_host: bool
    links: tuple[tuple[str, str], ...]

    def to_message(self) -> Message:
        """As it travels."""
        return self._asdict()

    @classmethod
    def from_message(cls, message: Message) -> "Settings":
        """Read back what :meth:`to_message` wrote."""
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
    """One sandbox's server. Owns its sockets and the descriptor of the namespace."""

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
        """Answer from other settings from now on.

        Raises:
            ValueError: an address of a server is none; the settings stay as they were.
        """
        servers = [
            Server.parse(server, from_host=settings.from_host) for server in settings.servers
        ]
        self._route = Route(tuple(servers) if settings.forward else (), self._namespace_fd)
        self._answers = Answers(self._zones, settings.networks, Links.of(settings.links))

    def is_in(self, namespace_fd: int) -> bool:
        """Whether its sockets are in this namespace."""
        return os.path.sameopenfile(self._namespace_fd, namespace_fd)

    def close(self) -> None:
        """Close the sockets; the namespace is held no more."""
        self._forwarder.forget(self._namespace_fd)
        for connection in tuple(self._connections):
            connection.close()
        for sock in (self._udp, self._tcp):
            self._loop.forget(sock.fileno())
            sock.close()
        self._loop.cancel(self)
        os.close(self._namespace_fd)

    def ask(self, packet: bytes, reply: Reply, *, tcp: bool) -> None:
        """Have a question answered, sooner or later; what is no question gets no answer.

        Raises:
            Malformed: it is no question.
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
        """One connection less."""
        self._connections.pop(connection, None)

    def used(self, connection: "_Connection") -> None:
        """It has asked: others have been idle for longer."""
        self._connections[connection] = self._connections.pop(connection)

    def _forward(self, query: Query, packet: bytes, reply: Reply, *, tcp: bool) -> None:
        """Elsewhere they may know. On internal networks nobody is asked, and SERVFAIL is Docker's
        answer there.
        """
        failure = wire.reply(query, wire.SERVFAIL)
        self._forwarder.ask(self._route, packet, failure, reply, tcp=tcp)

    def _serve_datagrams(self, _events: int) -> None:
        receive = self._udp.recvfrom
        for _ in range(UDP_ROUND_MAX):
            try:
                packet, peer = receive(wire.OWN_UDP_BYTES)
            except OSError:  # EAGAIN; or an error of an earlier answer, which nobody waits for
                return
            with contextlib.suppress(wire.Malformed):
                self.ask(packet, partial(self._send, peer), tcp=False)

    def _send(self, peer: tuple[str, int], answer: bytes) -> None:
        with contextlib.suppress(OSError):  # the asker is gone, or does not read: it will ask again
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
        """Close it; answers that are still to come are nobody's."""
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
        """Ask what is there in whole, as far as there is room."""
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
        """Wait for what can be done next; close it when that is nothing."""
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
