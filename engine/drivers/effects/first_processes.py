"""Check that the first processes of containers are in their cgroups, and frozen while paused.

The kernel reports the end of a process. Moves to other cgroups and thaws are looked for when
another process has written to a control file: most of these writes have nothing to do with
containers of ours, and text of ``/proc/PID/cgroup`` that has not changed needs no parsing.
"""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from engine.domain.container.phases import Phase
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId
from engine.drivers.cgroups.cgroup_parents import Cgroups
from engine.drivers.cgroups.driver import memberships
from engine.drivers.cgroups.write_watch import WriteWatch
from engine.drivers.processes.end_watch import EndWatch

READ_MAX: Final = 250
"""How many memberships are read in one go, 0.02 ms each: where other programs write all the time,
this would be most of what a daemon with a thousand containers does.
"""


@dataclass(slots=True)
class FirstProcesses:
    """The first processes of all containers that run."""

    cgroups: Cgroups
    _writes: WriteWatch = field(init=False)
    _ends: EndWatch = field(default_factory=EndWatch)
    _right: deque[tuple[int, bytes]] = field(default_factory=deque)
    """Pids and memberships of processes in their cgroups; the next to read comes first."""
    _unread: int = 0
    """Number of those that were not read since another process wrote to a control file."""
    _paused: list[Container] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the watch of all hierarchies."""
        self._writes = WriteWatch(self.cgroups.own.roots)

    def close(self) -> None:
        """Release the descriptors; the next use opens others."""
        self._writes.close()
        self._ends.close()

    def misplaced(self, running: Collection[Container]) -> frozenset[ContainerId]:
        """Read all, and return the containers whose first process is outside a cgroup, has
        ended, or moves although the container is paused.

        One that has ended is included because the log does not have its exit yet, and the hint
        may be lost.
        """
        self._ends.watch([each.process for each in running if each.process is not None])
        self._right, self._unread, self._paused = deque(), 0, []
        return frozenset(each.id for each in running if not self._is_held(each))

    def _is_held(self, container: Container) -> bool:
        assert container.process is not None
        pid, cgroups = container.process.pid, self.cgroups.of(container)
        if container.phase is Phase.PAUSED:
            self._paused.append(container)
            if not cgroups.is_frozen(container.id):
                return False
        found = memberships(pid)
        if not cgroups.are_all(container.id, found):
            return False
        self._right.append((pid, found))
        return True

    def has_changes(self) -> bool:
        """Return True if a process that was where it belongs has ended, is elsewhere or moves.

        Reads :data:`READ_MAX` memberships at most; the next calls read the others.
        """
        if self._writes.has_changes():
            self._unread = len(self._right)
            if not all(self.cgroups.of(each).is_frozen(each.id) for each in self._paused):
                return True
        return self._ends.has_changes() or self._have_moved()

    def _have_moved(self) -> bool:
        for _ in range(min(self._unread, READ_MAX)):
            pid, before = self._right[0]
            self._right.rotate(-1)
            self._unread -= 1
            if memberships(pid) != before:
                return True
        return False
