"""The launcher: a small process whose forks are cheap. It takes a bundle, forks a monitor, hands back a pidfd.

It is started by the daemon from a sealed copy of the interpreter, so that ``/proc/PID/exe`` of whatever descends from it is
nobody's file (CVE-2019-5736). It imports everything that a monitor will need, once, and freezes it: monitors share these
pages for as long as they leave them alone. One thread: a fork copies it whole.

Its life is its socket's: when the daemon is gone it ends, and a new daemon starts its own. Monitors don't notice.
"""

import fcntl
import gc
import os
import signal
import socket
import sys
from typing import Final

from engine.runtime import linux, messages
from engine.runtime.messages import Attachment, Message, ProtocolError
from engine.runtime.monitor import monitor

PROCESS_NAME: Final = "sl-launcher"


def main(socket_number: str, lock_path: str) -> None:
    """Serve launches until the daemon closes its end of the socket.

    Says ``{"ok": true, "pid"}`` once it is ready: a launcher before it may still be on its way out.
    """
    socket_fd = int(socket_number)
    _keep_only(socket_fd)
    linux.set_process_name(PROCESS_NAME)
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    os.chdir("/")
    lock_fd = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock_fd, fcntl.LOCK_EX)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(
            number, signal.SIG_IGN
        )  # of a terminal: meant for the daemon, whose end is ours
    signal.signal(signal.SIGCHLD, _reap)
    _settle_memory()
    with socket.socket(fileno=socket_fd) as daemon:
        messages.send(daemon, {"ok": True, "pid": os.getpid()})
        while _serve(daemon):
            pass


def _keep_only(socket_fd: int) -> None:
    os.closerange(3, socket_fd)
    linux.close_range(socket_fd + 1, 0x7FFF_FFFF)


def _settle_memory() -> None:
    """What is here now is never collected: a collection would write to every object that monitors share."""
    sys.path_importer_cache.clear()
    gc.collect()
    gc.freeze()


def _reap(_number: int, _frame: object) -> None:
    """Bury monitors that have ended; the daemon knows it from their pidfds."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _serve(daemon: socket.socket) -> bool:
    """One request; False when there will be no more."""
    try:
        received = messages.receive(daemon)
    except ProtocolError as error:
        messages.send(daemon, {"error": str(error), "errno": 0})
        return True
    except ConnectionResetError:
        return False
    if received is None:
        return False
    request, fds = received
    try:
        pid, pidfd = _launch(request, fds)
    except (ProtocolError, KeyError) as error:
        messages.send(daemon, {"error": str(error), "errno": 0})
    except OSError as error:
        messages.send(daemon, {"error": str(error), "errno": error.errno})
    else:
        messages.send(daemon, {"ok": True, "pid": pid}, [pidfd])
        os.close(pidfd)
    finally:
        messages.close_all(fds)
    return True


def _launch(request: Message, fds: list[int]) -> tuple[int, int]:
    """Fork a monitor; its pid and a pidfd."""
    if request.get("op") != "launch":
        raise ProtocolError(f"no such operation: {request.get('op')}")
    directory = request["bundle"]
    attachments = [Attachment.from_message(wishes) for wishes in request.get("attachments", ())]
    if len(fds) != 1 + len(attachments):
        raise ProtocolError(
            "launch comes with a control connection and a descriptor per attachment"
        )
    # The child may end at once: it must not be buried before there is a pidfd of it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    try:
        pid = os.fork()
        if pid == 0:
            _be_monitor(directory, fds, attachments)
        return pid, os.pidfd_open(pid)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def _be_monitor(directory: str, fds: list[int], attachments: list[Attachment]) -> None:
    try:
        monitor(directory, fds[0], attachments, fds[1:])
    finally:  # nothing may unwind into a copy of the launcher's stack
        os._exit(0)
