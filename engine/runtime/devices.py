"""Create the nodes and links of a container's /dev (runtime-spec, config-linux.md)."""

import contextlib
import os
import posixpath
import stat
from collections.abc import Iterable
from typing import Final

from engine.runtime.bundle import Device
from engine.runtime.failure import SetupFailed, refusal
from engine.runtime.inside import ensure_directory, open_parent

_DEFAULT_MODE: Final = 0o666

# Documentation/admin-guide/devices.txt
DEFAULT_DEVICES: Final[tuple[Device, ...]] = (
    {"path": "/dev/null", "type": "c", "major": 1, "minor": 3},
    {"path": "/dev/zero", "type": "c", "major": 1, "minor": 5},
    {"path": "/dev/full", "type": "c", "major": 1, "minor": 7},
    {"path": "/dev/random", "type": "c", "major": 1, "minor": 8},
    {"path": "/dev/urandom", "type": "c", "major": 1, "minor": 9},
    {"path": "/dev/tty", "type": "c", "major": 5, "minor": 0},
)
DEFAULT_LINKS: Final = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)
_KCORE: Final = "/proc/kcore"
_KINDS: Final = {
    "c": stat.S_IFCHR,
    "u": stat.S_IFCHR,
    "b": stat.S_IFBLK,
    "p": stat.S_IFIFO,
}


def make_devices(root_fd: int, devices: Iterable[Device]) -> None:
    """Create the default nodes and links, and the requested nodes, which replace a default with the
    same path.

    Raises:
        SetupFailed: a node can't be made.
    """
    wanted = {posixpath.normpath(device["path"]): device for device in devices}
    dev_fd = ensure_directory(root_fd, "/dev").fd
    for device in DEFAULT_DEVICES:
        if device["path"] not in wanted:
            _make_node(dev_fd, posixpath.basename(device["path"]), device)
    for name, target in DEFAULT_LINKS:
        _make_link(dev_fd, name, target)
    if os.access(_KCORE, os.F_OK):
        _make_link(dev_fd, "core", _KCORE)
    os.close(dev_fd)
    for device in wanted.values():
        parent_fd, name = open_parent(root_fd, device["path"])
        _make_node(parent_fd, name, device)
        os.close(parent_fd)


def _make_node(parent_fd: int, name: str, device: Device) -> None:
    kind = device.get("type", "")
    if kind not in _KINDS:
        raise SetupFailed(f"device {device['path']}: unknown type {kind!r}")
    number = os.makedev(device.get("major", 0), device.get("minor", 0))
    mode = stat.S_IMODE(device.get("fileMode", _DEFAULT_MODE))
    uid, gid = device.get("uid", 0), device.get("gid", 0)
    try:
        os.mknod(name, _KINDS[kind] | mode, number, dir_fd=parent_fd)
        if uid or gid:
            os.chown(name, uid, gid, dir_fd=parent_fd, follow_symlinks=False)
    except FileExistsError:
        return  # a bind mount or the image has a device here, which is kept, as with Docker
    except OSError as error:
        raise refusal(f"error creating device nodes: {device['path']}", error) from error


def _make_link(dev_fd: int, name: str, target: str) -> None:
    with contextlib.suppress(FileExistsError):  # as above
        os.symlink(target, name, dir_fd=dev_fd)
