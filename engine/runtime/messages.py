"""Define the messages between daemon, launcher and monitor: JSON, with descriptors beside it.

Every conversation runs over a SOCK_SEQPACKET socket of the local machine, unix(7): a packet is one
message, whole or not at all, and descriptors travel with it as SCM_RIGHTS. Requests of a connection
are answered in their order::

    daemon ──▶ launcher   {"op": "launch", "bundle", …, "joined": […], "attachments": […]}
                              + [control, lock, journal, log, listener, namespace…, client…]
    daemon ◀── launcher   {"ok": true, "pid"} + [pidfd of the monitor]              | {"error", "errno"}

    daemon ──▶ monitor    {"op": "attach", …} + [client, gate?]                      → {"ok": true}
    daemon ──▶ monitor    {"op": "exec", "exec_id", "process", …} + [client]?        → {"ok": true, "known"?}
    daemon ──▶ monitor    {"op": "probe", "process", …} + [answer]                   → {"ok": true}
               answer     {"code", "output", "truncated"} | {"error"} | closed without a word: the container has ended
    daemon ──▶ monitor    {"op": "resize", "exec_id", "height", "width"}             → {"ok": true}
    daemon ──▶ monitor    {"op": "forget", "taken": n}                               → {"ok": true}
    daemon ◀── monitor    {"journal": n}      unasked: the journal has grown; a hint, the file is the truth

A refusal is ``{"error": text, "errno": number}``. Whoever receives a descriptor owns it; the sender
keeps its own copy.
"""

import array
import json
import os
import socket
from typing import Any, Final, NamedTuple

from engine.runtime.bundle import LogWishes, Namespace, Process
from engine.runtime.json_text import flat, parse

SOCKET_NAME: Final = "monitor.sock"
LOCK_NAME: Final = "lock"
ERRORS_NAME: Final = "monitor.log"
"""Where a monitor writes what should not happen, as JSON lines; absent as long as it did not."""

PACKET_BYTES_MAX: Final = 1 << 20
"""Room for the arguments and environment of an exec: ARG_MAX is 2 MiB at the usual stack limit, and
no one comes close."""
DESCRIPTORS_MAX: Final = 64
"""At most this many in one packet; the kernel's own limit, SCM_MAX_FD, is 253."""

# Why a client was let go.
ENDED: Final = "ended"  # the process has exited and all of its output was taken
EOF: Final = "eof"  # the client went away
DETACHED: Final = "detached"  # the client typed the detach keys
SLOW: Final = "slow"  # the client took nothing while the process waited for it

# Plain numbers: an IntFlag runs Python code for every "|" and "&", and each page of it is copied.
NO_SIGNAL: Final = int(socket.MSG_NOSIGNAL)
PEEK: Final = int(socket.MSG_PEEK)
CLOSE_ON_EXEC: Final = int(socket.MSG_CMSG_CLOEXEC)
_LENGTH_ONLY: Final = int(socket.MSG_PEEK | socket.MSG_TRUNC)
_TRUNCATED: Final = int(socket.MSG_TRUNC | socket.MSG_CTRUNC)

Message = dict[str, Any]  # JSON of either side; it stops being a dict in the functions below


class ProtocolError(Exception):
    """The other side sent what can't be understood: too long, not JSON, descriptors missing."""


class Attachment(NamedTuple):
    """A client's wishes for the streams of one process; its socket travels as a descriptor.

    ``detach_keys`` are the bytes that end the attachment on a terminal, none when empty. ``unread``
    is what the daemon had already read from the client beyond the request's head: the first bytes
    of standard input. ``raw`` is without the headers that tell one stream from the other.
    """

    attach_id: str
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    detach_keys: bytes = b""
    unread: bytes = b""
    raw: bool = False

    def to_message(self) -> Message:
        """As it travels: bytes as hexadecimal digits."""
        message = self._asdict()
        message["detach_keys"] = self.detach_keys.hex()
        message["unread"] = self.unread.hex()
        return message

    @classmethod
    def from_message(cls, message: Message, attach_id: str | None = None) -> "Attachment":
        """Read back what :meth:`to_message` wrote; an exec's streams go by the name of the exec."""
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
    """What a monitor has to know of its bundle; the daemon reads it there, so that the monitor need
    not.

    ``namespaces`` are those of ``config.json`` that a process is born into: the ``pid`` one, or
    none to share the host's.
    """

    bundle: str
    boot_id: str
    tty: bool
    open_stdin: bool
    stdin_once: bool
    namespaces: list[Namespace]
    cgroup_into: str
    """The version 2 cgroup that processes are born in; empty where there is none."""
    cgroup_procs: list[str]
    """Files of the version 1 cgroups that they join by themselves."""
    oom_counters: list[list[str]]
    attachments: list[Attachment]
    log: LogWishes = {}  # noqa: RUF012  (never changed)
    joined: list[str] = []  # noqa: RUF012  (never changed)
    """What the namespaces are whose descriptors come along, in their order: ``pid``, ``ipc``,
    ``shm``."""

    def to_message(self) -> Message:
        """As it travels, but for the descriptors."""
        attachments = [wishes.to_message() for wishes in self.attachments]
        return {"op": "launch", **self._asdict(), "attachments": attachments}

    @classmethod
    def from_message(cls, message: Message) -> "LaunchOrder":
        """Read back what :meth:`to_message` wrote."""
        if message.pop("op", None) != "launch":
            raise ProtocolError("a launcher launches")
        try:
            attachments = [Attachment.from_message(wishes) for wishes in message["attachments"]]
            return cls(**{**message, "attachments": attachments})
        except (KeyError, TypeError) as error:
            raise ProtocolError(f"launch: {error!r}") from error


class LaunchDescriptors(NamedTuple):
    """What travels with a :class:`LaunchOrder`, in this order, before joined namespaces and the
    clients' sockets.

    ``lock_fd`` is locked already and ``listener_fd`` bound: a monitor is there from the moment that
    it is asked for.
    """

    control_fd: int
    lock_fd: int
    journal_fd: int
    log_fd: int
    listener_fd: int


class ExecOrder(NamedTuple):
    """One more process for a running container; without a client its output is thrown away."""

    exec_id: str
    process: Process
    tty: bool
    streams: Attachment
    seccomp_path: str | None = None

    def to_message(self) -> Message:
        """As it travels, but for the client's descriptor."""
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
        """Read back what :meth:`to_message` wrote."""
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
    """A process that asks how the container is; a socket of type SOCK_SEQPACKET travels along, for
    the answer.
    """

    process: Process
    seccomp_path: str | None = None

    def to_message(self) -> Message:
        """As it travels, but for the socket."""
        return {"op": "probe", **self._asdict()}

    @classmethod
    def from_message(cls, message: Message) -> "ProbeOrder":
        """Read back what :meth:`to_message` wrote."""
        try:
            return cls(process=message["process"], seccomp_path=message.get("seccomp_path"))
        except KeyError as error:
            raise ProtocolError(f"probe: {error!r}") from error


def encode(message: Message) -> bytes:
    """A message as the bytes of one packet.

    Raises:
        ProtocolError: it is longer than a packet may be.
    """
    packet = json.dumps(message, separators=(",", ":")).encode()
    if len(packet) > PACKET_BYTES_MAX:
        raise ProtocolError(f"a message of {len(packet)} bytes: at most {PACKET_BYTES_MAX}")
    return packet


def decode(packet: bytes) -> Message:
    """The message in a packet.

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
    """Ancillary data that carries these descriptors, for ``socket.sendmsg``."""
    if not fds:
        return []
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes())]


def descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    """The descriptors that came with a packet; the caller owns them from now on."""
    fds = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    return fds.tolist()


ANCILLARY_BYTES: Final = socket.CMSG_SPACE(DESCRIPTORS_MAX * array.array("i").itemsize)
"""What ``recvmsg`` must have room for. A packet with more descriptors than this arrives with
MSG_CTRUNC and is refused."""


def close_all(fds: list[int]) -> None:
    """Close descriptors that nobody took."""
    for fd in fds:
        os.close(fd)


def send(sock: socket.SocketType, reply: Message, fds: "list[int] | tuple[int, ...]" = ()) -> None:
    """Send one reply, which is flat, whole. Blocks when the socket does.

    Raises:
        OSError: EAGAIN, EPIPE, ECONNRESET: it was not sent.
    """
    sock.sendmsg([flat(reply)], rights(fds), NO_SIGNAL)


def receive(sock: socket.SocketType) -> tuple[Message, list[int]] | None:
    """The next message and its descriptors, or None when the other side is gone.

    Raises:
        OSError: EAGAIN, ECONNRESET.
        ProtocolError: what came can't be understood; descriptors that came with it are closed.
    """
    # Its length first, so that no megabyte stands ready for a packet of sixty bytes.
    length = sock.recv_into(bytearray(1), 1, _LENGTH_ONLY)
    packet, ancillary, flags, _ = sock.recvmsg(
        min(length, PACKET_BYTES_MAX) or 1, ANCILLARY_BYTES, CLOSE_ON_EXEC
    )
    return unpack(packet, ancillary, flags)


def unpack(
    packet: bytes, ancillary: list[tuple[int, int, bytes]], flags: int
) -> tuple[Message, list[int]] | None:
    """What ``recvmsg`` returned, as :func:`receive` returns it."""
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
    """Make room in a socket for the longest packet, beyond the limit for users: socket(7),
    SO_SNDBUFFORCE.
    """
    sock.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 2 * PACKET_BYTES_MAX)


_SO_SNDBUFFORCE: Final = 32  # asm-generic/socket.h; Python has no name for it
