"""Define the messages between daemon, launcher and monitor: JSON, with descriptors beside it.

All messages use SOCK_SEQPACKET sockets of the local machine, unix(7): a packet is one message,
complete or not sent, and descriptors travel with it as SCM_RIGHTS. Requests of a connection are
answered in their order::

    daemon ──▶ launcher   {"op": "launch", "bundle", …, "joined": […], "attachments": […]}
                              + [control, lock, journal, log, listener, namespace…, client…]
    daemon ◀── launcher   {"ok": true, "pid"} + [pidfd of the monitor] | {"error", "errno"}

    daemon ──▶ monitor    {"op": "attach", …} + [client, barrier?]             → {"ok": true}
    daemon ──▶ monitor    {"op": "exec", "exec_id", "process", …} + [client]?  → {"ok", "known"?}
    daemon ──▶ monitor    {"op": "probe", "process", …} + [answer]             → {"ok": true}
               answer     {"code", "output", "truncated"} | {"error"} | closed: container ended
    daemon ──▶ monitor    {"op": "resize", "exec_id", "height", "width"}       → {"ok": true}
    daemon ──▶ monitor    {"op": "forget", "taken": n}                         → {"ok": true}
    daemon ◀── monitor    {"journal": n}      unasked: the journal has grown; the file has the facts

A refusal is ``{"error": text, "errno": number}``. The receiver of a descriptor owns it; the sender
keeps its own copy.
"""

import array
import json
import os
import socket
from typing import Any, Final, NamedTuple

from engine.runtime.bundle import LogSettings, Namespace, Process
from engine.runtime.json_text import flat, parse

SOCKET_NAME: Final = "monitor.sock"
LOCK_NAME: Final = "lock"
ERRORS_NAME: Final = "monitor.log"
"""The file for a monitor's unexpected errors, as JSON lines; absent if there are none."""

PACKET_BYTES_MAX: Final = 1 << 20
"""Room for the arguments and environment of an exec: ARG_MAX is 2 MiB at the usual stack limit, and
actual ones are much smaller.
"""
DESCRIPTORS_MAX: Final = 64
"""Maximum of descriptors in one packet; the kernel's own limit, SCM_MAX_FD, is 253."""

# Plain numbers: an IntFlag runs Python code for every "|" and "&", and each page of it is copied.
NO_SIGNAL: Final = int(socket.MSG_NOSIGNAL)
PEEK: Final = int(socket.MSG_PEEK)
CLOSE_ON_EXEC: Final = int(socket.MSG_CMSG_CLOEXEC)
_LENGTH_ONLY: Final = int(socket.MSG_PEEK | socket.MSG_TRUNC)
_TRUNCATED: Final = int(socket.MSG_TRUNC | socket.MSG_CTRUNC)

Message = dict[str, Any]  # JSON of either side; it stops being a dict in the functions below


class ProtocolError(Exception):
    """The other side sent an invalid message: too long, not JSON, descriptors missing."""


class Attachment(NamedTuple):
    """A client's options for the streams of one process; its socket travels as a descriptor.

    ``detach_keys`` are the bytes that end the attachment on a terminal, none when empty. ``unread``
    is what the daemon has already read from the client after the request's head: the first bytes of
    standard input. ``raw`` means without the headers that distinguish the streams.
    """

    attach_id: str
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    detach_keys: bytes = b""
    unread: bytes = b""
    raw: bool = False

    def to_message(self) -> Message:
        """Return the message to send: bytes become hexadecimal digits."""
        message = self._asdict()
        message["detach_keys"] = self.detach_keys.hex()
        message["unread"] = self.unread.hex()
        return message

    @classmethod
    def from_message(cls, message: Message, attach_id: str | None = None) -> "Attachment":
        """Decode the result of :meth:`to_message`; an exec's attachment has the exec's ID."""
        try:
            return cls(
                attach_id=str(message["attach_id"] if attach_id is None else attach_id),
                stdin=bool(message.get("stdin")),
                stdout=bool(message.get("stdout")),
                stderr=bool(message.get("stderr")),
                detach_keys=bytes.fromhex(message.get("detach_keys") or ""),
                unread=bytes.fromhex(message.get("unread") or ""),
                raw=bool(message.get("raw")),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise ProtocolError(f"attachment: {error!r}") from error


class LaunchOrder(NamedTuple):
    """What a monitor has to know. It doesn't read its bundle: what a monitor reads stays in its
    memory.

    ``namespaces`` are those in which processes are created: the ``pid`` one, or none to share the
    host's.
    """

    bundle: str
    boot_id: str
    tty: bool
    open_stdin: bool
    stdin_once: bool
    namespaces: list[Namespace]
    cgroup_into: str
    """The version 2 cgroup in which processes are created; empty where there is none."""
    cgroup_procs: list[str]
    """Files of the version 1 cgroups that they join by themselves."""
    oom_counters: list[list[str]]
    attachments: list[Attachment]
    log: LogSettings = {}  # noqa: RUF012  (never changed)
    joined: list[str] = []  # noqa: RUF012  (never changed)
    """The kinds of the namespaces whose descriptors come along, in their order: ``pid``, ``ipc``,
    ``shm``.
    """

    def to_message(self) -> Message:
        """Return the message to send, without the descriptors."""
        attachments = [each.to_message() for each in self.attachments]
        return {"op": "launch", **self._asdict(), "attachments": attachments}

    @classmethod
    def from_message(cls, message: Message) -> "LaunchOrder":
        """Decode the result of :meth:`to_message`."""
        if message.pop("op", None) != "launch":
            raise ProtocolError("a launcher launches")
        try:
            attachments = [Attachment.from_message(each) for each in message["attachments"]]
            return cls(**{**message, "attachments": attachments})
        except (KeyError, TypeError) as error:
            raise ProtocolError(f"launch: {error!r}") from error


class LaunchDescriptors(NamedTuple):
    """The descriptors that travel with a :class:`LaunchOrder`, in this order, before joined
    namespaces and the clients' sockets.

    ``lock_fd`` is locked already and ``listener_fd`` bound: the monitor counts as alive from the
    request on.
    """

    control_fd: int
    lock_fd: int
    journal_fd: int
    log_fd: int
    listener_fd: int


class ExecOrder(NamedTuple):
    """One more process for a running container; without a client its output is discarded."""

    exec_id: str
    process: Process
    tty: bool
    streams: Attachment
    seccomp_path: str | None = None

    def to_message(self) -> Message:
        """Return the message to send, without the client's descriptor."""
        message = self.streams.to_message()
        del message["attach_id"]
        message.update(
            op="exec",
            exec_id=self.exec_id,
            process=self.process,
            tty=self.tty,
            seccomp_path=self.seccomp_path,
        )
        return message

    @classmethod
    def from_message(cls, message: Message) -> "ExecOrder":
        """Decode the result of :meth:`to_message`."""
        try:
            return cls(
                exec_id=str(message["exec_id"]),
                process=message["process"],
                tty=bool(message.get("tty")),
                streams=Attachment.from_message(message, str(message["exec_id"])),
                seccomp_path=message.get("seccomp_path"),
            )
        except KeyError as error:
            raise ProtocolError(f"exec: {error!r}") from error


class ProbeOrder(NamedTuple):
    """A health check's process; a socket of type SOCK_SEQPACKET for the answer travels with the
    message.
    """

    process: Process
    seccomp_path: str | None = None

    def to_message(self) -> Message:
        """Return the message to send, without the socket."""
        return {"op": "probe", **self._asdict()}

    @classmethod
    def from_message(cls, message: Message) -> "ProbeOrder":
        """Decode the result of :meth:`to_message`."""
        try:
            return cls(process=message["process"], seccomp_path=message.get("seccomp_path"))
        except KeyError as error:
            raise ProtocolError(f"probe: {error!r}") from error


def encode(message: Message) -> bytes:
    """Encode a message as one packet.

    Raises:
        ProtocolError: it is longer than a packet may be.
    """
    packet = json.dumps(message, separators=(",", ":")).encode()
    if len(packet) > PACKET_BYTES_MAX:
        raise ProtocolError(f"a message of {len(packet)} bytes: at most {PACKET_BYTES_MAX}")
    return packet


def decode(packet: bytes) -> Message:
    """Decode a packet.

    Raises:
        ProtocolError: it is not a JSON object.
    """
    try:
        message = parse(packet)
    except ValueError as error:
        raise ProtocolError(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise ProtocolError("not a JSON object")
    return message


def rights(fds: "list[int] | tuple[int, ...]") -> list[tuple[int, int, bytes]]:
    """Return ancillary data that carries these descriptors, for ``socket.sendmsg``."""
    if not fds:
        return []
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes())]


def descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    """Return the descriptors that came with a packet; the caller owns them."""
    fds = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    return fds.tolist()


ANCILLARY_BYTES: Final = socket.CMSG_SPACE(DESCRIPTORS_MAX * array.array("i").itemsize)
"""The space that ``recvmsg`` needs for them. A packet with more descriptors arrives with MSG_CTRUNC
and is refused.
"""


def close_all(fds: list[int]) -> None:
    """Close descriptors that were not taken."""
    for fd in fds:
        os.close(fd)


def send(sock: socket.SocketType, reply: Message, fds: "list[int] | tuple[int, ...]" = ()) -> None:
    """Send one reply without nested objects. Blocks if the socket does.

    Raises:
        OSError: EAGAIN, EPIPE, ECONNRESET: it was not sent.
    """
    sock.sendmsg([flat(reply)], rights(fds), NO_SIGNAL)


def receive(sock: socket.SocketType) -> tuple[Message, list[int]] | None:
    """Receive the next message with its descriptors; return None when the other side is gone.

    Raises:
        OSError: EAGAIN, ECONNRESET.
        ProtocolError: the message is invalid; its descriptors are closed.
    """
    # Read the length first, to avoid a buffer of a megabyte for a packet of sixty bytes.
    length = sock.recv_into(bytearray(1), 1, _LENGTH_ONLY)
    packet, ancillary, flags, _ = sock.recvmsg(
        min(length, PACKET_BYTES_MAX) or 1, ANCILLARY_BYTES, CLOSE_ON_EXEC
    )
    return unpack(packet, ancillary, flags)


def unpack(
    packet: bytes, ancillary: list[tuple[int, int, bytes]], flags: int
) -> tuple[Message, list[int]] | None:
    """Convert the result of ``recvmsg`` to that of :func:`receive`."""
    fds = descriptors(ancillary)
    if flags & _TRUNCATED:
        close_all(fds)
        raise ProtocolError("a packet that is too long or carries too many descriptors")
    if not packet:
        close_all(fds)
        return None
    try:
        return decode(packet), fds
    except ProtocolError:
        close_all(fds)
        raise


def widen(sock: socket.SocketType) -> None:
    """Enlarge a socket's buffer for the longest packet, beyond the limit for users: socket(7),
    SO_SNDBUFFORCE.
    """
    sock.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 2 * PACKET_BYTES_MAX)


_SO_SNDBUFFORCE: Final = 32  # asm-generic/socket.h; Python has no name for it
