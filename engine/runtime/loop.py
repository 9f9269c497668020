"""Run an event loop in a lean process: epoll(7), callbacks, deadlines.

A callback gets the events of its descriptor and must not block. A descriptor must be forgotten
before it is closed. If another callback of the same round is still due for it, that call is
skipped.
"""

import select
import time
from collections.abc import Callable
from typing import Final

READ: Final = select.EPOLLIN
WRITE: Final = select.EPOLLOUT
HANGUP: Final = select.EPOLLHUP | select.EPOLLERR
"""Always reported, even if not requested: a descriptor that will not be read any more must be
forgotten, or the loop spins.
"""
PRIORITY: Final = select.EPOLLPRI

EVENTS_MAX: Final = 16
"""Number of events taken in one round; the rest comes first in the next round."""

Callback = Callable[[int], None]


class Loop:
    """Descriptors and deadlines, with a callback for each."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callback] = {}
        self._deadlines: dict[object, tuple[float, Callable[[], None]]] = {}
        self._stopped = False

    def watch(self, fd: int, events: int, callback: Callback) -> None:
        """Call back whenever ``fd`` is ready, until it is forgotten."""
        self._callbacks[fd] = callback
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        """Wait for other events of a watched descriptor."""
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Stop watching; do nothing if ``fd`` is not watched."""
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def call_after(self, key: object, delay_s: float, callback: Callable[[], None]) -> None:
        """Call back once, later; each key has one deadline, and a new one replaces the old."""
        self._deadlines[key] = (time.monotonic() + delay_s, callback)

    def cancel(self, key: object) -> None:
        """Cancel a deadline; do nothing if there is none."""
        self._deadlines.pop(key, None)

    def stop(self) -> None:
        """Return from :meth:`run` once the present round is over."""
        self._stopped = True

    def run(self) -> None:
        """Serve until :meth:`stop`."""
        while not self._stopped:
            self.run_once()

    def close(self) -> None:
        """Close the epoll descriptor; nothing is watched any more."""
        self._epoll.close()

    def run_once(self) -> None:
        """Wait for the next events or the next deadline, and serve them."""
        ready = self._epoll.poll(self._patience_s(), EVENTS_MAX)
        callbacks = self._callbacks
        for fd, events, callback in [(fd, events, callbacks.get(fd)) for fd, events in ready]:
            # An earlier callback of this round may have closed this descriptor, and its number may
            # be reused.
            if callback is not None and callbacks.get(fd) is callback:
                callback(events)
        if self._deadlines:
            self._call_due()

    def _patience_s(self) -> float | None:
        if not self._deadlines:
            return None
        nearest = min(due for due, _ in self._deadlines.values())
        return max(0.0, nearest - time.monotonic())

    def _call_due(self) -> None:
        now = time.monotonic()
        for key, (due, callback) in list(self._deadlines.items()):
            if due <= now and self._deadlines.get(key) == (due, callback):
                del self._deadlines[key]
                callback()
