"""Leaving HTTP: the head that says so, and the connection in other hands.

A plain connection is given away as a descriptor, and no byte of it passes through the daemon any more. One that is encrypted, or
is to speak WebSocket, stays: what is given away is one end of a socket pair, and a relay carries the bytes.
"""

import os
import socket
from typing import Final

from engine.api.hangups import HangUps
from engine.api.outgoing import raw_head, upgrade_head, websocket_head
from engine.api.relay import Relay
from engine.api.replies import Hijacked, Take, WebSocket
from engine.api.requests import Request
from engine.api.transports import Transport

_PAIR: Final = socket.SOCK_STREAM | socket.SOCK_NONBLOCK


async def hand_over(
    transport: Transport, request: Request, reply: Hijacked, unread: bytes, hang_ups: HangUps
) -> Relay | None:
    """Answer, and give the connection away; the relay, if there has to be one, is the caller's to run."""
    if reply.websocket is not None:
        await transport.send(websocket_head(reply.websocket.accept))
        client = _framed(transport, reply.websocket, unread)
        return await _relayed(client, reply.take, b"", hang_ups)
    head = upgrade_head if request.wants_upgrade else raw_head
    await transport.send(head(reply.media_type))
    if not transport.is_plain:
        return await _relayed(transport, reply.take, unread, hang_ups)
    await reply.take(socket.socket(fileno=os.dup(transport.socket.fileno())), unread)
    return None


def _framed(transport: Transport, websocket: WebSocket, unread: bytes) -> Transport:
    from engine.api.websocket import WebSocketTransport  # a megabyte, for the few

    return WebSocketTransport(transport, unread, text=websocket.text)


async def _relayed(client: Transport, take: Take, unread: bytes, hang_ups: HangUps) -> Relay:
    ours, theirs = socket.socketpair(socket.AF_UNIX, _PAIR)
    try:
        await take(theirs, unread)
    except BaseException:
        ours.close()
        raise
    return Relay(client, ours, hang_ups)
