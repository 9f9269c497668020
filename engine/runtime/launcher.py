"""Fork monitors: a small process takes a launch order, forks, and returns a pidfd.

It is started by the daemon from a sealed copy of the interpreter, so that ``/proc/PID/exe`` of
whatever descends from it is nobody's file (CVE-2019-5736). It imports everything that a monitor
will need, once, and freezes it: monitors share these pages for as long as they leave them alone.
One thread: a fork copies it whole.

Its life is its socket's: when the daemon is gone it ends, and a new daemon starts its own. Monitors
don't notice.
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
"""From a terminal or by mistake: the launcher ends when its daemon does, a monitor when its
container does."""


def main(socket_number: str, lock_path: str) -> None:
    """Serve launches until the daemon closes its end of the socket.

    Says ``{"ok": true, "pid"}`` once it is ready: a launcher before it may still be on its way out.
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
    """Until here an error has shown on the daemon's own; monitors must not keep it open."""
    null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for stdio_fd in range(3):
        os.dup2(null_fd, stdio_fd)
    os.close(null_fd)


class _Launcher:
    """Serves one daemon. A monitor is known by its pidfd until it has ended and is buried.

    A request is taken by the fork that it asks for, not here: whatever the launcher touches between
    two forks, the older monitor no longer shares.
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
        """What comes next; False when the daemon is gone."""
        for fd, _ in self._epoll.poll():
            if fd != self._daemon_fd:
                self._bury(fd)
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

    def _bury(self, pidfd: int) -> None:
        """The daemon has noticed by itself; this only makes room in the table of processes."""
        self._epoll.unregister(pidfd)
        os.close(pidfd)
        os.waitpid(self._monitors.pop(pidfd), 0)

    def _fork(self) -> None:
        try:
            taken_fd, telling_fd = os.pipe()
        except OSError as error:
            self._decline(f"fork: {error}", error.errno or 0)
            return
        try:
            pid = os.fork()
        except OSError as error:
            os.close(telling_fd)
            self._decline(f"fork: {error}", error.errno or 0)
        else:
            if pid == 0:
                _limit_descriptors(self._descriptors)
                _be_asked(self._daemon, telling_fd)
            os.close(telling_fd)
            # It is there: nobody but us could have buried it.
            # Never EMFILE: a descriptor has just been closed.
            pidfd = os.pidfd_open(pid)
            self._monitors[pidfd] = pid
            self._epoll.register(pidfd, select.EPOLLIN)
            if not os.read(taken_fd, 1):
                self._decline("the monitor died before it was asked", 0)
        finally:
            os.close(taken_fd)

    def _decline(self, error: str, number: int) -> None:
        """Answer for a monitor that can't."""
        with contextlib.suppress(OSError, ProtocolError):
            if (received := messages.receive(self._daemon)) is not None:
                messages.close_all(received[1])
            messages.send(self._daemon, {"error": error, "errno": number})


def _raise_descriptor_limit() -> tuple[int, int]:
    """Raise the soft limit of descriptors to the hard one; return both as they were.

    One descriptor is open for each monitor. Monitors, and so containers, get those back: a larger
    limit would change how programs inside behave, select(2).
    """
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    _limit_descriptors((limits[1], limits[1]))
    return limits


def _limit_descriptors(limits: tuple[int, int]) -> None:
    with contextlib.suppress(ValueError, OSError):  # a hard limit beyond fs.nr_open can't be set
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def _be_asked(daemon: socket.socket, telling_fd: int) -> None:
    """Take the request and become the monitor it asks for. Never returns."""
    try:
        order, fds = _take(daemon, telling_fd)
        daemon.close()
        own = len(LaunchDescriptors._fields)
        clients = own + len(order.joined)
        monitor(order, LaunchDescriptors(*fds[:own]), fds[own:clients], fds[clients:])
    except (OSError, ProtocolError):
        return  # the daemon has been told, or is gone
    finally:  # nothing may unwind into a copy of the launcher's stack
        os._exit(0)


def _take(daemon: socket.socket, telling_fd: int) -> tuple[LaunchOrder, list[int]]:
    """One request and its descriptors; the daemon gets our pid and pidfd, or the reason why not."""
    try:
        received = messages.receive(daemon)
    finally:
        os.write(telling_fd, b".")
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
