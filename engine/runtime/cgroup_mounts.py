"""Mount /sys/fs/cgroup for a container: its own cgroup in every hierarchy.

Version 2 is mounted anew in the container's cgroup namespace. For version 1, each hierarchy is a
bind mount of the container's own directory in a small tmpfs, as in Docker; a version 2 hierarchy
beside them (hybrid) has no controllers and is left out. The process must have joined its cgroups
already, and must still be in the host's cgroup namespace: /proc/self/cgroup names them.
"""

import os
from typing import Final, NamedTuple

from engine.runtime import linux as k
from engine.runtime.bundle import Mount
from engine.runtime.inside import open_inside
from engine.runtime.mount_options import parse_mount_options
from engine.runtime.mounts import mount_filesystem

ROOT: Final = "/sys/fs/cgroup"


class Hierarchy(NamedTuple):
    """A version 1 hierarchy: its directory's name, and a detached mount of our own cgroup in it."""

    name: str
    clone_fd: int


def clone_hierarchies() -> list[Hierarchy]:
    """Return our own cgroup of each version 1 hierarchy as a detached mount; none if there is only
    version 2.
    """
    if os.access(f"{ROOT}/cgroup.controllers", os.F_OK):
        return []
    hierarchies = []
    for controllers, path in _own_cgroups():
        name = controllers.removeprefix("name=")
        # Both /proc/self/cgroup and the host's mount points are trusted: no image wrote them.
        fd = k.open_tree(k.AT_FDCWD, f"{ROOT}/{name}{path}", k.OPEN_TREE_CLONE)
        hierarchies.append(Hierarchy(name, fd))
    return hierarchies


def _own_cgroups() -> list[tuple[str, str]]:
    """(controllers, path) of each version 1 line of /proc/self/cgroup, cgroups(7)."""
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as lines:  # noqa: PTH123  (lean)
        rows = [line.rstrip("\n").split(":", 2) for line in lines]
    return [(controllers, path) for _, controllers, path in rows if controllers]


def mount_cgroups(root_fd: int, mount: Mount, hierarchies: list[Hierarchy]) -> None:
    """Mount the version 2 hierarchy, or a directory of the version 1 ones."""
    if not hierarchies:
        mount_filesystem(root_fd, {**mount, "type": "cgroup2", "source": "cgroup"})
        return
    options = [*mount.get("options", ()), "mode=755"]
    top: Mount = {**mount, "type": "tmpfs", "source": "tmpfs"}
    top["options"] = [option for option in options if option != "ro"]
    mount_filesystem(root_fd, top)
    # No other process sees this file system yet, so names in it can be trusted.
    top_fd = open_inside(root_fd, mount["destination"], os.O_PATH)
    for name, clone_fd in hierarchies:
        os.mkdir(name, dir_fd=top_fd)
        k.move_mount(clone_fd, "", top_fd, name, k.MOVE_MOUNT_F_EMPTY_PATH)
        for alias in name.split(",") if "," in name else ():
            os.symlink(name, alias, dir_fd=top_fd)
    own = parse_mount_options(options).attributes()
    recursive = k.AT_EMPTY_PATH | k.AT_RECURSIVE
    k.mount_setattr(top_fd, "", recursive, own.set, propagation=k.MS_PRIVATE)
    os.close(top_fd)
