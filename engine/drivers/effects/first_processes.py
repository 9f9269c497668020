"""Check that the first processes of containers are in their cgroups, and frozen while paused.

The end of a process is reported by its monitor. Moves to other cgroups and thaws are looked for
when another process has written to a control file: most of these writes have nothing to do with
containers of ours, and text of ``/proc/PID/cgroup`` that has not changed needs no parsing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.domain.container.phases import Phase
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId
from engine.drivers.cgroups.cgroup_parents import Cgroups
from engine.drivers.cgroups.driver import memberships
from engine.drivers.cgroups.write_watch import WriteWatch


@dataclass(slots=True)
class FirstProcesses:
    """The first processes of all containers that run."""

    cgroups: Cgroups
    _writes: WriteWatch = field(init=False)
    _memberships: dict[int, bytes] = field(default_factory=dict)
    """By pid, of those found where they belong."""
    _paused: list[Container] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the watch of all hierarchies."""
        self._writes = WriteWatch(self.cgroups.own.roots)

    def close(self) -> None:
        """Release the descriptors; the next use opens others."""
        self._writes.close()

    def misplaced(self, running: Iterable[Container]) -> frozenset[ContainerId]:
        """Look at all, and return the containers whose first process is outside a cgroup, has
        ended, or moves although the container is paused.

        One that has ended is included because the log has not heard of that yet, and the hint may
        be lost.
        """
        self._memberships, self._paused = {}, []
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
        self._memberships[pid] = found
        return True

    def has_news(self) -> bool:
        """Return True if a process that was where it belongs is there no more, or moves."""
        return self._writes.has_news() and (
            any(memberships(pid) != before for pid, before in self._memberships.items())
            or any(not self.cgroups.of(each).is_frozen(each.id) for each in self._paused)
        )
