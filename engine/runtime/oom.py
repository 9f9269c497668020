"""Count out-of-memory kills in a container's cgroup.

cgroup v2 reports a change of ``memory.events`` as POLLPRI (cgroup-v2.rst, memory.events). v1 has an
eventfd registered through ``cgroup.event_control`` (cgroup-v1/memory.rst, section 10), which fires
before the kill is counted, so the counter is read again a moment later. Where neither works, the
counters are read when a process ends.
"""

import os
from collections.abc import Callable, Sequence
from typing import Final

from engine.runtime.kernel_files import read_once, write_once
from engine.runtime.loop import PRIORITY, READ, Loop

_SECOND_LOOK_S: Final = 0.05


class OomWatch:
    """Counts kills since it began; ``killed`` is called with each new count."""

    def __init__(
        self, loop: Loop, counters: Sequence[Sequence[str]], killed: Callable[[int], None]
    ) -> None:
        """Start watching; ``counters`` are pairs of a file and the key of a line in it."""
        self._loop = loop
        self._counters = [(file, key) for file, key in counters]
        self._killed = killed
        self._before = self._read()
        self.count = 0
        for file, _ in self._counters:
            try:
                self._watch(file)
            except OSError:
                continue  # the counters are read at the end, in any case

    def look(self) -> None:
        """Read the counters, and report new kills."""
        count = max(0, self._read() - self._before)
        if count > self.count:
            self.count = count
            self._killed(count)

    def _watch(self, file: str) -> None:
        if file.endswith("/memory.events"):
            fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            self._loop.watch(fd, PRIORITY, lambda _: self._changed(fd))
        else:
            self._watch_v1(file)

    def _watch_v1(self, file: str) -> None:
        event_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            _register(file, event_fd)
        except BaseException:
            os.close(event_fd)
            raise
        self._loop.watch(event_fd, READ, lambda _: self._fired(event_fd))

    def _changed(self, fd: int) -> None:
        os.pread(fd, 4096, 0)  # a new read rearms the notification
        self.look()

    def _fired(self, event_fd: int) -> None:
        os.eventfd_read(event_fd)
        self.look()
        self._loop.call_after(self, _SECOND_LOOK_S, self.look)

    def _read(self) -> int:
        return sum(_value(file, key) for file, key in self._counters)


def _register(file: str, event_fd: int) -> None:
    """Make the kernel signal an eventfd at each OOM kill.

    The kernel's cgroup-v1/cgroups.rst, "Notification API".
    """
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        write_once(f"{file.rpartition('/')[0]}/cgroup.event_control", f"{event_fd} {fd}")
    finally:
        os.close(fd)


def _value(file: str, key: str) -> int:
    """Return the number after a key; 0 if the file or the key is missing: the cgroup is gone, or
    the kernel is old.
    """
    try:
        lines = read_once(file).decode().splitlines()
    except OSError:
        return 0
    return next(
        (int(value) for name, _, value in (line.partition(" ") for line in lines) if name == key), 0
    )
