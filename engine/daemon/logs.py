"""Configure the daemon's log: an event and its keys, for a person to read or as JSON.

Lines are written where events happen, on the event loop's thread too. So a reader that has stopped
reading must not stop the engine: a line that its pipe has no room for is dropped, and the number of
dropped lines is logged once there is room again. Checking whether there is room takes a
microsecond; a thread that writes from a queue would cost each line two switches of the
interpreter's lock.
"""

import logging
import os
import select
import sys
from collections.abc import Iterator
from typing import Any, Final

import structlog

PIPE_BUF: Final = select.PIPE_BUF
"""A pipe that is ready for writing has room for so many bytes at least; poll(2), pipe(7)."""


class Output:
    """A text file for structlog that never waits for its reader."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._dropped = 0

    def write(self, text: str) -> None:
        """Write a line, or drop it if there is no room."""
        if self._dropped and self._written(
            f"{self._dropped} lines of the log were dropped: nobody read them\n"
        ):
            self._dropped = 0
        if self._dropped or not self._written(text):
            self._dropped += 1

    def flush(self) -> None:
        """Do nothing: no line is kept back."""

    def _written(self, text: str) -> bool:
        return all(map(self._part_written, _parts(text.encode(errors="backslashreplace"))))

    def _part_written(self, part: bytes) -> bool:
        if not self._has_room():
            return False
        try:
            return os.write(self._fd, part) == len(part)
        except OSError:  # the reader is gone, the disk is full: no reason to stop
            return False

    def _has_room(self) -> bool:
        return any(events & select.POLLOUT for _, events in self._poll.poll(0))


def _parts(line: bytes) -> Iterator[bytes]:
    for start in range(0, len(line), PIPE_BUF):
        yield line[start : start + PIPE_BUF]


def configure(level: str, form: str) -> None:
    """Set structlog up once, before the first log line.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        form: ``console`` or ``json``.
    """
    renderer: Any = (  # Any: renderers differ in what they return
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    output: Any = Output(sys.stderr.fileno())  # Any: of a TextIO no more than this is used
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(file=output),
        cache_logger_on_first_use=True,
    )
