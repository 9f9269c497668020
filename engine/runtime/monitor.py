"""Run one container: fork its first process, hold its streams, write its journal.

Theory of operation::

    fork from the launcher
      │ shed what is the launcher's · journal: monitor_started
      │ share_pid_namespace · fork the init                     Child, Stdio
      ├── start_failed ──────────────────────────────┐
      ├── started                                    │
      │     serve: streams, attach, exec, resize     │          Control, Execs, OomWatch
      │     init exits                               │
      │     drain its streams · end the log          │
      ├── exited ────────────────────────────────────┤          journal, fdatasync
      │ unlock the bundle · hint                     │
      │ let the clients take what is theirs ◀────────┘
      └── exit

It outlives the launcher and the daemon and needs neither. Its death is its container's
(PR_SET_PDEATHSIG), so that nothing runs whose exit code nobody would learn. The lock, held with
flock(2) from before the first record until after the last, is what "the monitor is alive" means: it
needs no pid and cannot be stale. The daemon takes it and hands it over with the journal, the log
and the socket, all of them open: a monitor copies what it runs (``kernel_files.py``), so others run
what they can.
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
"""The kernel should rather kill the container than the one who can tell why."""
JOURNAL_RETRY_S: Final = 0.5
JOURNAL_PATIENCE_S: Final = 60.0
"""How long the last record may wait for room on a full disk before it is given up."""
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
        wishes, rotation = self._order.log, None
        if not wishes.get("is_kept", True):
            return NoLog()
        if bytes_max := wishes.get("bytes_max", 0):
            later = self._now_and_then if wishes.get("compress") else None
            rotation = Rotation(wishes["path"], bytes_max, wishes.get("files_max", 1), later)
        attributes = wishes.get("attributes", "")
        return LogFile(
            self._fds.log_fd, self._log_dropped, attributes=attributes, rotation=rotation
        )

    def _now_and_then(self, callback: Callable[[], None]) -> None:
        self._loop.call_after("rotation", 0.0, callback)

    def attach(self, client_fd: int, wishes: Attachment, gate_fd: int | None = None) -> None:
        """Take over a client's socket."""
        self._clients += 1
        self._stdio.attach(client_fd, wishes, gate_fd)

    def run(self) -> None:
        """From the first record to the last."""
        order = self._order
        self._control.adopt(socket.SocketType(fileno=self._fds.control_fd))
        self._control.listen(self._fds.listener_fd, f"{order.bundle}/{messages.SOCKET_NAME}")
        self._append(MonitorBegan(*identity(os.getpid(), order.boot_id)))
        if order.oom_counters:
            self._oom = OomWatch(self._loop, order.oom_counters, self._oom_killed)
        try:
            init.share_pid_namespace(_born_into(order), self._joined.get("pid"))
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
        messages.close_all(list(self._joined.values()))  # or they would outlive their owner
        self._loop.run()

    def _become_init(
        self, stdio: tuple[int, int, int] | None, report_fd: int, console_socket: int | None
    ) -> NoReturn:
        """In the child, which may read what it likes: its memory is thrown away."""
        bundle = read_bundle(self._order.bundle)
        init.become_init(bundle, stdio, report_fd, console_socket, joined=self._joined)

    # What the first process tells: children.Listener

    def started(self, child: Child) -> None:
        """execve(2) has succeeded."""
        self._started = True
        self._append(ProcessStarted(*identity(child.pid, self._order.boot_id)))

    def failed(self, child: Child | None, failure: Failure) -> None:  # noqa: ARG002  (Listener's)
        """There is no process, and there will be none."""
        self._stdio.drain()
        self._end(ProcessNotStarted(*failure))

    def exited(self, child: Child, status: int) -> None:  # noqa: ARG002  (Listener's)
        """The container is over, once every exec is; in a PID namespace of its own they have ended
        before it.
        """
        self._stdio.when_open(lambda: self._wind_up(status))

    def _wind_up(self, status: int) -> None:
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
        """Write the last record, hand over the bundle, see the clients off."""
        self._concluded = True
        self._control.close_listener()
        self._persist(last)
        os.close(self._fds.lock_fd)  # before the hint: the daemon may start the next run at once
        self._control.hint(self._journal.count)
        self._stdio.finish(messages.ENDED)
        self._stop_when_alone()

    def _persist(self, last: Fact) -> None:
        """Nothing else matters any more, so waiting for room on the disk may block."""
        deadline = time.monotonic() + JOURNAL_PATIENCE_S
        written = self._journal.append(last)
        while not written and time.monotonic() < deadline:
            time.sleep(JOURNAL_RETRY_S)
            written = self._journal.retry()

    def _stop_when_alone(self) -> None:
        if self._concluded and not self._clients:
            self._loop.stop()

    def _hint(self, count: int) -> None:
        if not self._concluded:
            self._control.hint(count)

    def _append(self, fact: Fact) -> None:
        if not self._journal.append(fact):
            self._retry_journal()

    def _retry_journal(self) -> None:
        if not self._journal.retry():
            self._loop.call_after("journal", JOURNAL_RETRY_S, self._retry_journal)

    # What happens besides

    def _client_gone(self, wishes: Attachment, reason: str) -> None:
        self._clients -= 1
        if not self._concluded:
            self._append(AttachEnded(wishes.attach_id, reason))
        self._stop_when_alone()

    def _oom_killed(self, count: int) -> None:
        self._append(MemoryExhausted(count))

    def _log_dropped(self, count: int) -> None:
        self._dropped += count
        self._loop.call_after("log", LOG_REPORT_S, self._report_dropped)

    def _report_dropped(self) -> None:
        if self._dropped > self._dropped_reported:
            self._dropped_reported = self._dropped
            self._append(LogDropped(self._dropped))

    # What the daemon orders

    def _attach(self, request: Message, fds: list[int]) -> Message:
        if self._concluded:
            raise ProtocolError("the container has exited")
        if len(fds) not in (1, 2):
            raise ProtocolError("attach comes with the client's descriptor, and perhaps a gate's")
        wishes = Attachment.from_message(request)
        client_fd, gate_fd = fds[0], fds[1] if len(fds) > 1 else None
        fds.clear()
        self.attach(client_fd, wishes, gate_fd)
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
        """Where nothing runs, the answer's socket is closed: that is the answer."""
        if len(fds) != 1:
            raise ProtocolError("a probe comes with one descriptor, for the answer")
        order = ProbeOrder.from_message(request)
        if self._init is not None and self._started and self._exit_status is None:
            self._probes.start(order, fds.pop(), self._init)
        return {"ok": True}

    def _forget(self, request: Message, fds: list[int]) -> Message:  # noqa: ARG002  (control.Order's)
        """After the last record the journal is nobody's but the daemon's."""
        if not self._concluded:
            self._journal.forget(int(request["taken"]))
        return {"ok": True}

    def _signal(self, request: Message, fds: list[int]) -> Message:  # noqa: ARG002  (control.Order's)
        """Once for each order: a daemon that died before it had written down the answer asks
        again.
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
    """Be a container's monitor, in a process that the launcher has just forked, until the container
    is over.

    Owns the descriptors. The control connection may be closed by the daemon at any time. What
    should not happen is written beside the bundle, since there is nobody to tell.
    """
    try:
        _shed({*fds, *joined_fds, *client_fds})
        ours = Monitor(order, fds, joined_fds)
        for client_fd, wishes in zip(client_fds, order.attachments, strict=True):
            ours.attach(client_fd, wishes)
        ours.run()
    except Exception:
        _write_down(order.bundle, traceback.format_exc())


def _shed(kept: set[int]) -> None:
    """Let go of what is the launcher's: its session and its descriptors.

    What it is stays: non-dumpable, deaf to signals, its standard streams the null device.
    """
    os.setsid()
    first = 3
    for fd in sorted(kept):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, _LAST_FD)
    write_once("/proc/self/comm", PROCESS_NAME)
    write_once("/proc/self/oom_score_adj", OOM_SCORE_ADJ)


def _born_into(order: LaunchOrder) -> Bundle:
    return Bundle(order.bundle, {"linux": {"namespaces": order.namespaces}}, {})


def _write_down(directory: str, trace: str) -> None:
    line = {"event": "monitor_failed", "at_ns": time.time_ns(), "traceback": trace}
    path = f"{directory}/{messages.ERRORS_NAME}"
    with contextlib.suppress(OSError), open(path, "a") as file:  # noqa: PTH123  (lean)
        file.write(json.dumps(line) + "\n")
