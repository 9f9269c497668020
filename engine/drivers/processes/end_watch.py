"""Ask the kernel whether processes have ended: pidfd_open(2), epoll(7)."""

import os
import select
from collections.abc import Collection

from engine.domain.container.events import ProcessIdentity
from engine.drivers.processes.identity import open_process
from engine.errors import DriverError


class EndWatch:
    """Reports whether one of several processes has ended.

    Holds a descriptor of each. Where there are no more descriptors the answer is always yes.
    """

    def __init__(self) -> None:
        self._poll: select.epoll | None = None
        self._pidfds: dict[ProcessIdentity, int] = {}
        self._is_complete = True

    def watch(self, processes: Collection[ProcessIdentity]) -> None:
        """Watch these processes and no others. One that has ended before is not watched:
        inspect them afterwards.
        """
        for gone in self._pidfds.keys() - set(processes):
            os.close(self._pidfds.pop(gone))  # which takes it out of the epoll instance
        self._is_complete = True
        for each in processes:
            if each not in self._pidfds:
                self._add(each)

    def _add(self, process: ProcessIdentity) -> None:
        try:
            self._poll = self._poll or select.epoll()
            pidfd = open_process(process)
        except (DriverError, OSError):  # EMFILE
            self._is_complete = False
            return
        if pidfd is not None:
            self._pidfds[process] = pidfd
            self._poll.register(pidfd, select.EPOLLIN)

    def has_changes(self) -> bool:
        """Return True if one of the processes has ended."""
        return not self._is_complete or (self._poll is not None and bool(self._poll.poll(0, 1)))

    def close(self) -> None:
        """Stop watching."""
        self.watch(())
        if self._poll is not None:
            self._poll.close()
            self._poll = None
