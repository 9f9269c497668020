"""Leaving HTTP: the head that says so, and the connection in other hands.

A plain connection is given away as a descriptor, and no byte of it passes through the daemon any more. One that is encrypted, or
is to speak WebSocket, stays: what is given away is one end of a socket pair, and a relay carries the bytes.
"""

import os
import socket
from collections.abc import Callable
from typing import Final

import trio

from engine.api.hangups import HangUps
from engine.api.outgoing import raw_head, upgrade_head, websocket_head
from engine.api.relay import Relay
from engine.api.replies import Hijacked, Take, WebSocket
from engine.api.requests import Request
from engine.api.transports import Transport

_PAIR: Final = socket.SOCK_STREAM | socket.SOCK_NONBLOCK


async def say_goodbye(transport: Transport, request: Request, reply: Hijacked) -> None:
    """The last words in HTTP."""
    if reply.websocket is not None:
        await transport.send(websocket_head(reply.websocket.accept))
    else:
        head = upgrade_head if request.wants_upgrade else raw_head
        await transport.send(head(reply.media_type))


async def give_away(transport: Transport, take: Take, unread: bytes) -> None:
    """Hand over a plain connection."""
    await take(socket.socket(fileno=os.dup(transport.socket.fileno())), unread)


async def relay_away(
    client: Transport,
    take: Take,
    unread: bytes,
    hang_ups: HangUps,
    begun: Callable[[Relay], None],
) -> None:
    """Hand over one end of a socket pair, and carry what comes through the other until it ends.

    Both at once: whoever takes it may have much to say first. ``begun`` is given the relay, to end it early.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, _PAIR)
    relay = Relay(client, ours, hang_ups)
    failure: Exception | None = None
    async with trio.open_nursery() as carrying:
        carrying.start_soon(relay.run)
        begun(relay)
        try:
            await take(theirs, unread)
        except Exception as error:  # told by the caller, once the relay has ended as well
            failure = error
    if failure is not None:
        raise failure


def framed(transport: Transport, websocket: WebSocket, unread: bytes) -> Transport:
    """A connection that speaks WebSocket from here on."""
    from engine.api.websocket import WebSocketTransport  # a megabyte, for the few

    return WebSocketTransport(transport, unread, text=websocket.text)
