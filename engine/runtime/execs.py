"""Run execs: each has streams of its own and at most one client.

The outcome is in the journal before the client gets it: drain, ``exec_exited``, hint, then the
client's socket is closed.
"""

import os
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from engine.runtime import init
from engine.runtime.children import Child, Failure, identity
from engine.runtime.facts import ENDED, ExecProcessExited, ExecProcessNotStarted, ExecProcessStarted
from engine.runtime.failure import EXIT_NOT_EXECUTABLE
from engine.runtime.journal import Journal
from engine.runtime.loop import Loop
from engine.runtime.messages import Attachment, ExecOrder, LaunchOrder, Message, ProtocolError
from engine.runtime.streams import Stdio

REMEMBERED: Final = 64
"""How many finished execs are remembered by ID, in case the daemon died before it knew that its
order had arrived.
"""


def exit_code(status: int) -> int:
    """Convert a wait status to an exit code as the shell does: 128 + n for a process that signal n
    killed.
    """
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def refusal_text(message: str) -> bytes:
    """Return what dockerd writes to the client of an exec that could not start. It looks up users
    itself, so that error lacks the runtime's prefix.
    """
    if message.startswith("unable to find"):
        return f"{message}\r\n".encode()
    return (
        f"OCI runtime exec failed: exec failed: unable to start container process: {message}: unknown\r\n"
    ).encode()


class _Exec:
    """One exec, from its fork to its end. Receives its child's events, and writes them to the
    journal.
    """

    def __init__(self, execs: "Execs", order: ExecOrder, stdio: Stdio) -> None:
        self.exec_id = order.exec_id
        self.stdio = stdio
        self.child: Child | None = None
        self._execs = execs

    def started(self, child: Child) -> None:
        """Record the start: execve(2) has succeeded."""
        process = identity(child.pid, self._execs.boot_id)
        self._execs.journal.append(ExecProcessStarted(self.exec_id, *process))

    def failed(self, child: Child, failure: Failure) -> None:  # noqa: ARG002  (Listener's)
        """Record the failure; the client gets the reason instead of output."""
        code = max(failure.exit_code, EXIT_NOT_EXECUTABLE)
        self._execs.journal.append(ExecProcessNotStarted(self.exec_id, failure.message, code))
        self.stdio.write_to_clients(refusal_text(failure.message))
        self.stdio.drain()
        self._execs.forget(self)

    def exited(self, child: Child, status: int) -> None:  # noqa: ARG002  (Listener's)
        """Record the exit, after reading the rest of the output from the pipes."""
        self.stdio.drain()
        self._execs.journal.append(ExecProcessExited(self.exec_id, exit_code(status)))
        self._execs.forget(self)


class Execs:
    """All execs of one container."""

    def __init__(
        self,
        loop: Loop,
        order: LaunchOrder,
        journal: Journal,
        detached: Callable[[Attachment, str], None],
        ended: Callable[[], None],
    ) -> None:
        """Store the callbacks: ``detached`` is called for each client that went away, ``ended``
        whenever an exec has ended.
        """
        self._loop = loop
        self._order = order
        self.boot_id = order.boot_id
        self.journal = journal
        self._detached = detached
        self._ended = ended
        self._running: dict[str, _Exec] = {}
        self._finished: deque[str] = deque(maxlen=REMEMBERED)

    def start(self, order: ExecOrder, client_fds: list[int], init_pidfd: int) -> Message:
        """Fork; the outcome goes to the journal. The client's descriptor is removed from the list.

        Raises:
            OSError: fork failed: the container is ending, or a limit is reached.
            ProtocolError: more than one client.
        """
        if order.exec_id in self._running or order.exec_id in self._finished:
            return {"ok": True, "known": True}
        if len(client_fds) > 1:
            raise ProtocolError("an exec has one client at most")
        streams = order.streams
        stdio = Stdio(
            self._loop, tty=order.tty, closes_input=True, sink=None, detached=self._detached
        )
        become = partial(
            init.become_exec,
            order.process,
            init_pidfd,
            seccomp_path=order.seccomp_path,
            cgroup_procs=self._order.cgroup_procs,
        )
        running = _Exec(self, order, stdio)
        pipes = (streams.stdin and bool(client_fds), bool(client_fds))
        cgroup = self._order.cgroup_into
        running.child = Child(self._loop, stdio, become, running, pipes=pipes, cgroup=cgroup)
        self._running[order.exec_id] = running
        if client_fds:
            stdio.attach(client_fds.pop(), streams)
        return {"ok": True}

    def resize(self, exec_id: str, height: int, width: int) -> None:
        """Set the size of an exec's terminal.

        Raises:
            LookupError: it does not run.
            OSError: it has no terminal.
        """
        if exec_id not in self._running:
            raise LookupError(f"no such exec is running: {exec_id}")
        self._running[exec_id].stdio.resize(height, width)

    def kill(self) -> None:
        """Kill running execs; only a container in the host's PID namespace has any left."""
        for running in list(self._running.values()):
            if running.child is not None:
                running.child.kill()

    @property
    def running(self) -> bool:
        """True if an exec has not ended yet."""
        return bool(self._running)

    def forget(self, running: _Exec) -> None:
        """Forget an ended exec; its client is closed once it has taken all output."""
        running.stdio.finish(ENDED)
        running.child = None  # the two refer to each other, and would wait for the collector
        del self._running[running.exec_id]
        self._finished.append(running.exec_id)
        self._ended()
