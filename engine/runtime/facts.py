"""Define the records of a monitor's journal, for the writer and the reader.

A fact has happened, whether or not the event log has it. It is one line of JSON. Lines of every
earlier release must be understood, so a field is only ever added, with a default. ``n`` counts from
1 within a run, ``at_ns`` is the wall clock, ``boot_ns`` is CLOCK_BOOTTIME::

    {"n":3,"type":"exited","at_ns":1764277200000000000,"boot_ns":81000000000,
     "code":137,"signal":9,"oom":false}

Named tuples instead of dataclasses: the module ``dataclasses`` costs each lean process a megabyte.
"""

import json
from typing import Any, Final, NamedTuple

from engine.runtime.json_text import flat


class Stamp(NamedTuple):
    """The number of a record within its run, and when the fact happened."""

    number: int
    at_ns: int
    """Wall clock."""
    boot_ns: int
    """CLOCK_BOOTTIME."""


# Why a client was disconnected.
ENDED: Final = "ended"  # the process has exited and all of its output was taken
EOF: Final = "eof"  # the client went away
DETACHED: Final = "detached"  # the client sent the detach keys
SLOW: Final = "slow"  # the client took nothing while the process waited for it

UNSTAMPED: Final = Stamp(0, 0, 0)
"""The stamp of a fact that is not written yet."""


class MonitorBegan(NamedTuple):
    """The monitor holds its lock: the launch has happened and must not be repeated. The first
    record.
    """

    pid: int
    start_ticks: int
    boot_id: str
    stamp: Stamp = UNSTAMPED


class ProcessStarted(NamedTuple):
    """The container's first process executes its program."""

    pid: int
    start_ticks: int
    boot_id: str
    stamp: Stamp = UNSTAMPED


class ProcessNotStarted(NamedTuple):
    """The container's first process could not execute its program. Then this is the last record."""

    step: str
    errno: int
    message: str
    exit_code: int
    stamp: Stamp = UNSTAMPED


class ProcessExited(NamedTuple):
    """The container's first process was reaped. The last record."""

    code: int
    signal: int | None
    oom: bool
    stamp: Stamp = UNSTAMPED


class MemoryExhausted(NamedTuple):
    """The number of processes that the kernel has killed for lack of memory since the run began."""

    kills: int
    stamp: Stamp = UNSTAMPED


class LogDropped(NamedTuple):
    """The number of bytes that the log had no room for since the run began."""

    lost_bytes: int
    stamp: Stamp = UNSTAMPED


class AttachEnded(NamedTuple):
    """A client was disconnected, for one of the reasons above.

    ``attach_id`` is the exec's ID for the client of an exec.
    """

    attach_id: str
    reason: str
    stamp: Stamp = UNSTAMPED


class ExecProcessStarted(NamedTuple):
    """An exec's process executes its program."""

    exec_id: str
    pid: int
    start_ticks: int
    boot_id: str
    stamp: Stamp = UNSTAMPED


class ExecProcessNotStarted(NamedTuple):
    """An exec's process could not execute its program."""

    exec_id: str
    message: str
    exit_code: int
    stamp: Stamp = UNSTAMPED


class ExecProcessExited(NamedTuple):
    """An exec's process was reaped."""

    exec_id: str
    code: int
    stamp: Stamp = UNSTAMPED


Fact = (
    MonitorBegan
    | ProcessStarted
    | ProcessNotStarted
    | ProcessExited
    | MemoryExhausted
    | LogDropped
    | AttachEnded
    | ExecProcessStarted
    | ExecProcessNotStarted
    | ExecProcessExited
)

RECORD_TYPES: Final[dict[type[Fact], str]] = {
    MonitorBegan: "monitor_started",
    ProcessStarted: "started",
    ProcessNotStarted: "start_failed",
    ProcessExited: "exited",
    MemoryExhausted: "oom",
    LogDropped: "log_dropped",
    AttachEnded: "attach_closed",
    ExecProcessStarted: "exec_started",
    ExecProcessNotStarted: "exec_failed",
    ExecProcessExited: "exec_exited",
}
"""The type of each fact in a journal."""
REWRITTEN: Final = "rewritten"
"""The type of the first line of a journal that was rewritten without some records: its number is 0,
and it is no fact.
"""


def to_line(fact: Fact, stamp: Stamp) -> bytes:
    """Encode the record of a fact, with a stamp in place of the fact's own, without the newline.

    A copy of the fact with the stamp would cost the monitor memory: the tuple of each copy that is
    made from an iterable stays in CPython's list of free tuples, which holds thousands.
    """
    number, at_ns, boot_ns = stamp
    record: dict[str, Any] = {
        "n": number,
        "type": RECORD_TYPES[type(fact)],
        "at_ns": at_ns,
        "boot_ns": boot_ns,
    }
    record.update(zip(_names(type(fact)), fact, strict=False))  # all but the stamp
    return flat(record)


def from_line(line: bytes) -> Fact | None:
    """Decode a record; None if the line is damaged, or no fact."""
    try:
        record = json.loads(line)
        kind = _KINDS[record["type"]]
        stamp = Stamp(record["n"], record["at_ns"], record["boot_ns"])
        fact = kind._make([*(record[name] for name in _names(kind)), stamp])
    except (ValueError, KeyError, TypeError):
        return None
    return fact if _is_typed(stamp) and _is_typed(fact) else None


_KINDS: Final = {name: kind for kind, name in RECORD_TYPES.items()}


_NAMES_IN_RECORDS: Final = {"kills": "count", "lost_bytes": "bytes"}
"""Fields whose name in a record differs."""


def _names(kind: type[Fact]) -> list[str]:
    """Return the names of a fact's fields in its record, in order, without the stamp."""
    return [_NAMES_IN_RECORDS.get(name, name) for name in kind._fields[:-1]]


def _is_typed(value: Fact | Stamp) -> bool:
    wanted = type(value).__annotations__
    return all(map(isinstance, value, (wanted[name] for name in value._fields)))
