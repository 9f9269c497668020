"""Find who sent a request: by the kernel's credentials, or by the certificate."""

import os
import pwd
import signal
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import trio

from engine.domain.event import Actor, ActorKind

_UCRED: Final = struct.Struct("iII")
"""struct ucred: pid, uid, gid. unix(7)."""
_SO_PEERPIDFD: Final = 77
"""asm-generic/socket.h; since Linux 6.5."""
_NO_LOGIN: Final = (1 << 32) - 1
"""The content of /proc/PID/loginuid if nobody logged in: (uid_t)-1."""


def peer_of(connection: trio.socket.SocketType) -> Actor:
    """Return the caller as of the moment it connected; over TCP the kernel knows only an address.

    The credentials are the kernel's and can't be forged. The program is looked up by pid, so it is
    believed only if the process of the connection still lives after that: its pid was not used
    again meanwhile.
    """
    if connection.family != socket.AF_UNIX:
        return Actor(kind=ActorKind.USER, address=address_of(connection))
    pid, uid, gid = _UCRED.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    )
    program, login_uid = _program_of(connection, pid)
    return Actor(
        kind=ActorKind.USER,
        name=_user_name(uid),
        uid=uid,
        gid=gid,
        pid=pid or None,  # 0: a process of a pid namespace that we can't see into
        program=program,
        login_uid=login_uid,
    )


def certified(certificate: Mapping[str, Any] | None, address: str) -> Actor:
    """Return the caller that a verified certificate names; a caller without one is only an address.

    Args:
        certificate: as :meth:`ssl.SSLObject.getpeercert` decodes it. Any: its values are tuples of
            several depths.
        address: where the connection came from.
    """
    name = "".join(
        each if each.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for each in _subject(certificate or {})
    )
    return Actor(kind=ActorKind.USER, name=name, address=address)


def _subject(certificate: Mapping[str, Any]) -> str:
    """Return the subject's common name, else its first alternative name, else the whole subject."""
    pairs = [pair for relative_name in certificate.get("subject", ()) for pair in relative_name]
    common = next((value for key, value in pairs if key == "commonName"), "")
    alternative = next((value for _, value in certificate.get("subjectAltName", ())), "")
    return str(common or alternative or ",".join(f"{key}={value}" for key, value in pairs))


def address_of(connection: trio.socket.SocketType) -> str:
    """Return the address of a connection over the network: ``tcp://192.0.2.7:51000``."""
    host, port, *_ = connection.getpeername()
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def _program_of(connection: trio.socket.SocketType, pid: int) -> tuple[str, int | None]:
    if not pid:
        return "", None
    try:
        program = os.readlink(f"/proc/{pid}/exe")  # noqa: PTH115  (text for people, not a path to walk)
    except OSError:  # it has ended, or /proc hides it
        program = ""
    try:
        login_uid = int(Path(f"/proc/{pid}/loginuid").read_bytes())
    except (OSError, ValueError):  # likewise, or a kernel without audit
        login_uid = _NO_LOGIN
    if not _is_alive(connection, pid):
        return "", None
    return program, None if login_uid == _NO_LOGIN else login_uid


def _is_alive(connection: trio.socket.SocketType, pid: int) -> bool:
    """Return whether the process that connected still exists; by pid alone if the kernel has no
    SO_PEERPIDFD.
    """
    try:
        pid_fd = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError:  # ENOPROTOOPT before Linux 6.5; ESRCH, EINVAL: it was reaped before we asked
        return Path(f"/proc/{pid}").exists()
    try:
        with suppress(PermissionError):
            signal.pidfd_send_signal(pid_fd, 0)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(pid_fd)


@lru_cache(maxsize=256)
def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""
