"""Parse /proc/PID/stat, proc_pid_stat(5)."""

from signal import SIGKILL
from typing import Final, NamedTuple

from engine.runtime.kernel_files import read_once

_PF_EXITING: Final = 0x4
"""linux/sched.h"""


class ProcessStat(NamedTuple):
    """A process's entry in /proc; times are in clock ticks, ``start_ticks`` since boot."""

    name: str
    state: str
    """One letter; ``Z`` and ``X`` are dead."""
    parent_pid: int
    terminal: int
    flags: int
    user_ticks: int
    system_ticks: int
    start_ticks: int
    pending: int
    """Signals that wait for the first thread, as a bitmap."""

    @property
    def has_ended(self) -> bool:
        """True if it no longer executes, even if its parent has not reaped it yet."""
        return self.state in "ZX"

    @property
    def is_exiting(self) -> bool:
        """True if it has ended or is exiting: a PID namespace's first process waits for all
        others.
        """
        return self.has_ended or bool(self.flags & _PF_EXITING)

    @property
    def is_killed(self) -> bool:
        """Whether it has been sent SIGKILL and has not come to it yet; the kernel gives that signal
        to each thread.
        """
        return bool(self.pending >> (SIGKILL - 1) & 1)


def process_stat(pid: int) -> ProcessStat | None:
    """Read a process's entry; None if there is no such process.

    Raises:
        OSError: no more descriptors.
    """
    try:
        text = read_once(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return parse_stat(text)


def parse_stat(text: bytes) -> ProcessStat:
    """Parse the line; the name may contain spaces and brackets."""
    before, _, after = text.rpartition(b")")
    fields = after.split()  # from the third field of the manual page on
    return ProcessStat(
        name=before.partition(b"(")[2].decode("utf-8", "replace"),
        state=fields[0].decode(),
        parent_pid=int(fields[1]),
        terminal=int(fields[4]),
        flags=int(fields[6]),
        user_ticks=int(fields[11]),
        system_ticks=int(fields[12]),
        start_ticks=int(fields[19]),
        pending=int(fields[28]),
    )
