"""Make a terminal from the container's devpts: one end for the process, one for the monitor."""

import fcntl
import os
import socket
import stat
import struct
import termios
from typing import Final, NamedTuple

from engine.runtime import linux as k
from engine.runtime.bundle import ConsoleSize
from engine.runtime.failure import SetupFailed
from engine.runtime.inside import ensure_file, open_inside
from engine.runtime.mounts import attach

_PTMX: Final = os.makedev(5, 2)


class Pty(NamedTuple):
    """Both ends of a pseudo-terminal, pty(7); the caller closes the descriptors."""

    master_fd: int
    slave_fd: int


def open_pty(root_fd: int, size: ConsoleSize | None) -> Pty:
    """Open a new pseudo-terminal of the devpts instance below a root, unlocked, of the given size
    in characters.

    The slave is opened through its master (TIOCGPTPEER, ioctl_tty(2)): no name inside the container
    is trusted.

    Raises:
        SetupFailed: /dev/pts/ptmx is something else.
    """
    master_fd = open_inside(root_fd, "dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
    found = os.fstat(master_fd)
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != _PTMX:
        raise SetupFailed("/dev/pts/ptmx is not the terminal multiplexer")
    fcntl.ioctl(master_fd, k.TIOCSPTLCK, struct.pack("i", 0))
    slave_fd = fcntl.ioctl(master_fd, k.TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    if size is not None and size["height"] and size["width"]:
        window = struct.pack("HHHH", size["height"], size["width"], 0, 0)
        fcntl.ioctl(master_fd, termios.TIOCSWINSZ, window)
    return Pty(master_fd, slave_fd)


def bind_console(root_fd: int, slave_fd: int) -> None:
    """Bind a terminal to the container's /dev/console (config.md: terminal)."""
    clone_fd = k.open_tree(slave_fd, "", k.AT_EMPTY_PATH | k.OPEN_TREE_CLONE)
    place = ensure_file(root_fd, "/dev/console")
    attach(clone_fd, place.fd)
    os.close(clone_fd)
    os.close(place.fd)


def send_master(console_socket: int, master_fd: int) -> None:
    """Send the master to the monitor: one message with one descriptor, cmsg(3)."""
    with socket.socket(fileno=console_socket) as monitor:
        socket.send_fds(monitor, [b"console"], [master_fd])
    os.close(master_fd)


def take_terminal(slave_fd: int) -> None:
    """Make a terminal the controlling terminal of the session that the caller leads. TIOCSCTTY,
    ioctl_tty(2).
    """
    fcntl.ioctl(slave_fd, termios.TIOCSCTTY, 0)
