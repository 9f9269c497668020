"""Run the commands of health checks in a container, without a record in the journal.

::

    order + socket ──▶ fork ──▶ ended ──▶ one packet into the socket: the code, and the beginning
                            │              of the output
                            └── the socket's other end is closed or shut down: SIGKILL, as above

A check runs every few seconds for months, so a probe has no record in the journal. The socket
controls it instead: a daemon that dies closes it, a daemon whose time limit has passed shuts it
down, and either ends the probe with all of its process group. A socket that is closed without a
packet means that the container itself is ending, which the journal reports.

There is one probe at a time: a probe that even SIGKILL does not end (a dead network file system)
must not be followed by others.
"""

import contextlib
import errno
import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import Final

from engine.runtime import init, messages
from engine.runtime.children import Child, Failure
from engine.runtime.execs import exit_code
from engine.runtime.json_text import flat
from engine.runtime.loop import READ, Loop
from engine.runtime.messages import Attachment, LaunchOrder, ProbeOrder
from engine.runtime.process_stat import process_stat
from engine.runtime.streams import Stdio

OUTPUT_BYTES_MAX: Final = 4096
"""How much of a probe's output is kept, as in Docker; the rest is read and discarded, so that the
probe never waits.
"""


class _Output:
    """The beginning of a probe's output: a sink of its streams."""

    def __init__(self) -> None:
        self.kept = b""
        self.is_truncated = False

    def write(self, stream: str, block: bytes) -> None:  # noqa: ARG002  (Sink's)
        """Collect output; both streams are joined."""
        room = OUTPUT_BYTES_MAX - len(self.kept)
        self.kept += block[:room]
        self.is_truncated = self.is_truncated or len(block) > room

    def end(self, stream: str) -> None:
        """Do nothing: the probe's end counts, not the stream's."""

    def unended(self, stream: str) -> bytes:  # noqa: ARG002  (streams.Sink's)
        """Return nothing: no client attaches to a probe."""
        return b""


class _Probe:
    """One probe: receives its child's events."""

    def __init__(self, probes: "Probes", answer: socket.SocketType) -> None:
        self.output = _Output()
        self.stdio = Stdio(
            probes.loop, tty=False, closes_input=False, sink=self.output, detached=_no_client
        )
        self.child: Child | None = None
        self._probes = probes
        self._answer = answer
        self._killed = False
        probes.loop.watch(answer.fileno(), READ, lambda _: self._answer_closed())

    # children.Listener

    def started(self, child: Child) -> None:
        """Do nothing: execve(2) has succeeded."""

    def failed(self, child: Child, failure: Failure) -> None:  # noqa: ARG002  (Listener's)
        """Report the failure, unless the container is ending: then that is the cause."""
        ending = self._probes.container_is_ending()
        self._finish(None if ending else {"error": failure.message})

    def exited(self, child: Child, status: int) -> None:  # noqa: ARG002  (Listener's)
        """Report the exit, after reading the rest of the output from the pipes."""
        self.stdio.drain()
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if killed and not self._killed and self._probes.container_is_ending():
            self._finish(None)
        else:
            output, truncated = self.output.kept.hex(), self.output.is_truncated
            self._finish({"code": exit_code(status), "output": output, "truncated": truncated})

    def kill(self) -> None:
        """Kill the process and its process group, which does not exist before setsid(2)."""
        self._killed = True
        if self.child is not None:
            self.child.kill()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child.pid, signal.SIGKILL)

    def _answer_closed(self) -> None:
        self._probes.loop.forget(self._answer.fileno())
        self.kill()

    def _finish(self, answer: "dict[str, str | int | bool | None] | None") -> None:
        self._probes.loop.forget(self._answer.fileno())
        if answer is not None:
            with contextlib.suppress(OSError):  # the daemon has closed its end
                self._answer.send(flat(answer), messages.NO_SIGNAL)
        self._answer.close()
        self.child = None  # the two refer to each other, and would wait for the collector
        self._probes.forget()


class Probes:
    """Runs the probes of one container, one at a time."""

    def __init__(self, loop: Loop, order: LaunchOrder, ended: Callable[[], None]) -> None:
        """Store the callback: ``ended`` is called whenever a probe is over."""
        self.loop = loop
        self._order = order
        self._ended = ended
        self._probe: _Probe | None = None
        self._init_pid = 0

    def start(self, order: ProbeOrder, answer_fd: int, init_child: Child) -> None:
        """Fork, if the daemon still waits for the answer. Owns the descriptor.

        Raises:
            OSError: EBUSY when the last probe has not ended; EAGAIN, EMFILE.
        """
        answer = socket.socket(fileno=answer_fd)
        try:
            if _is_closed(answer):  # the order has waited longer than the daemon does
                answer.close()
            else:
                self._fork(order, answer, init_child)
        except BaseException:
            self.loop.forget(answer.fileno())
            answer.close()
            raise

    def _fork(self, order: ProbeOrder, answer: socket.SocketType, init_child: Child) -> None:
        if self._probe is not None:
            raise OSError(errno.EBUSY, "the last probe has not ended")
        self._init_pid = init_child.pid
        become = partial(
            init.become_exec,
            order.process,
            init_child.pidfd,
            seccomp_path=order.seccomp_path,
            cgroup_procs=self._order.cgroup_procs,
        )
        probe = _Probe(self, answer)
        cgroup, pipes = self._order.cgroup_into, (False, True)
        probe.child = Child(self.loop, probe.stdio, become, probe, pipes=pipes, cgroup=cgroup)
        self._probe = probe

    @property
    def running(self) -> bool:
        """True if a probe has not ended yet."""
        return self._probe is not None

    def kill(self) -> None:
        """Kill a running probe, because the container is over."""
        if self._probe is not None:
            self._probe.kill()

    def container_is_ending(self) -> bool:
        """True if the first process has been killed or is exiting, which ends all others of its PID
        namespace.
        """
        stat = process_stat(self._init_pid)
        return stat is None or stat.is_exiting or stat.is_killed

    def forget(self) -> None:
        """Forget the ended probe."""
        self._probe = None
        self._ended()


def _is_closed(sock: socket.SocketType) -> bool:
    sock.setblocking(False)
    try:
        return not sock.recv(1, messages.PEEK)
    except BlockingIOError:
        return False


def _no_client(attachment: Attachment, reason: str) -> None:
    raise AssertionError(f"a probe has no client: {attachment} {reason}")
