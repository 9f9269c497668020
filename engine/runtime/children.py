"""Run one child of the monitor, from fork(2) to its exit: the first process, or an exec.

::

    fork ──▶ report pipe at end of file, empty ──▶ started ──▶ pidfd readable ──▶ exited
        └──▶ report pipe holds a failure ────────────────────▶ pidfd readable ──▶ failed

Each of the three is reported once. After the last one the child is reaped, and all descriptors of
its start are closed.
"""

import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable
from typing import Final, NamedTuple, NoReturn, Protocol

from engine.runtime import linux, messages
from engine.runtime.failure import EXIT_SETUP_FAILED
from engine.runtime.kernel_files import write_once
from engine.runtime.loop import READ, Loop
from engine.runtime.process_stat import process_stat
from engine.runtime.streams import Stdio

_REPORT_BYTES_MAX: Final = 64 << 10


class Failure(NamedTuple):
    """Why a process was not started, as ``runtime/init.py`` reports it."""

    step: str
    errno: int
    message: str
    exit_code: int


class Become(Protocol):
    """One of the two entry points of ``runtime/init.py``, with all but the last arguments bound."""

    def __call__(
        self, stdio: tuple[int, int, int] | None, report_fd: int, console_socket: int | None
    ) -> NoReturn:
        """Become the process; never returns."""


class Listener(Protocol):
    """Receives the events of a child."""

    def started(self, child: "Child") -> None:
        """execve(2) has succeeded."""

    def failed(self, child: "Child", failure: Failure) -> None:
        """The process was not started; the child is reaped."""

    def exited(self, child: "Child", status: int) -> None:
        """The process ran and is reaped; ``status`` is that of waitpid(2)."""


def identity(pid: int, boot_id: str) -> tuple[int, int, str]:
    """Return what identifies a process: its pid, its start time, and the machine's boot."""
    stat = process_stat(pid)
    assert stat is not None, "it is ourselves, or a child that only we reap"
    return pid, stat.start_ticks, boot_id


class Child:
    """One child, with its connections to the monitor."""

    def __init__(
        self,
        loop: Loop,
        stdio: Stdio,
        become: Become,
        listener: Listener,
        *,
        pipes: tuple[bool, bool],
        cgroup: str,
    ) -> None:
        """Fork. ``pipes``: whether the child gets an input, and outputs, else /dev/null. A terminal
        replaces all three.

        ``cgroup`` is the version 2 directory to clone into; empty to stay in ours.

        Raises:
            OSError: ENOMEM when the PID namespace has lost its init, EAGAIN, EMFILE.
        """
        self._loop = loop
        self._stdio = stdio
        self._listener = listener
        self._cgroup = cgroup
        self.pidfd = -1
        self._report_fd: int | None = None
        self._console: socket.socket | None = None
        self._failure: Failure | None = None
        self._started = False
        self.pid = self._terminal(become) if stdio.tty else self._piped(become, *pipes)
        loop.watch(self.pidfd, READ, lambda _: self._exited())

    def kill(self) -> None:
        """Kill the child, if it has not ended yet."""
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        """Signal exactly this process; a process that is ending ignores it."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def _terminal(self, become: Become) -> int:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.ExitStack() as undo, theirs:
            undo.callback(ours.close)
            pid = self._fork(lambda report_fd: become(None, report_fd, theirs.fileno()))
            undo.pop_all()
        self._console = ours
        return pid

    def _piped(self, become: Become, takes_input: bool, gives_output: bool) -> int:
        """Fork with pipes.

        Each descriptor is owned by a stack as soon as it is open, because any open may fail with
        EMFILE.
        """
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            null_fd = _owned(theirs, os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
            stdin_fd, our_stdin = _pipe(theirs, ours) if takes_input else (null_fd, None)
            our_stdout, stdout_fd = _pipe(ours, theirs) if gives_output else (None, null_fd)
            our_stderr, stderr_fd = _pipe(ours, theirs) if gives_output else (None, null_fd)
            pid = self._fork(lambda report: become((stdin_fd, stdout_fd, stderr_fd), report, None))
            ours.pop_all()
        self._stdio.open_pipes(our_stdin, our_stdout, our_stderr)
        return pid

    def _fork(self, become: Callable[[int], NoReturn]) -> int:
        with contextlib.ExitStack() as undo:
            report_fd, their_report_fd = os.pipe()
            undo.callback(os.close, report_fd)
            try:
                pid = _fork(self._cgroup)
                if pid == 0:
                    _run_child(become, their_report_fd)
            finally:
                os.close(their_report_fd)
            self.pidfd = os.pidfd_open(pid)  # never EMFILE: a descriptor has just been closed
            undo.pop_all()
        self._report_fd = report_fd
        self._loop.watch(report_fd, READ, lambda _: self._read_report())
        return pid

    def _read_report(self) -> None:
        """Read the report. This runs at the latest after the child's end, when the whole report is
        there.
        """
        if self._report_fd is None:
            return
        report = os.read(self._report_fd, _REPORT_BYTES_MAX)
        self._loop.forget(self._report_fd)
        os.close(self._report_fd)
        self._report_fd = None
        if report:
            self._failure = Failure(**json.loads(report))
        else:
            self._started = True
            self._open_terminal()
            self._listener.started(self)
        if self._console is not None:
            self._console.close()
            self._console = None

    def _open_terminal(self) -> None:
        if self._console is None:
            return
        self._console.setblocking(False)
        try:
            _, ancillary, _, _ = self._console.recvmsg(
                1, messages.ANCILLARY_BYTES, messages.CLOSE_ON_EXEC
            )
        except OSError:  # killed before it had a terminal
            return
        for master_fd in messages.descriptors(ancillary)[:1]:
            self._stdio.open_terminal(master_fd)

    def _exited(self) -> None:
        self._read_report()
        self._loop.forget(self.pidfd)
        _, status = os.waitpid(self.pid, 0)
        if self._failure is not None:
            self._listener.failed(self, self._failure)
        else:
            self._listener.exited(self, status)
        os.close(self.pidfd)


def _owned(stack: contextlib.ExitStack, fd: int) -> int:
    stack.callback(os.close, fd)
    return fd


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[int, int]:
    """Open a pipe, each end owned by one of two stacks."""
    reading_fd, writing_fd = os.pipe()
    return _owned(reader, reading_fd), _owned(writer, writing_fd)


def _fork(cgroup: str) -> int:
    if not cgroup:
        return os.fork()
    cgroup_fd = os.open(cgroup, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return linux.fork_into_cgroup(cgroup_fd)
    finally:
        os.close(cgroup_fd)


def _run_child(become: Callable[[int], NoReturn], report_fd: int) -> NoReturn:
    try:
        # The kernel should kill the container's processes before the monitor.
        write_once("/proc/self/oom_score_adj", "0")
        become(report_fd)
    except BaseException as error:  # the bundle can't be read
        failure = Failure(
            "begin", getattr(error, "errno", None) or 0, str(error), EXIT_SETUP_FAILED
        )
        os.write(report_fd, json.dumps(failure._asdict()).encode())
    finally:  # nothing may unwind into a copy of our parent's stack
        os._exit(EXIT_SETUP_FAILED)
