"""Notify systemd of readiness and of each watchdog period, sd_notify(3)."""

import os
from typing import Final

import trio

from engine.background import Backoff, Loop, forever

NOTIFY_TIMEOUT_S: Final = 5.0
"""How long to wait for a service manager whose queue is full: without ``READY=1`` it would kill the
daemon."""
_MICROSECONDS: Final = 1_000_000


async def notify(message: str) -> None:
    """Send a message to the service manager, if there is one and it listens.

    A message that it does not take in time is dropped.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with trio.move_on_after(NOTIFY_TIMEOUT_S):
        try:
            with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_DGRAM) as channel:
                await channel.connect(address)  # else a full queue would count as writable, unix(7)
                await channel.send(message.encode())
        except OSError:  # a manager that does not listen must not end the daemon
            return


async def watchdog() -> None:
    """Report to the service manager, twice within the time that it grants, that this loop still
    runs.

    Until cancelled.
    """
    granted_s = _granted_s()
    if not granted_s:
        return

    async def feed() -> None:
        await notify("WATCHDOG=1")
        await trio.sleep(granted_s / 2)

    await forever(Loop.WATCHDOG, feed, Backoff(first_s=granted_s / 4, max_s=granted_s / 4))


def _granted_s() -> float:
    """Return the watchdog's time; 0 if there is none for this process, or it is not a number."""
    granted_us = os.environ.get("WATCHDOG_USEC", "0")
    asked_of = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if asked_of != str(os.getpid()) or not granted_us.isdecimal():
        return 0.0
    return int(granted_us) / _MICROSECONDS
