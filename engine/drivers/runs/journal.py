"""Reading what monitors write down: ``runtime/journal.py`` is the other end.

A record counts once its newline is there. A torn last line is left for the next look; a line in the middle that is no record
(a disk that was full, a block of NULs after a power cut) is passed over, for what follows it is as true as ever.
"""

from pathlib import Path
from typing import Final

import msgspec

from engine.domain.container_events import ProcessIdentity
from engine.domain.ids import ExecId
from engine.supervisor.observation import (
    AttachEnded,
    ExecProcessExited,
    ExecProcessNotStarted,
    ExecProcessStarted,
    Fact,
    LogDropped,
    MemoryExhausted,
    MonitorBegan,
    ProcessExited,
    ProcessNotStarted,
    ProcessStarted,
)


class _Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    n: int
    at_ns: int
    boot_ns: int


class _Identified(_Record, frozen=True, kw_only=True):
    pid: int
    start_ticks: int
    boot_id: str

    @property
    def identity(self) -> ProcessIdentity:
        return ProcessIdentity(pid=self.pid, start_ticks=self.start_ticks, boot_id=self.boot_id)


class MonitorStarted(_Identified, frozen=True, kw_only=True, tag="monitor_started"):
    """The first record."""


class Started(_Identified, frozen=True, kw_only=True, tag="started"):
    """The container's first process executes its program."""


class StartFailed(_Record, frozen=True, kw_only=True, tag="start_failed"):
    """It does not; the last record then."""

    step: str
    errno: int
    message: str
    exit_code: int


class Exited(_Record, frozen=True, kw_only=True, tag="exited"):
    """The container's first process was reaped; the last record."""

    code: int
    signal: int | None
    oom: bool


class OutOfMemory(_Record, frozen=True, kw_only=True, tag="oom"):
    """The kernel has killed ``count`` processes since the run began."""

    count: int


class ExecStarted(_Identified, frozen=True, kw_only=True, tag="exec_started"):
    """An exec's process executes its program."""

    exec_id: str


class ExecFailed(_Record, frozen=True, kw_only=True, tag="exec_failed"):
    """It does not."""

    exec_id: str
    message: str
    exit_code: int


class ExecExited(_Record, frozen=True, kw_only=True, tag="exec_exited"):
    """An exec's process was reaped."""

    exec_id: str
    code: int


class AttachClosed(_Record, frozen=True, kw_only=True, tag="attach_closed"):
    """A client was let go: ``eof``, ``detached``, ``slow`` or ``ended``."""

    attach_id: str
    reason: str


class LogLost(_Record, frozen=True, kw_only=True, tag="log_dropped"):
    """Bytes that the log had no room for since the run began."""

    bytes: int


JournalRecord = (
    MonitorStarted
    | Started
    | StartFailed
    | Exited
    | OutOfMemory
    | ExecStarted
    | ExecFailed
    | ExecExited
    | AttachClosed
    | LogLost
)

_HEAD_BYTES: Final = 64
"""No two journals begin alike: a new one with a time, one written anew with how often it has been."""

_decoder: Final = msgspec.json.Decoder(JournalRecord)


class JournalReader:
    """Reads a journal as it grows, each record once, also when its monitor writes it anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._head = b""
        self._newest = 0
        self.offset = 0
        """How far it has been read, in bytes."""

    def read(self) -> tuple[JournalRecord, ...]:
        """The records that are new since the last time; none while there is no file.

        Raises:
            OSError: the file can't be read.
        """
        try:
            with self._path.open("rb") as file:
                self._recognise(file.read(_HEAD_BYTES))
                file.seek(self.offset)
                grown = file.read()
        except FileNotFoundError:
            return ()
        whole = grown[: grown.rfind(b"\n") + 1]
        self.offset += len(whole)
        parsed = (record for line in whole.splitlines() if (record := _parsed(line)) is not None)
        new = tuple(record for record in parsed if record.n > self._newest)
        self._newest = max((record.n for record in new), default=self._newest)
        return new

    def _recognise(self, head: bytes) -> None:
        if head != self._head:
            self._head, self.offset = head, 0


def read_journal(path: Path, after_n: int = 0) -> tuple[JournalRecord, ...]:
    """The records of a journal with a number above ``after_n``.

    Raises:
        OSError: the file can't be read.
    """
    return tuple(record for record in JournalReader(path).read() if record.n > after_n)


def _parsed(line: bytes) -> JournalRecord | None:
    try:
        record: JournalRecord = _decoder.decode(line)
    except msgspec.DecodeError:
        return None
    return record


def fact(record: JournalRecord) -> Fact:
    """A record in the supervisor's words."""
    when = {"number": record.n, "at_ns": record.at_ns, "boot_ns": record.boot_ns}
    match record:
        case MonitorStarted():
            return MonitorBegan(monitor=record.identity, **when)
        case Started():
            return ProcessStarted(process=record.identity, **when)
        case StartFailed(message=message, exit_code=exit_code):
            return ProcessNotStarted(message=message, exit_code=exit_code, **when)
        case Exited(code=code, signal=number, oom=oom):
            return ProcessExited(code=code, signal=number, oom=oom, **when)
        case OutOfMemory(count=count):
            return MemoryExhausted(count=count, **when)
        case AttachClosed(attach_id=attach, reason=reason):
            return AttachEnded(attach=attach, reason=reason, **when)
        case LogLost(bytes=count_bytes):
            return LogDropped(count_bytes=count_bytes, **when)
        case _:
            return _exec_fact(record, when)


def _exec_fact(record: ExecStarted | ExecFailed | ExecExited, when: dict[str, int]) -> Fact:
    execution = ExecId(record.exec_id)
    match record:
        case ExecStarted():
            return ExecProcessStarted(execution=execution, process=record.identity, **when)
        case ExecFailed(message=message, exit_code=exit_code):
            return ExecProcessNotStarted(
                execution=execution, message=message, exit_code=exit_code, **when
            )
        case ExecExited(code=code):
            return ExecProcessExited(execution=execution, code=code, **when)
