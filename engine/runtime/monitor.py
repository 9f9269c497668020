"""Run one container: fork its first process, hold its streams, write its journal.

Theory of operation::

    fork from the launcher
      │ close what is the launcher's · journal: monitor_started
      │ share_pid_namespace · fork the init                     Child, Stdio
      ├── start_failed ──────────────────────────────┐
      ├── started                                    │
      │     serve: streams, attach, exec, resize     │          Control, Execs, OomWatch
      │     init exits                               │
      │     drain its streams · end the log          │
      ├── exited ────────────────────────────────────┤          journal, fdatasync
      │ unlock the bundle · hint                     │
      │ wait until clients have taken the output ◀───┘
      └── exit

It outlives the launcher and the daemon and needs neither. Its death kills its container
(PR_SET_PDEATHSIG), because no other process would learn the exit code. "The monitor is alive" means
that the lock is held with flock(2), from before the first record until after the last: it needs no
pid and cannot be stale. The daemon takes the lock and passes it on with the journal, the log and
the socket, all of them open: a monitor copies every page that it writes to (``kernel_files.py``),
so other processes do what they can.
"""

import contextlib
import json
import os
import socket
import time
import traceback
from collections.abc import Callable
from typing import Final, NoReturn

from engine.runtime import init, messages
from engine.runtime.bundle import Bundle, read_bundle
from engine.runtime.children import Child, Failure, identity
from engine.runtime.control import Control
from engine.runtime.execs import Execs, exit_code
from engine.runtime.facts import (
    ENDED,
    AttachEnded,
    Fact,
    LogDropped,
    MemoryExhausted,
    MonitorBegan,
    ProcessExited,
    ProcessNotStarted,
    ProcessStarted,
)
from engine.runtime.failure import EXIT_SETUP_FAILED
from engine.runtime.journal import Journal
from engine.runtime.kernel_files import write_once
from engine.runtime.log_rotation import Rotation
from engine.runtime.logfile import LogFile, NoLog
from engine.runtime.loop import Loop
from engine.runtime.messages import (
    Attachment,
    ExecOrder,
    LaunchDescriptors,
    LaunchOrder,
    Message,
    ProbeOrder,
    ProtocolError,
)
from engine.runtime.oom import OomWatch
from engine.runtime.probes import Probes
from engine.runtime.streams import Stdio

PROCESS_NAME: Final = "sl-monitor"
OOM_SCORE_ADJ: Final = "-900"
"""The kernel should kill the container rather than its monitor, which can report why."""
JOURNAL_RETRY_S: Final = 0.5
JOURNAL_PATIENCE_S: Final = 60.0
"""How long the last record may wait for room on a full disk before it is dropped."""
LOG_REPORT_S: Final = 1.0
_LAST_FD: Final = 0x7FFF_FFFF


class Monitor:
    """One run of one container."""

    def __init__(self, order: LaunchOrder, fds: LaunchDescriptors, joined_fds: list[int]) -> None:
        self._order = order
        self._fds = fds
        self._joined = dict(zip(order.joined, joined_fds, strict=True))
        self._init: Child | None = None
        self._exit_status: int | None = None
        self._started = False
        self._concluded = False
        self._clients = 0
        self._dropped = self._dropped_reported = 0
        self._last_order = 0
        self._loop = Loop()
        orders = {
            "attach": self._attach,
            "exec": self._exec,
            "probe": self._probe,
            "forget": self._forget,
            "resize": self._resize,
            "signal": self._signal,
        }
        self._control = Control(self._loop, orders)
        self._journal = Journal(fds.journal_fd, self._hint)
        self._stdio = Stdio(
            self._loop,
            tty=order.tty,
            closes_input=order.open_stdin and order.stdin_once,
            sink=self._log(),
            detached=self._client_gone,
        )
        if not order.open_stdin:
            self._stdio.refuse_input()
        self._execs = Execs(self._loop, order, self._journal, self._client_gone, self._exec_ended)
        self._probes = Probes(self._loop, order, self._exec_ended)
        self._oom: OomWatch | None = None

    def _log(self) -> LogFile | NoLog:
        settings, rotation = self._order.log, None
        if not settings.get("is_kept", True):
            return NoLog()
        if bytes_max := settings.get("bytes_max", 0):
            later = self._schedule if settings.get("compress") else None
            rotation = Rotation(settings["path"], bytes_max, settings.get("files_max", 1), later)
        attributes = settings.get("attributes", "")
        return LogFile(
            self._fds.log_fd, self._log_dropped, attributes=attributes, rotation=rotation
        )

    def _schedule(self, callback: Callable[[], None]) -> None:
        self._loop.call_after("rotation", 0.0, callback)

    def attach(self, client_fd: int, attachment: Attachment, barrier_fd: int | None = None) -> None:
        """Take over a client's socket."""
        self._clients += 1
        self._stdio.attach(client_fd, attachment, barrier_fd)

    def run(self) -> None:
        """Run from the first record to the last."""
        order = self._order
        self._control.adopt(socket.SocketType(fileno=self._fds.control_fd))
        self._control.listen(self._fds.listener_fd, f"{order.bundle}/{messages.SOCKET_NAME}")
        self._append(MonitorBegan(*identity(os.getpid(), order.boot_id)))
        if order.oom_counters:
            self._oom = OomWatch(self._loop, order.oom_counters, self._oom_killed)
        try:
            init.share_pid_namespace(_pid_namespace_of(order), self._joined.get("pid"))
            pipes = (order.open_stdin, True)
            self._init = Child(
                self._loop,
                self._stdio,
                self._become_init,
                self,
                pipes=pipes,
                cgroup=order.cgroup_into,
            )
        except OSError as error:
            self.failed(None, Failure("fork", error.errno or 0, str(error), EXIT_SETUP_FAILED))
        messages.close_all(list(self._joined.values()))  # otherwise they would outlive their owner
        self._loop.run()

    def _become_init(
        self, stdio: tuple[int, int, int] | None, report_fd: int, console_socket: int | None
    ) -> NoReturn:
        """Read the bundle, in the child: its memory does not count."""
        bundle = read_bundle(self._order.bundle)
        init.become_init(bundle, stdio, report_fd, console_socket, joined=self._joined)

    # Events of the first process: children.Listener

    def started(self, child: Child) -> None:
        """Record the start: execve(2) has succeeded."""
        self._started = True
        self._append(ProcessStarted(*identity(child.pid, self._order.boot_id)))

    def failed(self, child: Child | None, failure: Failure) -> None:  # noqa: ARG002  (Listener's)
        """Record that there is no process."""
        self._stdio.drain()
        self._end(ProcessNotStarted(*failure))

    def exited(self, child: Child, status: int) -> None:  # noqa: ARG002  (Listener's)
        """End the run once every exec has ended. In a PID namespace of its own, they end before the
        first process.
        """
        self._stdio.when_open(lambda: self._end_run(status))

    def _end_run(self, status: int) -> None:
        self._stdio.drain()
        self._execs.kill()
        self._probes.kill()
        self._exit_status = status
        self._exec_ended()

    def _exec_ended(self) -> None:
        if self._oom is not None:
            self._oom.look()
        if self._exit_status is not None and not (self._execs.running or self._probes.running):
            self._conclude_exit(self._exit_status)

    def _conclude_exit(self, status: int) -> None:
        self._report_dropped()
        signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        oom = self._oom is not None and self._oom.count > 0
        self._end(ProcessExited(exit_code(status), signal, oom))

    def _end(self, last: Fact) -> None:
        """Write the last record, unlock the bundle, and finish the clients."""
        self._concluded = True
        self._control.close_listener()
        self._persist(last)
        os.close(self._fds.lock_fd)  # before the hint: the daemon may start the next run at once
        self._control.hint(self._journal.count)
        self._stdio.finish(ENDED)
        self._stop_if_done()

    def _persist(self, last: Fact) -> None:
        """Write the last record. Waiting for room on the disk may block, because nothing else is
        left to do.
        """
        deadline = time.monotonic() + JOURNAL_PATIENCE_S
        written = self._journal.append(last)
        while not written and time.monotonic() < deadline:
            time.sleep(JOURNAL_RETRY_S)
            written = self._journal.retry()

    def _stop_if_done(self) -> None:
        if self._concluded and not self._clients:
            self._loop.stop()

    def _hint(self, count: int) -> None:
        """Hint at a new record; not at the first, for who launches a monitor knows that it began."""
        if count > 1 and not self._concluded:
            self._control.hint(count)

    def _append(self, fact: Fact) -> None:
        if not self._journal.append(fact):
            self._retry_journal()

    def _retry_journal(self) -> None:
        if not self._journal.retry():
            self._loop.call_after("journal", JOURNAL_RETRY_S, self._retry_journal)

    # Other events

    def _client_gone(self, attachment: Attachment, reason: str) -> None:
        self._clients -= 1
        if not self._concluded:
            self._append(AttachEnded(attachment.attach_id, reason))
        self._stop_if_done()

    def _oom_killed(self, count: int) -> None:
        self._append(MemoryExhausted(count))

    def _log_dropped(self, count: int) -> None:
        self._dropped += count
        self._loop.call_after("log", LOG_REPORT_S, self._report_dropped)

    def _report_dropped(self) -> None:
        if self._dropped > self._dropped_reported:
            self._dropped_reported = self._dropped
            self._append(LogDropped(self._dropped))

    # Orders of the daemon

    def _attach(self, request: Message, fds: list[int]) -> Message:
        if self._concluded:
            raise ProtocolError("the container has exited")
        if len(fds) not in (1, 2):
            raise ProtocolError(
                "attach comes with the client's descriptor, and perhaps a barrier's"
            )
        attachment = Attachment.from_message(request)
        client_fd, barrier_fd = fds[0], fds[1] if len(fds) > 1 else None
        fds.clear()
        self.attach(client_fd, attachment, barrier_fd)
        return {"ok": True}

    def _exec(self, request: Message, fds: list[int]) -> Message:
        order = ExecOrder.from_message(request)
        if self._init is None or not self._started or self._exit_status is not None:
            raise ProtocolError("the container is not running")
        clients = len(fds)
        answer = self._execs.start(order, fds, self._init.pidfd)
        self._clients += clients - len(fds)
        return answer

    def _probe(self, request: Message, fds: list[int]) -> Message:
        """Start a probe. If the container is not running, closing the answer's socket is the
        answer.
        """
        if len(fds) != 1:
            raise ProtocolError("a probe comes with one descriptor, for the answer")
        order = ProbeOrder.from_message(request)
        if self._init is not None and self._started and self._exit_status is None:
            self._probes.start(order, fds.pop(), self._init)
        return {"ok": True}

    def _forget(self, request: Message, fds: list[int]) -> Message:  # noqa: ARG002  (control.Order's)
        """Shorten the journal; after the last record it is not changed any more."""
        if not self._concluded:
            self._journal.forget(int(request["taken"]))
        return {"ok": True}

    def _signal(self, request: Message, fds: list[int]) -> Message:  # noqa: ARG002  (control.Order's)
        """Send a signal, once for each order: a daemon that died before it recorded the answer
        repeats the order.
        """
        order, number = int(request["order"]), int(request["signum"])
        if self._init is None or not self._started:
            raise ProtocolError("the container is not running")
        if order <= self._last_order or self._exit_status is not None:
            return {"ok": True, "known": True}
        self._last_order = order
        self._init.send_signal(number)
        return {"ok": True}

    def _resize(self, request: Message, fds: list[int]) -> Message:  # noqa: ARG002  (control.Order's)
        height, width = int(request["height"]), int(request["width"])
        exec_id = request.get("exec_id")
        if exec_id is None:
            self._stdio.resize(height, width)
        else:
            self._execs.resize(str(exec_id), height, width)
        return {"ok": True}


def monitor(
    order: LaunchOrder, fds: LaunchDescriptors, joined_fds: list[int], client_fds: list[int]
) -> None:
    """Be a container's monitor until its run is over, in a process that the launcher has just
    forked.

    Owns the descriptors. The control connection may be closed by the daemon at any time. Unexpected
    errors are written beside the bundle, because no caller could handle them.
    """
    try:
        _leave_launcher({*fds, *joined_fds, *client_fds})
        ours = Monitor(order, fds, joined_fds)
        for client_fd, attachment in zip(client_fds, order.attachments, strict=True):
            ours.attach(client_fd, attachment)
        ours.run()
    except Exception:
        _write_error(order.bundle, traceback.format_exc())


def _leave_launcher(kept: set[int]) -> None:
    """Leave the launcher's session and close its descriptors.

    The process stays non-dumpable, ignores the same signals, and has the null device as its
    standard streams.
    """
    os.setsid()
    first = 3
    for fd in sorted(kept):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, _LAST_FD)
    write_once("/proc/self/comm", PROCESS_NAME)
    write_once("/proc/self/oom_score_adj", OOM_SCORE_ADJ)


def _pid_namespace_of(order: LaunchOrder) -> Bundle:
    return Bundle(order.bundle, {"linux": {"namespaces": order.namespaces}}, {})


def _write_error(directory: str, trace: str) -> None:
    line = {"event": "monitor_failed", "at_ns": time.time_ns(), "traceback": trace}
    path = f"{directory}/{messages.ERRORS_NAME}"
    with contextlib.suppress(OSError), open(path, "a") as file:  # noqa: PTH123  (lean)
        file.write(json.dumps(line) + "\n")
