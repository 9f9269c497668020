"""List processes as ``ps -ef`` does, from /proc, without starting ps."""

import os
import pwd
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from engine.ports.host import ProcessTable
from engine.runtime.process_stat import parse_stat

TITLES: Final = ("UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD")

_USER_WIDTH: Final = 8
"""Width of procps' column: a longer name ends in a plus sign."""
_USERS_REMEMBERED: Final = 256
_PTS_MAJORS: Final = range(136, 144)
_TTY_MAJOR: Final = 4
_SERIAL_FROM: Final = 64
_CONSOLE: Final = (5, 1)
"""Device numbers: Documentation/admin-guide/devices.txt."""


@dataclass(frozen=True, slots=True)
class _Now:
    wall_s: float
    boot_s: float
    ticks_per_s: int


def full_listing(pids: Iterable[int]) -> ProcessTable:
    """Return a row for each process, by pid; processes that have ended are left out."""
    now = _Now(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), os.sysconf("SC_CLK_TCK"))
    rows = (_row(pid, now) for pid in sorted(pids))
    return ProcessTable(TITLES, tuple(row for row in rows if row is not None))


def _row(pid: int, now: _Now) -> tuple[str, ...] | None:
    place = Path(f"/proc/{pid}")
    try:
        stat = parse_stat((place / "stat").read_bytes())
        words = (place / "cmdline").read_bytes()
        uid = _effective_uid((place / "status").read_text(errors="replace"))
    except (FileNotFoundError, ProcessLookupError):
        return None
    spent_s = (stat.user_ticks + stat.system_ticks) // now.ticks_per_s
    started_boot_s = stat.start_ticks / now.ticks_per_s
    lasted_s = max(now.boot_s - started_boot_s, 1)
    return (
        user_name(uid),
        str(pid),
        str(stat.parent_pid),
        str(min(99, int(spent_s * 100 / lasted_s))),
        start_text(now.wall_s - now.boot_s + started_boot_s, now.wall_s),
        terminal_name(stat.terminal),
        duration_text(spent_s),
        _command(words, stat.name, stat.state),
    )


def _effective_uid(status: str) -> int:
    line = next(line for line in status.splitlines() if line.startswith("Uid:"))
    return int(line.split()[2])


@lru_cache(_USERS_REMEMBERED)
def user_name(uid: int) -> str:
    """Return a user's name on the host, cut to the column's width; the number if it has none."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)
    return name if len(name) <= _USER_WIDTH else f"{name[: _USER_WIDTH - 1]}+"


def start_text(started_s: float, now_s: float) -> str:
    """Return ``22:08`` for today, ``Nov23`` for this year, or the year, in local time."""
    started, now = time.localtime(started_s), time.localtime(now_s)
    if started.tm_year != now.tm_year:
        return time.strftime("%Y", started)
    return time.strftime("%H:%M" if started.tm_yday == now.tm_yday else "%b%d", started)


def terminal_name(number: int) -> str:
    """Convert field 7 of /proc/PID/stat to a name: major in bits 8 to 15, minor in the rest."""
    major, minor = number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00
    if major in _PTS_MAJORS:
        return f"pts/{(major - _PTS_MAJORS.start) * 256 + minor}"
    if major == _TTY_MAJOR:
        return f"tty{minor}" if minor < _SERIAL_FROM else f"ttyS{minor - _SERIAL_FROM}"
    return "console" if (major, minor) == _CONSOLE else "?"


def duration_text(spent_s: int) -> str:
    """Return ``[DD-]HH:MM:SS``."""
    minutes, seconds = divmod(spent_s, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    clock = f"{hours:02}:{minutes:02}:{seconds:02}"
    return f"{days:02}-{clock}" if days else clock


def _command(words: bytes, name: str, state: str) -> str:
    """Return the arguments, or the name in brackets if the process has none."""
    text = words.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    shown = "".join(char if char.isprintable() else "?" for char in text).rstrip()
    if state == "Z":
        return f"[{name}] <defunct>"
    return shown or f"[{name}]"
