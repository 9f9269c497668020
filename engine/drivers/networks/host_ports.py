"""Check that no process of the host uses a port."""

import os
import socket
from contextlib import ExitStack
from typing import Final

from engine.drivers.networks.ruleset import Protocol, PublishedPort
from engine.errors import EngineError

_KINDS: Final = {
    Protocol.TCP: socket.SOCK_STREAM,
    Protocol.UDP: socket.SOCK_DGRAM,
    Protocol.SCTP: socket.SOCK_SEQPACKET,
}


class HostPortUnavailable(EngineError):
    """A process of the host has the port, or the host has no such address. Docker answers 500 with
    this message.
    """


def check_host_port(port: PublishedPort) -> None:
    """Bind the port as a server would, and close it again.

    Address translation comes before delivery, so the kernel would let the engine silently take a
    port from the host's own server. A server that starts *later* is not prevented: it binds, but
    gets no packets from outside.

    SO_REUSEADDR is set for TCP only: it ignores connections in TIME_WAIT but not listeners,
    socket(7); with UDP it would ignore another server.

    Raises:
        HostPortUnavailable: with Docker's words, to follow "driver failed programming external
            connectivity …".
    """
    with ExitStack() as stack:
        try:
            probe = stack.enter_context(
                socket.socket(_family(port), _KINDS[port.protocol], port.protocol)
            )
            if port.host_address.version == 6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if port.protocol is Protocol.TCP:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((str(port.host_address), port.host_port))
        except OSError as error:
            raise HostPortUnavailable(_refusal(port, error)) from error


def _family(port: PublishedPort) -> socket.AddressFamily:
    return socket.AF_INET if port.host_address.version == 4 else socket.AF_INET6


def _refusal(port: PublishedPort, error: OSError) -> str:
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    return (
        f"failed to bind host port for {port.host_address}:{port.host_port}:"
        f"{port.address}:{port.port}/{port.protocol.name.lower()}: {reason}"
    )
