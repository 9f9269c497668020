"""Send the head that ends HTTP on a connection, and hand the connection over.

A plain connection is given away as a descriptor, and no byte of it passes through the daemon any
more. An encrypted connection, or one with WebSocket frames, stays: one end of a socket pair is
given away, and a relay copies the bytes.
"""

import fcntl
import os
import socket
import sys
import termios
from collections.abc import Callable
from typing import Final

import trio

from engine.api.http.hangups import HangUps
from engine.api.http.outgoing import raw_head, upgrade_head, websocket_head
from engine.api.http.relay import Relay
from engine.api.http.replies import Hijacked, Take, WebSocket
from engine.api.http.requests import Request
from engine.api.http.transports import Transport

_PAIR: Final = socket.SOCK_STREAM | socket.SOCK_NONBLOCK
_HEAD_READ_S: Final = 0.1
"""How long a client may take to read the head before the output follows anyway."""
_LOOK_AGAIN_S: Final = 0.0005


async def send_final_head(transport: Transport, request: Request, reply: Hijacked) -> None:
    """Send the final response head before the connection leaves HTTP."""
    if reply.websocket is not None:
        await transport.send(websocket_head(reply.websocket.accept))
    else:
        head = upgrade_head if request.wants_upgrade else raw_head
        await transport.send(head(reply.media_type))


async def give_away(transport: Transport, reply: Hijacked, unread: bytes) -> None:
    """Hand over a plain connection."""
    if reply.speaks_first:
        await _head_is_read(transport.socket)
    await reply.take(socket.socket(fileno=os.dup(transport.socket.fileno())), unread)


async def _head_is_read(connection: trio.socket.SocketType) -> None:
    """Wait until a client on this machine has read the head by itself.

    docker-py reads the head through a buffer and the stream past it: what has come together with
    the head it never sees. The kernel tells how much of a Unix socket is unread, but not when that
    changes.
    """
    if connection.family != socket.AF_UNIX:
        return
    with trio.move_on_after(_HEAD_READ_S):
        while _unread_bytes(connection):  # noqa: ASYNC110  (nothing reports it)
            await trio.sleep(_LOOK_AGAIN_S)


def _unread_bytes(connection: trio.socket.SocketType) -> int:
    """Return how much the other end has not read yet, with the kernel's own overhead: SIOCOUTQ,
    unix(7).
    """
    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(answer, sys.byteorder)


async def relay_away(
    client: Transport,
    take: Take,
    unread: bytes,
    hang_ups: HangUps,
    begun: Callable[[Relay], None],
) -> None:
    """Hand over one end of a socket pair, and copy between its other end and the client until it
    ends.

    Both at once: whoever takes it may have much to say first. ``begun`` is given the relay, to end
    it early.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, _PAIR)
    relay = Relay(client, ours, hang_ups)
    failure: Exception | None = None
    async with trio.open_nursery() as carrying:
        carrying.start_soon(relay.run)
        begun(relay)
        try:
            await take(theirs, unread)
        except Exception as error:  # raised by the caller, once the relay has ended as well
            failure = error
    if failure is not None:
        raise failure


def framed(transport: Transport, websocket: WebSocket, unread: bytes) -> Transport:
    """Return a connection that speaks WebSocket from here on."""
    from engine.api.http.websocket import (
        WebSocketTransport,
    )  # takes a megabyte, and few clients need it

    return WebSocketTransport(transport, unread, text=websocket.text)
