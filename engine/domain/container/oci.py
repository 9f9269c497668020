"""Translate a container's spec to the configuration of the OCI runtime specification, with Docker's
defaults.

Clauses are those of the specification's ``config.md`` and ``config-linux.md``.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from engine.domain.container.mounts import Bind, ReadOnlyBelow, Tmpfs
from engine.domain.container.namespace_sharing import (
    HOST,
    NONE,
    has_pid_namespace,
    is_with_container,
    namespace_owner,
)
from engine.domain.container.spec import (
    Spec,
    Ulimit,
    capabilities,
    merged_env,
)
from engine.domain.container.state import Container

Json = dict[str, Any]  # Any: a document for another program

DEFAULT_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INIT_DESTINATION: Final = "/sbin/docker-init"

MASKED_PATHS: Final = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS: Final = (
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
)
_SHM: Final = "/dev/shm"  # noqa: S108  (a mount point inside)
_PRIVATE_FILES: Final = ("nosuid", "noexec", "nodev")


class HostSide(msgspec.Struct, frozen=True, kw_only=True):
    """Where on the host the things are that a container sees."""

    rootfs: str
    hosts: str
    hostname: str
    resolv_conf: str
    sandbox: str = ""
    """The pinned network namespace; empty for the host's own."""
    init: str = ""
    """A static init for ``--init``; empty without ``--init``."""
    linked_env: tuple[str, ...] = ()
    """Variables about linked containers."""
    devices: tuple[Json, ...] = ()
    """Nodes beyond the default ones (Linux devices)."""


def oci_config(container: Container, host: HostSide) -> Json:
    """Return the bundle's ``config.json``."""
    spec = container.spec
    return {
        "ociVersion": "1.1.0",
        "process": process_of(spec, host.linked_env),
        "root": {"path": host.rootfs, "readonly": spec.read_only},
        "hostname": "" if spec.uts_mode == HOST else spec.hostname,
        "domainname": "" if spec.uts_mode == HOST else spec.domainname,
        "mounts": _mounts(spec, host),
        "annotations": spec.annotations,
        "linux": {
            "namespaces": _namespaces(spec, host),
            "devices": list(host.devices),
            "maskedPaths": masked_paths(spec),
            "readonlyPaths": readonly_paths(spec),
            "sysctl": _sysctls(spec),
            "rootfsPropagation": "private",
        },
    }


def masked_paths(spec: Spec) -> tuple[str, ...]:
    """Return the paths that a container finds empty: those asked for, or by default those that
    reveal the host.
    """
    return _paths(spec, spec.masked_paths, MASKED_PATHS)


def readonly_paths(spec: Spec) -> tuple[str, ...]:
    """Return the paths that a container can't write, whoever it runs as."""
    return _paths(spec, spec.readonly_paths, READONLY_PATHS)


def _paths(spec: Spec, asked: tuple[str, ...] | None, default: tuple[str, ...]) -> tuple[str, ...]:
    if asked is not None:
        return asked
    return () if spec.privileged else default


def process_of(spec: Spec, linked_env: tuple[str, ...] = ()) -> Json:
    """Build the process object of the container's first process."""
    arguments = list(spec.arguments)
    return {
        "terminal": spec.tty,
        "consoleSize": console_size(spec.console_size),
        "user": user_of(spec.user, spec.group_add),
        "args": [INIT_DESTINATION, "--", *arguments] if spec.init else arguments,
        "env": list(merged_env(default_env(spec, tty=spec.tty), linked_env, spec.env)),
        "cwd": spec.working_dir or "/",
        "capabilities": capability_sets(capabilities(spec)),
        "rlimits": [_rlimit(limit) for limit in spec.ulimits],
        "noNewPrivileges": spec.no_new_privileges,
        "oomScoreAdj": spec.oom_score_adj,
    }


def user_of(user: str, groups: Sequence[str]) -> Json:
    """Return the user and groups by name or number: they are looked up in the container's own
    files, inside.
    """
    return {"username": user, "additionalGroups": list(groups)}


def default_env(spec: Spec, *, tty: bool) -> tuple[str, ...]:
    """Return the variables that every process gets; a terminal adds TERM."""
    terminal = ("TERM=xterm",) if tty else ()
    return (DEFAULT_PATH, f"HOSTNAME={spec.hostname}", *terminal)


def capability_sets(names: Sequence[str]) -> Json:
    """Return the sets of capabilities. Docker leaves the inheritable and ambient ones empty since
    CVE-2022-24769.
    """
    return {"bounding": list(names), "effective": list(names), "permitted": list(names)}


def console_size(size: tuple[int, int]) -> Json:
    """Convert (height, width) to the OCI object."""
    height, width = size
    return {"height": height, "width": width}


def _rlimit(limit: Ulimit) -> Json:
    return {"type": f"RLIMIT_{limit.name.upper()}", "soft": limit.soft, "hard": limit.hard}


def _sysctls(spec: Spec) -> dict[str, str]:
    """Return the sysctls. Docker lets every user of a container's own network ping, and bind low
    ports; in a joined network the owner has decided.
    """
    if spec.network_mode == HOST or is_with_container(spec.network_mode):
        return spec.sysctls
    own = {"net.ipv4.ping_group_range": "0 2147483647", "net.ipv4.ip_unprivileged_port_start": "0"}
    return {**own, **spec.sysctls}


def _namespaces(spec: Spec, host: HostSide) -> list[Json]:
    """Return the namespaces; a kind that is not listed is the host's. A joined one is listed like
    the container's own: it comes as a descriptor.
    """
    own = {
        "mount": True,
        "uts": spec.uts_mode != HOST,
        "pid": has_pid_namespace(spec),
        "ipc": spec.ipc_mode != HOST,
        "cgroup": spec.cgroupns_mode != HOST,
    }
    found: list[Json] = [{"type": name} for name, is_own in own.items() if is_own]
    if host.sandbox:
        found.append({"type": "network", "path": host.sandbox})
    return found


def _mounts(spec: Spec, host: HostSide) -> list[Json]:
    asked = [*map(_tmpfs, spec.tmpfs), *map(_bind, spec.binds)]
    destinations = {mount["destination"].rstrip("/") for mount in asked}
    standard = [*_standard_mounts(spec), *_files(host)]
    if host.init:
        standard.append(_file(host.init, INIT_DESTINATION, "ro"))
    if "/dev" in destinations:  # a mount of the user's, with everything in it
        standard = [mount for mount in standard if not mount["destination"].startswith("/dev/")]
    kept = [mount for mount in standard if mount["destination"] not in destinations]
    return sorted(kept + asked, key=lambda mount: mount["destination"].rstrip("/").count("/"))


def _standard_mounts(spec: Spec) -> list[Json]:
    access = "rw" if spec.privileged else "ro"
    cgroup_access = "rw" if spec.writable_cgroups else access
    private = _PRIVATE_FILES
    return [
        _mount("/proc", "proc", "proc", *private),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount("/sys", "sysfs", "sysfs", *private, access),
        _mount(
            *("/dev/pts", "devpts", "devpts", "nosuid", "noexec"),
            *("newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        ),
        *_shared_memory(spec),
        _mount("/dev/mqueue", "mqueue", "mqueue", *private),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", cgroup_access, *private),
    ]


def _shared_memory(spec: Spec) -> list[Json]:
    """Return the mount of POSIX shared memory, shm_overview(7), which goes with the IPC namespace:
    the container's own, the host's, the owner's (``shm``), or none.
    """
    if spec.ipc_mode == NONE:
        return []
    if spec.ipc_mode == HOST:
        return [_mount(_SHM, "bind", _SHM, "bind", "rprivate", *_PRIVATE_FILES)]
    if namespace_owner(spec.ipc_mode):
        return [_mount(_SHM, "shm", _SHM, "bind", "rprivate", *_PRIVATE_FILES)]
    size = f"size={spec.shm_bytes}"
    return [_mount(_SHM, "tmpfs", "shm", *_PRIVATE_FILES, "mode=1777", size)]


def _files(host: HostSide) -> list[Json]:
    return [
        _file(host.resolv_conf, "/etc/resolv.conf"),
        _file(host.hostname, "/etc/hostname"),
        _file(host.hosts, "/etc/hosts"),
    ]


def _file(source: str, destination: str, *options: str) -> Json:
    return _mount(destination, "bind", source, "rbind", "rprivate", *options)


def _bind(bind: Bind) -> Json:
    access = ["ro"] if bind.read_only else ["rw"]
    if bind.read_only and bind.read_only_below is not ReadOnlyBelow.NEVER:
        access.append("rro")
    depth = "rbind" if bind.recursive else "bind"
    return _mount(bind.destination, "bind", bind.source, depth, *access, bind.propagation)


def _tmpfs(tmpfs: Tmpfs) -> Json:
    """Return Docker's default options, replaced by those that the user chose."""
    asked = tmpfs.words
    opposites = {"exec": "noexec", "suid": "nosuid", "dev": "nodev"}
    unwanted = {opposites.get(option) for option in asked}
    defaults = [option for option in ("noexec", "nosuid", "nodev") if option not in unwanted]
    return _mount(tmpfs.destination, "tmpfs", "tmpfs", *defaults, *asked)


def _mount(destination: str, kind: str, source: str, *options: str) -> Json:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}
