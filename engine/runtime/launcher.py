"""Fork monitors: a small process takes a launch order, forks, and returns a pidfd.

The daemon starts it from a sealed copy of the interpreter, so that ``/proc/PID/exe`` of its
descendants is no file on the disk (CVE-2019-5736). It imports everything that a monitor will need,
once, and freezes it: monitors share these pages until they write to them. It has one thread, so a
fork copies it whole.

It lives as long as its socket: when the daemon is gone it ends, and a new daemon starts its own.
Monitors are not affected.
"""

import contextlib
import fcntl
import os
import resource
import select
import signal
import socket
from typing import Final

from engine.runtime import linux, messages, page_sharing
from engine.runtime.messages import LaunchDescriptors, LaunchOrder, Message, ProtocolError
from engine.runtime.monitor import monitor

PROCESS_NAME: Final = "sl-launcher"
_LAST_FD: Final = 0x7FFF_FFFF
_IGNORED: Final = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGPIPE,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
)
"""Sent by a terminal or by mistake: the launcher ends when its daemon does, a monitor when its
container does.
"""


def main(socket_number: str, lock_path: str) -> None:
    """Serve launches until the daemon closes its end of the socket.

    Sends ``{"ok": true, "pid"}`` once it is ready: a launcher before it may still be ending.
    """
    socket_fd = int(socket_number)
    os.closerange(3, socket_fd)
    linux.close_range(socket_fd + 1, _LAST_FD)
    linux.set_process_name(PROCESS_NAME)
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    os.chdir("/")
    lock_fd = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock_fd, fcntl.LOCK_EX)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=socket_fd) as daemon:
        launcher = _Launcher(daemon)
        messages.send(daemon, {"ok": True, "pid": os.getpid()})
        _close_stdio()
        page_sharing.settle()
        while launcher.serve():
            pass


def _close_stdio() -> None:
    """Replace stdio by the null device. Until now, errors were written to the daemon's own stderr;
    monitors must not keep it open.
    """
    null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for stdio_fd in range(3):
        os.dup2(null_fd, stdio_fd)
    os.close(null_fd)


class _Launcher:
    """Serves one daemon. Each monitor is known by its pidfd until it has ended and is reaped.

    A request is received by the forked child, not here: memory that the launcher writes to between
    two forks is no longer shared with the older monitors.
    """

    def __init__(self, daemon: socket.socket) -> None:
        self._daemon = daemon
        self._daemon_fd = daemon.fileno()
        self._peeked = bytearray(1)
        self._monitors: dict[int, int] = {}
        self._epoll = select.epoll()
        self._epoll.register(self._daemon_fd, select.EPOLLIN)
        self._descriptors = _raise_descriptor_limit()

    def serve(self) -> bool:
        """Serve the next event; return False when the daemon is gone."""
        for fd, _ in self._epoll.poll():
            if fd != self._daemon_fd:
                self._reap(fd)
            elif not self._requested():
                return False
            else:
                self._fork()
        return True

    def _requested(self) -> bool:
        try:
            return self._daemon.recv_into(self._peeked, 1, messages.PEEK) > 0
        except ConnectionResetError:
            return False

    def _reap(self, pidfd: int) -> None:
        """Reap an ended monitor. The daemon has noticed the end by itself; this only frees the
        process table.
        """
        self._epoll.unregister(pidfd)
        os.close(pidfd)
        os.waitpid(self._monitors.pop(pidfd), 0)

    def _fork(self) -> None:
        try:
            awaited_fd, received_fd = os.pipe()
        except OSError as error:
            self._refuse(f"fork: {error}", error.errno or 0)
            return
        try:
            pid = os.fork()
        except OSError as error:
            os.close(received_fd)
            self._refuse(f"fork: {error}", error.errno or 0)
        else:
            if pid == 0:
                _limit_descriptors(self._descriptors)
                _serve_request(self._daemon, received_fd)
            os.close(received_fd)
            # The pid is still the child's: only this process reaps it.
            # Never EMFILE: a descriptor has just been closed.
            pidfd = os.pidfd_open(pid)
            self._monitors[pidfd] = pid
            self._epoll.register(pidfd, select.EPOLLIN)
            if not os.read(awaited_fd, 1):
                self._refuse("the monitor died before it was asked", 0)
        finally:
            os.close(awaited_fd)

    def _refuse(self, error: str, number: int) -> None:
        """Answer a request for which there is no monitor."""
        with contextlib.suppress(OSError, ProtocolError):
            if (received := messages.receive(self._daemon)) is not None:
                messages.close_all(received[1])
            messages.send(self._daemon, {"error": error, "errno": number})


def _raise_descriptor_limit() -> tuple[int, int]:
    """Raise the soft limit of descriptors to the hard one; return both as they were.

    One descriptor is open for each monitor. Monitors, and so containers, get the old limits back: a
    larger limit would change how programs inside behave, select(2).
    """
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    _limit_descriptors((limits[1], limits[1]))
    return limits


def _limit_descriptors(limits: tuple[int, int]) -> None:
    with contextlib.suppress(ValueError, OSError):  # a hard limit beyond fs.nr_open can't be set
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def _serve_request(daemon: socket.socket, received_fd: int) -> None:
    """Receive the request and become the monitor that it asks for. Never returns."""
    try:
        order, fds = _receive(daemon, received_fd)
        daemon.close()
        own = len(LaunchDescriptors._fields)
        clients = own + len(order.joined)
        monitor(order, LaunchDescriptors(*fds[:own]), fds[own:clients], fds[clients:])
    except (OSError, ProtocolError):
        return  # the daemon has the error, or is gone
    finally:  # nothing may unwind into a copy of the launcher's stack
        os._exit(0)


def _receive(daemon: socket.socket, received_fd: int) -> tuple[LaunchOrder, list[int]]:
    """Receive a request with its descriptors; send our pid and pidfd, or the error."""
    try:
        received = messages.receive(daemon)
    finally:
        os.write(received_fd, b".")
    if received is None:
        raise ProtocolError("no request")
    request, fds = received
    try:
        order = _checked_order(request, len(fds))
    except ProtocolError as error:
        messages.send(daemon, {"error": str(error), "errno": 0})
        raise
    pidfd = os.pidfd_open(os.getpid())
    messages.send(daemon, {"ok": True, "pid": os.getpid()}, [pidfd])
    os.close(pidfd)
    return order, fds


def _checked_order(request: Message, descriptors: int) -> LaunchOrder:
    order = LaunchOrder.from_message(request)
    if descriptors != len(LaunchDescriptors._fields) + len(order.joined) + len(order.attachments):
        raise ProtocolError(f"launch came with {descriptors} descriptors")
    return order
