"""Find or start the resolver's process."""

import contextlib
import os
import signal
import socket
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Final

import trio

import engine.resolver
import engine.runtime
from engine.drivers.processes.interpreter import end_of, sealed_interpreter, start_lean
from engine.drivers.processes.python_choice import own_python
from engine.errors import DriverError
from engine.resolver.process import SOCKET_NAME
from engine.runtime import messages
from engine.runtime.messages import Message, ProtocolError

ORDER_TIMEOUT_S: Final = 5.0
"""How long an order may take: usually a millisecond. A resolver that takes this long is stuck and
gets replaced.
"""
START_TIMEOUT_S: Final = 10.0
_CREDENTIALS: Final = struct.Struct("3i")
_CLOSE_ON_EXEC: Final = int(socket.MSG_CMSG_CLOEXEC)


class Gone(Exception):
    """The resolver does not run, or has ended."""


class Connection:
    """A connection to a resolver.

    Raises:
        ProcessLookupError: it has ended.
    """

    def __init__(self, sock: socket.socket) -> None:
        messages.widen(sock)
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        self.pid: int = _CREDENTIALS.unpack(credentials)[0]
        self._pidfd = os.pidfd_open(self.pid)
        self._socket = trio.socket.from_stdlib_socket(sock)

    async def ask(self, request: Message, fds: list[int] | None = None) -> Message:
        """Send an order and wait for its reply. An order without a reply is undone when the
        connection is closed.

        Raises:
            Gone: the resolver ends, has ended, or is stuck and was killed.
            DriverError: it refuses, or the order is too long.
        """
        try:
            order = messages.encode(request)
        except ProtocolError as error:
            raise DriverError(f"send an order to the resolver: {error}") from error
        try:
            with trio.fail_after(ORDER_TIMEOUT_S):
                await self._socket.sendmsg([order], messages.rights(fds or []), socket.MSG_NOSIGNAL)
                packet, ancillary, flags, _ = await self._socket.recvmsg(
                    messages.PACKET_BYTES_MAX, messages.ANCILLARY_BYTES, _CLOSE_ON_EXEC
                )
            received = messages.unpack(packet, ancillary, flags)
        except trio.TooSlowError as error:
            self.kill()
            raise Gone from error
        except (OSError, ProtocolError) as error:
            raise Gone from error
        if received is None:
            raise Gone
        if "error" in received[0]:
            raise DriverError(f"the resolver refuses: {received[0]['error']}")
        return received[0]

    async def wait_end(self) -> None:
        """Return when the process has ended."""
        await trio.lowlevel.wait_readable(self._pidfd)

    def kill(self) -> None:
        """Kill a process that no longer answers orders."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close(self) -> None:
        """Close the connection; the resolver keeps running."""
        self._socket.close()
        trio.lowlevel.notify_closing(self._pidfd)
        os.close(self._pidfd)


class ResolverProcess:
    """Finds, starts and replaces the one resolver process below a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._edition = edition()
        self._started: subprocess.Popen[bytes] | None = None

    async def find(self) -> Connection | None:
        """Return a connection to the running resolver, which an earlier daemon may have started. A
        resolver of another edition is ended.
        """
        self._reap()
        connection = self._connect()
        if connection is None:
            return None
        try:
            reply = await connection.ask({"op": "hello"})
            if reply.get("edition") == self._edition:
                return connection
            await connection.ask({"op": "end"})
            with trio.move_on_after(ORDER_TIMEOUT_S) as patience:
                await connection.wait_end()
            if patience.cancelled_caught:
                connection.kill()
        except (Gone, DriverError):
            pass
        except BaseException:
            connection.close()
            raise
        connection.close()
        return None

    async def start(self) -> Connection:
        """Start a resolver; return a connection to it.

        Raises:
            DriverError: it does not start.
        """
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            ready_fd = self._start()
        except OSError as error:
            raise DriverError("start the resolver") from error
        try:
            with trio.move_on_after(START_TIMEOUT_S):
                await trio.lowlevel.wait_readable(ready_fd)
        finally:
            trio.lowlevel.notify_closing(ready_fd)
            os.close(ready_fd)
        connection = await self.find()
        if connection is None:
            await self._end_started()
            raise DriverError("the resolver does not start")
        return connection

    def _start(self) -> int:
        with contextlib.ExitStack() as undo, contextlib.ExitStack() as theirs:
            interpreter_fd = sealed_interpreter(own_python())
            theirs.callback(os.close, interpreter_fd)
            ready_fd, theirs_fd = os.pipe()
            undo.callback(os.close, ready_fd)
            theirs.callback(os.close, theirs_fd)
            arguments = [str(self._directory), self._edition, str(theirs_fd)]
            self._reap()
            self._started = start_lean(
                own_python(), interpreter_fd, "engine.resolver.process", arguments, [theirs_fd]
            )
            undo.pop_all()
        return ready_fd

    def _reap(self) -> None:
        """Reap the process that we have started, if it has died."""
        if self._started is not None and self._started.poll() is not None:
            self._started = None

    async def _end_started(self) -> None:
        """Kill and reap the process that we have started."""
        if self._started is not None:
            self._started.kill()
            await end_of(self._started)
            self._started = None

    def abandon(self) -> None:
        """Stop tracking the process; it outlives the daemon."""
        if self._started is not None:
            self._started.returncode = self._started.poll() or 0
            self._started = None

    def _connect(self) -> Connection | None:
        try:
            directory_fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return _connected(f"/proc/self/fd/{directory_fd}/{SOCKET_NAME}")
        finally:
            os.close(directory_fd)


def _connected(address: str) -> Connection | None:
    """Connect without waiting.

    A resolver with a full backlog has stopped answering: EAGAIN, unix(7).
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    try:
        sock.connect(address)
        return Connection(sock)
    except (ConnectionRefusedError, FileNotFoundError, ProcessLookupError):  # its owner is dead
        sock.close()
        return None
    except BlockingIOError as error:
        sock.close()
        raise DriverError("the resolver takes no connections") from error
    except BaseException:
        sock.close()
        raise


def edition() -> str:
    """Return what identifies the resolver's code and network namespace: a resolver of another
    edition gets replaced.
    """
    checksum = 0
    for package in (engine.resolver, engine.runtime):
        for path in sorted(Path(package.__file__ or "").parent.glob("*.py")):
            checksum = zlib.crc32(path.read_bytes(), checksum)
    return f"{checksum:08x}-{Path('/proc/thread-self/ns/net').stat().st_ino}"
