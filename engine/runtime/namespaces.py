"""Create or join a container's namespaces; set their host name and kernel parameters.

The names of types are the OCI runtime specification's (config-linux.md, Namespaces). The PID
namespace is special: a process is created in it or not, so its parent prepares it
(:func:`share_pid_namespace`), while the child enters all others.
"""

import os
import socket
from collections.abc import Mapping
from typing import Final

from engine.runtime import linux as k
from engine.runtime.bundle import Bundle, Config
from engine.runtime.failure import SetupFailed, refusal

# namespaces(7)
_NAMESPACES: Final = {
    "cgroup": k.CLONE_NEWCGROUP,
    "ipc": k.CLONE_NEWIPC,
    "mount": k.CLONE_NEWNS,
    "network": k.CLONE_NEWNET,
    "uts": k.CLONE_NEWUTS,
}
EVERY_NAMESPACE: Final = sum(_NAMESPACES.values())
"""All namespaces that an exec joins; it is created in the container's PID namespace."""
_IPC_SYSCTLS: Final = ("kernel/msg", "kernel/sem", "kernel/shm", "fs/mqueue/")
_NOT_SEPARATE: Final = 'sysctl "{name}" is not in a separate kernel namespace'
_SYSCTL_REFUSALS: Final = {
    "network": 'sysctl "{name}" not allowed in host network namespace',
    "ipc": 'sysctl "{name}" is not allowed in the hosts ipc namespace',
}
_UTS_SYSCTLS: Final = ("kernel/domainname", "kernel/hostname")


def share_pid_namespace(bundle: Bundle, joined_fd: int | None = None) -> None:
    """Let every later child of the calling process be created in the container's PID namespace.

    The monitor calls it once, before it forks: its first child is then PID 1 of a new namespace
    (unshare(2)), and later ones, for execs, are created in the same one. With a ``path``, or with
    ``joined_fd``, an existing namespace is joined; without an entry it is the host's. Once PID 1
    has ended, fork(2) fails with ENOMEM (pid_namespaces(7)).

    Raises:
        OSError: the namespace can't be made or joined.
    """
    for namespace in bundle.config.get("linux", {}).get("namespaces", ()):
        if namespace["type"] != "pid":
            continue
        if joined_fd is not None:
            k.setns(joined_fd, k.CLONE_NEWPID)
        elif path := namespace.get("path"):
            _join(path, k.CLONE_NEWPID)
        else:
            k.unshare(k.CLONE_NEWPID)


def enter_namespaces(config: Config, joined: Mapping[str, int]) -> None:
    """Join the namespaces that come as descriptors or have a path, and create the others; the mount
    namespace is always new.
    """
    fresh = k.CLONE_NEWNS
    for namespace in config.get("linux", {}).get("namespaces", ()):
        kind = _NAMESPACES.get(namespace["type"], 0)
        if kind and namespace["type"] in joined:
            k.setns(joined[namespace["type"]], kind)
        elif path := namespace.get("path"):
            if kind and kind != k.CLONE_NEWNS:
                _join(path, kind)
        else:
            fresh |= kind
    k.unshare(fresh)


def _join(path: str, kind: int) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    k.setns(fd, kind)
    os.close(fd)


def name_host(config: Config) -> None:
    """Set the names of the UTS namespace, uts_namespaces(7); the host's are never changed.

    Raises:
        SetupFailed: a name of more than 64 bytes.
    """
    if "uts" not in _own(config):
        return
    if hostname := config.get("hostname"):
        try:
            socket.sethostname(hostname)
        except OSError as error:
            raise refusal("error during container init: sethostname", error) from error
    if domainname := config.get("domainname"):
        write_parameter("/proc/sys/kernel/domainname", domainname)


def set_sysctls(config: Config) -> None:
    """Write the namespaced kernel parameters through the host's /proc: it shows the writer's own
    namespaces, proc(5).

    Raises:
        SetupFailed: a parameter of the whole machine, or of a namespace that is shared with the
            host.
    """
    own = _own(config)
    for name, value in config.get("linux", {}).get("sysctl", {}).items():
        path = name if "/" in name else name.replace(".", "/")
        kind = "" if ".." in path else _sysctl_namespace(path)
        if kind not in own:
            raise SetupFailed(_SYSCTL_REFUSALS.get(kind, _NOT_SEPARATE).format(name=name))
        try:
            write_parameter(f"/proc/sys/{path}", value)
        except OSError as error:
            raise refusal(f"write sysctl key {name}: open /proc/sys/{path}", error) from error


def _own(config: Config) -> set[str]:
    """Return the kinds of namespaces that are not the host's."""
    return {namespace["type"] for namespace in config.get("linux", {}).get("namespaces", ())}


def _sysctl_namespace(path: str) -> str:
    if path.startswith("net/"):
        return "network"
    if path.startswith(_IPC_SYSCTLS):
        return "ipc"
    return "uts" if path in _UTS_SYSCTLS else ""


def write_parameter(path: str, text: str) -> None:
    """Write a kernel file; an error names it."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(fd)
