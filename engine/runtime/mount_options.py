"""Parse mount options, as mount(8) and the OCI specification name them (config.md)."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from engine.runtime import linux as k

_FLAGS: Final[dict[str, tuple[int, int]]] = {
    # name: (flags set, flags cleared)
    "defaults": (0, 0),
    "ro": (k.MS_RDONLY, 0),
    "rw": (0, k.MS_RDONLY),
    "nosuid": (k.MS_NOSUID, 0),
    "suid": (0, k.MS_NOSUID),
    "nodev": (k.MS_NODEV, 0),
    "dev": (0, k.MS_NODEV),
    "noexec": (k.MS_NOEXEC, 0),
    "exec": (0, k.MS_NOEXEC),
    "sync": (k.MS_SYNCHRONOUS, 0),
    "async": (0, k.MS_SYNCHRONOUS),
    "dirsync": (k.MS_DIRSYNC, 0),
    "mand": (k.MS_MANDLOCK, 0),
    "nomand": (0, k.MS_MANDLOCK),
    "lazytime": (k.MS_LAZYTIME, 0),
    "nolazytime": (0, k.MS_LAZYTIME),
    "silent": (k.MS_SILENT, 0),
    "loud": (0, k.MS_SILENT),
    "noatime": (k.MS_NOATIME, 0),
    "atime": (0, k.MS_NOATIME),
    "nodiratime": (k.MS_NODIRATIME, 0),
    "diratime": (0, k.MS_NODIRATIME),
    "relatime": (k.MS_RELATIME, 0),
    "norelatime": (0, k.MS_RELATIME),
    "strictatime": (k.MS_STRICTATIME, 0),
    "nostrictatime": (0, k.MS_STRICTATIME),
    "nosymfollow": (k.MS_NOSYMFOLLOW, 0),
    "symfollow": (0, k.MS_NOSYMFOLLOW),
}
_BINDS: Final = {"bind": k.MS_BIND, "rbind": k.MS_BIND | k.MS_REC}
_PROPAGATIONS: Final = {
    "private": k.MS_PRIVATE,
    "shared": k.MS_SHARED,
    "slave": k.MS_SLAVE,
    "unbindable": k.MS_UNBINDABLE,
}
_ATTRIBUTES: Final = {
    k.MS_RDONLY: k.MOUNT_ATTR_RDONLY,
    k.MS_NOSUID: k.MOUNT_ATTR_NOSUID,
    k.MS_NODEV: k.MOUNT_ATTR_NODEV,
    k.MS_NOEXEC: k.MOUNT_ATTR_NOEXEC,
    k.MS_NODIRATIME: k.MOUNT_ATTR_NODIRATIME,
    k.MS_NOSYMFOLLOW: k.MOUNT_ATTR_NOSYMFOLLOW,
}
_ACCESS_TIMES: Final = {
    k.MS_RELATIME: k.MOUNT_ATTR_RELATIME,
    k.MS_NOATIME: k.MOUNT_ATTR_NOATIME,
    k.MS_STRICTATIME: k.MOUNT_ATTR_STRICTATIME,
}


class Attributes(NamedTuple):
    """A change of a mount's attributes, in the terms of mount_setattr(2)."""

    set: int
    clear: int


class MountOptions(NamedTuple):
    """Parsed mount options. Flags are ``MS_*``."""

    flags: int
    cleared: int
    recursive: int
    """Flags for a bind mount and all below it: ``rro``, ``rnosuid`` …"""
    recursive_cleared: int
    bind: int
    """0 for a new file system, else ``MS_BIND`` with or without ``MS_REC``."""
    propagation: int
    """One of the four kinds with or without ``MS_REC``, or 0."""
    data: str
    """The rest: the file system's own options."""

    def attributes(self) -> Attributes:
        """Return the flags of a bind mount as attributes."""
        return _attributes(self.flags, self.cleared)

    def recursive_attributes(self) -> Attributes:
        """Return the flags for a bind mount and all below it as attributes."""
        return _attributes(self.recursive, self.recursive_cleared)


def parse_mount_options(options: Iterable[str]) -> MountOptions:
    """Sort options by their kind; the later one of two that contradict each other counts."""
    flags = cleared = recursive = recursive_cleared = bind = propagation = 0
    rest: list[str] = []
    for option in options:
        if option in _FLAGS:
            on, off = _FLAGS[option]
            flags, cleared = flags & ~off | on, cleared & ~on | off
        elif option in _BINDS:
            bind = _BINDS[option]
        elif option.removeprefix("r") in _PROPAGATIONS:
            recursion = k.MS_REC if option.startswith("r") else 0
            propagation = _PROPAGATIONS[option.removeprefix("r")] | recursion
        elif option[:1] == "r" and option[1:] in _FLAGS:
            on, off = _FLAGS[option[1:]]
            recursive, recursive_cleared = recursive & ~off | on, recursive_cleared & ~on | off
        else:
            rest.append(option)
    return MountOptions(
        flags, cleared, recursive, recursive_cleared, bind, propagation, ",".join(rest)
    )


def _attributes(flags: int, cleared: int) -> Attributes:
    on = sum(attribute for flag, attribute in _ATTRIBUTES.items() if flags & flag)
    off = sum(attribute for flag, attribute in _ATTRIBUTES.items() if cleared & flag)
    for flag, attribute in _ACCESS_TIMES.items():
        if flags & flag:
            # The access time is one field of several bits, which must be cleared before it is set:
            # mount_setattr(2).
            on, off = on & ~k.MOUNT_ATTR__ATIME | attribute, off | k.MOUNT_ATTR__ATIME
    return Attributes(on, off)
