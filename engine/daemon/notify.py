"""systemd's readiness and watchdog protocol, sd_notify(3): datagrams to the socket that it names."""

import os
import socket

import trio

_MICROSECONDS = 1_000_000


def notify(message: str) -> None:
    """Tell the service manager, if there is one and it listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.sendto(message.encode(), address)
        except OSError:  # a manager that does not listen must not end the daemon
            return


async def watchdog() -> None:
    """Say twice within the time that the manager grants that this loop still turns; for ever."""
    granted_us = int(os.environ.get("WATCHDOG_USEC", "0"))
    asked_of = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not granted_us or asked_of != str(os.getpid()):
        return
    while True:
        notify("WATCHDOG=1")
        await trio.sleep(granted_us / _MICROSECONDS / 2)
