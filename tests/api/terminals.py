"""Run a command in a terminal: type keys, and read what it draws."""

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from tests.api.clients import Client
from tests.harness.conditions import eventually
from tests.harness.daemon import REPOSITORY
from tests.timeouts import patient

TIMEOUT_S: Final = 15.0
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
"""Movements of the cursor, and what is cleared."""
ROWS: Final = 40
COLUMNS: Final = 100


class Terminal:
    """A client with a user at a keyboard.

    Attributes:
        seen: all that was drawn since the last :meth:`until`.
    """

    def __init__(self, client: Client, *words: str) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(ROWS, COLUMNS)
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        self._asked = 0
        self.process = subprocess.Popen(
            [*client.words, *words],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            cwd=REPOSITORY,
            env=client.environment,
            start_new_session=True,
            preexec_fn=self._take_control,
        )

    def _take_control(self) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(f"on the terminal: {self.seen!r}")
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def type(self, text: str) -> None:
        """Type these keys."""
        os.write(self.master, text.encode())

    def until(self, wanted: str) -> str:
        """Return what is drawn up to the first ``wanted``; the rest stays for the next call."""
        deadline = time.monotonic() + patient(TIMEOUT_S)
        while wanted.encode() not in self.seen:
            left = deadline - time.monotonic()
            if not select.select([self.master], [], [], max(left, 0))[0]:
                raise AssertionError(f"{wanted!r} is not drawn; instead: {self.seen!r}")
            self.seen += os.read(self.master, 65536)
        before, found, self.seen = self.seen.partition(wanted.encode())
        return (before + found).decode(errors="replace")

    def asks(self, command: str) -> str:
        """Send a command to a shell and return its output.

        A mark ends the output; it is typed in another form, so that the echo is not taken for it.
        Prompts may be drawn more than once.
        """
        self._asked += 1
        self.type(f"{command}; echo '<'{self._asked}'>'\n")
        drawn = self.until(f"\n<{self._asked}>").rpartition("\n")[0]
        self.until("# ")
        drawn = _ESCAPES.sub("", drawn)  # a shell that finds typed text draws it anew
        return drawn.rpartition(f"'<'{self._asked}'>'\r\n")[2].strip()

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the window."""
        termios.tcsetwinsize(self.slave, (rows, columns))

    def drag(self, rows: int, columns: int, noticed: Callable[[], bool]) -> None:
        """Change the size until it is noticed: clients listen for changes only a moment after the
        first thing is drawn.
        """

        def dragged() -> bool:
            self.resize(rows - 1, columns)
            self.resize(rows, columns)
            return noticed()

        eventually(dragged, f"a window of {rows} by {columns}")

    def has_drawn(self, wanted: str) -> bool:
        """True if ``wanted`` has been drawn."""
        while select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 65536)
        return wanted.encode() in self.seen

    @property
    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.slave)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def await_raw(self) -> None:
        eventually(lambda: self.is_raw, "the terminal is raw")

    @property
    def is_as_before(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before

    def ends(self) -> int:
        """Return the exit code of the client, which ends by itself; negative for a signal."""
        return self.process.wait(patient(TIMEOUT_S))

    def ends_by(self, key: str) -> int:
        """Return the exit code of the client, which ends by a key in a shell.

        The key is repeated until it does: a shell that has drawn its prompt may not read single
        keys yet.
        """

        def ended() -> bool:
            if self.process.poll() is None:
                self.type(key)
            return self.process.poll() is not None

        eventually(ended, f"{key!r} ends it", within_s=TIMEOUT_S)
        return self.process.returncode

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, as ``kill`` from another window."""
        self.process.send_signal(number)
