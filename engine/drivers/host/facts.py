"""Read what the machine is: from uname(2), os-release(5), sysctls and the table of mounts."""

import os
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from engine.ports.host import HostFacts
from engine.runtime.mountinfo import MountEntry, is_below, mounts

_IP_FORWARD: Final = Path("/proc/sys/net/ipv4/ip_forward")
_DESCRIPTORS: Final = "/proc/self/fd"
_FILESYSTEMS: Final = {"ext2": "extfs", "ext3": "extfs", "ext4": "extfs", "overlay": "overlayfs"}


def read_facts(data_root: Path) -> HostFacts:
    """Read all facts; blocks as long as the file system of /etc does."""
    kernel, release = os.uname(), _os_release()
    filesystem = filesystem_of(data_root, mounts())
    return HostFacts(
        name=kernel.nodename,
        kernel_release=kernel.release,
        architecture=kernel.machine,
        operating_system=release.get("PRETTY_NAME", "Linux"),
        operating_system_version=release.get("VERSION_ID", ""),
        backing_filesystem=_FILESYSTEMS.get(filesystem, filesystem),
        forwards_ipv4=_forwards_ipv4(),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        open_descriptors=_open_descriptors(),
    )


def filesystem_of(path: Path, mounts: Iterable[MountEntry]) -> str:
    """Return the type of the file system that holds a path; of several mounts at one place, the
    last.
    """
    best, kind = -1, "<unknown>"
    for mount in mounts:
        if is_below(str(path), mount.place) and len(mount.place) >= best:
            best, kind = len(mount.place), mount.filesystem
    return kind


def _os_release() -> Mapping[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _forwards_ipv4() -> bool:
    try:
        return _IP_FORWARD.read_bytes().strip() == b"1"
    except OSError:
        return False


def _open_descriptors() -> int:
    with os.scandir(_DESCRIPTORS) as descriptors:
        return sum(1 for _ in descriptors)
