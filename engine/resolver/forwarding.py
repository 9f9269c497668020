"""Forward questions to other servers: each on a socket of its own, all at once.

    ask ──▶ first server ──answer──────────────────────────────▶ done
              │ failure, or no answer within NEXT_AFTER_S
              ▼
            second, third ──any of them answers──▶ done
              │ all have failed, or GIVE_UP_AFTER_S is over
              ▼
            SERVFAIL

A slow server may still answer while the next one is asked: its socket stays open. As in
resolv.conf(5), the first three servers are used. Each question gets a random number and, from the
kernel, an unpredictable port; an answer counts when it comes from the server asked, with that
number, for that question (RFC 5452 section 9.1). A question that came over TCP is asked over TCP
(RFC 7766 section 5). The message itself is passed on unchanged, with EDNS, in both directions.
"""

import errno
import os
import socket
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final, NamedTuple

from engine.resolver import wire
from engine.resolver.inside import Namespaces
from engine.runtime.loop import READ, WRITE, Loop

PORT: Final = 53
SERVERS_MAX: Final = 3
"""MAXNS of resolv.conf(5)."""
NEXT_AFTER_S: Final = 1.4
GIVE_UP_AFTER_S: Final = 4.5
"""Clients wait for 5 s, resolv.conf(5), so they get the failure before they ask again."""
FORWARDS_MAX: Final = 1024
"""Maximum of open questions of all sandboxes together; each has up to three sockets."""
FORWARDS_OF_ONE_MAX: Final = 256
"""Maximum of open questions of one sandbox, so that no sandbox takes all places."""
_FAILURES: Final = frozenset({wire.SERVFAIL, wire.NOTIMP, wire.REFUSED})
"""Codes after which the next server is asked. A server that can't read the question (FORMERR) is
not followed by another.
"""
_LENGTH_BYTES: Final = 2


class Server(NamedTuple):
    """A server's address."""

    address: str
    port: int
    from_own_namespace: bool
    """Whether it is asked from this process's own network namespace, not from the sandbox's."""

    @classmethod
    def parse(cls, text: str, *, from_host: bool) -> "Server":
        """Parse ``ADDRESS``, ``ADDRESS:PORT`` or ``[ADDRESS]:PORT``.

        Raises:
            ValueError: the text has another form.
        """
        address, port = text, PORT
        if text.startswith("["):
            address, _, rest = text[1:].partition("]")
            port = int(rest.removeprefix(":") or PORT)
        elif text.count(":") == 1:
            address, _, number = text.partition(":")
            port = int(number)
        parsed = ip_address(address)
        if not 0 < port <= 0xFFFF:
            raise ValueError(f"{text}: no such port")
        return cls(address, port, from_own_namespace=from_host and parsed.is_loopback)

    @property
    def family(self) -> socket.AddressFamily:
        """Return the address family of its sockets."""
        return socket.AF_INET6 if ":" in self.address else socket.AF_INET


class Route(NamedTuple):
    """The servers of a sandbox, and the namespace from which they are asked."""

    servers: tuple[Server, ...]
    namespace_fd: int


class Forwarder:
    """All open questions."""

    def __init__(self, loop: Loop, namespaces: Namespaces) -> None:
        self.loop = loop
        self.namespaces = namespaces
        self._of_route: dict[int, int] = {}
        self._under_way: dict[_Forward, None] = {}
        self.next_deadlines = _Deadlines(loop, NEXT_AFTER_S, _Forward.ask_next)
        self.final_deadlines = _Deadlines(loop, GIVE_UP_AFTER_S, _Forward.give_up)

    def __len__(self) -> int:
        """Return the number of open questions."""
        return len(self._under_way)

    def ask(
        self,
        route: Route,
        packet: bytes,
        failure: bytes,
        done: Callable[[bytes], None],
        *,
        tcp: bool,
    ) -> None:
        """Forward a question; ``done`` is called, perhaps at once, with the answer, or with
        ``failure`` if there is none.
        """
        busy = self._of_route.get(route.namespace_fd, 0)
        if not route.servers or busy >= FORWARDS_OF_ONE_MAX or len(self) >= FORWARDS_MAX:
            done(failure)
            return
        forward = _Forward(self, route, packet, failure, done, tcp=tcp)
        self._of_route[route.namespace_fd] = busy + 1
        self._under_way[forward] = None
        forward.ask_next()

    def forget(self, namespace_fd: int) -> None:
        """Drop the questions of a sandbox that is gone."""
        for forward in [
            each for each in self._under_way if each.route.namespace_fd == namespace_fd
        ]:
            forward.end()

    def ended(self, forward: "_Forward") -> None:
        """Remove an ended question."""
        del self._under_way[forward]
        fd = forward.route.namespace_fd
        self._of_route[fd] -= 1
        if not self._of_route[fd]:
            del self._of_route[fd]


class _Deadlines:
    """Deadlines of questions: all have the same delay, so the oldest is always the next."""

    def __init__(self, loop: Loop, delay_s: float, callback: Callable[["_Forward"], None]) -> None:
        self._loop = loop
        self._delay_s = delay_s
        self._callback = callback
        self._due: OrderedDict[_Forward, float] = OrderedDict()

    def add(self, forward: "_Forward") -> None:
        if not self._due:
            self._loop.call_after(self, self._delay_s, self._call)
        self._due[forward] = time.monotonic() + self._delay_s
        self._due.move_to_end(forward)

    def remove(self, forward: "_Forward") -> None:
        if self._due.pop(forward, None) is not None and not self._due:
            self._loop.cancel(self)

    def _call(self) -> None:
        now = time.monotonic()
        while self._due and (first := next(iter(self._due.items())))[1] <= now:
            self._due.popitem(last=False)
            self._callback(first[0])
        if self._due:
            self._loop.call_after(self, max(0.0, next(iter(self._due.values())) - now), self._call)


class _Forward:
    """One question on its way, until the first good answer."""

    def __init__(
        self,
        forwarder: Forwarder,
        route: Route,
        packet: bytes,
        failure: bytes,
        done: Callable[[bytes], None],
        *,
        tcp: bool,
    ) -> None:
        self.route = route
        self.tcp = tcp
        self.packet = packet
        self.question = packet[wire.HEADER_BYTES : wire.skip_question(packet)]
        self._forwarder = forwarder
        self._number = int.from_bytes(packet[:2], "big")
        self._failure = failure
        self._done = done
        self._left = deque(route.servers[:SERVERS_MAX])
        self._attempts: set[_Attempt] = set()
        forwarder.final_deadlines.add(self)

    def ask_next(self) -> None:
        """Ask the next server; if none is left to ask or to wait for, give up."""
        while self._left:
            server = self._left.popleft()
            try:
                attempt = _Attempt(self, server, self._forwarder)
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    break
                continue  # unreachable from there
            self._attempts.add(attempt)
            if self._left:
                self._forwarder.next_deadlines.add(self)
            return
        if not self._attempts:
            self.give_up()

    def answered(self, attempt: "_Attempt", answer: bytes) -> None:
        """Use a server's answer. A failure code is kept, in case no other server answers."""
        if wire.code_of(answer) in _FAILURES:
            self._failure = wire.with_number(answer, self._number)
            self.failed(attempt)
            return
        self.end()
        self._done(wire.with_number(answer, self._number))

    def failed(self, attempt: "_Attempt") -> None:
        """Close the attempt at a server that is unreachable or has failed, and ask the next one."""
        attempt.close()
        self._attempts.discard(attempt)
        if self._left:
            self._forwarder.next_deadlines.remove(self)
        if self._left or not self._attempts:
            self.ask_next()

    def end(self) -> None:
        """Stop waiting, and close all sockets."""
        self._forwarder.next_deadlines.remove(self)
        self._forwarder.final_deadlines.remove(self)
        for attempt in self._attempts:
            attempt.close()
        self._attempts.clear()
        self._forwarder.ended(self)

    def give_up(self) -> None:
        """Return the failure: no server has answered in time, or will."""
        self.end()
        self._done(self._failure)


class _Attempt:
    """One question to one server."""

    def __init__(self, forward: _Forward, server: Server, forwarder: Forwarder) -> None:
        self._forward = forward
        self._loop = forwarder.loop
        self._number = int.from_bytes(os.urandom(2), "big")
        packet = wire.with_number(forward.packet, self._number)
        kind = socket.SOCK_STREAM if forward.tcp else socket.SOCK_DGRAM
        self._received = bytearray()
        self._unsent = b""
        with forwarder.namespaces.inside(
            None if server.from_own_namespace else forward.route.namespace_fd
        ):
            self._socket = socket.socket(server.family, kind | socket.SOCK_NONBLOCK)
        try:
            self._begin(server, packet, tcp=forward.tcp)
        except OSError:
            self._socket.close()
            raise

    def _begin(self, server: Server, packet: bytes, *, tcp: bool) -> None:
        result = self._socket.connect_ex((server.address, server.port))
        if result not in (0, errno.EINPROGRESS):
            raise OSError(result, os.strerror(result))
        if tcp:
            self._unsent = len(packet).to_bytes(_LENGTH_BYTES, "big") + packet
            self._loop.watch(self._socket.fileno(), WRITE, self._send)
        else:
            self._socket.send(packet)
            self._loop.watch(self._socket.fileno(), READ, self._receive)

    def close(self) -> None:
        """Close the socket."""
        if self._socket.fileno() >= 0:
            self._loop.forget(self._socket.fileno())
            self._socket.close()

    def _receive(self, _events: int) -> None:
        try:
            answer = self._socket.recv(wire.MESSAGE_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError:  # ECONNREFUSED: an ICMP message came back, udp(7)
            self._forward.failed(self)
            return
        if wire.answers(answer, self._forward.question, self._number):
            self._forward.answered(self, answer)

    def _send(self, _events: int) -> None:
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            return
        except OSError:
            self._forward.failed(self)
            return
        if not self._unsent:
            self._loop.forget(self._socket.fileno())
            self._loop.watch(self._socket.fileno(), READ, self._receive_part)

    def _receive_part(self, _events: int) -> None:
        try:
            part = self._socket.recv(wire.MESSAGE_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        self._received += part
        end = _LENGTH_BYTES + int.from_bytes(self._received[:_LENGTH_BYTES], "big")
        if len(self._received) >= max(end, _LENGTH_BYTES):
            answer = bytes(self._received[_LENGTH_BYTES:end])
            if wire.answers(answer, self._forward.question, self._number):
                self._forward.answered(self, answer)
                return
            part = b""
        if not part:
            self._forward.failed(self)
