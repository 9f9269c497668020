"""Turn a forked child into a container's first process or an exec: all between fork and execve.

Theory of operation::

    monitor                                  child
       │ share_pid_namespace(bundle)           (once, before its first fork)
       │ fork ─────────────────────────────▶ become_init(...) | become_exec(...)
       │                                       │ the steps, in the order of their table
       │ ◀── console socket: the pty's master ─┤ (with a terminal)
       │ ◀── report pipe: a failure, as JSON ──┤ (then it exits with the failure's exit code)
       │ ◀── report pipe: end of file ─────────┘ execve(2) closed it: the process runs

The order of a table is its design: no step takes away what a later one needs. Until ``pivot`` the
host's /proc and paths can be used; after it no name is trusted. The child is not dumpable, so no
process of the container can inspect it while it joins (CVE-2016-9962), and it can't import: a
module found now would be a file of the container. Its mounts are in a mount namespace of its own
and end with it.
"""

import errno
import fcntl
import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NoReturn

from engine.errors import shortened
from engine.failpoints import failpoint
from engine.runtime import linux as k
from engine.runtime.bundle import Bundle, Process
from engine.runtime.cgroup_mounts import Hierarchy, clone_hierarchies, mount_cgroups
from engine.runtime.console import bind_console, open_pty, send_master, take_terminal
from engine.runtime.container_markers import create_markers
from engine.runtime.devices import make_devices
from engine.runtime.executable import (
    execute,
    find_executable,
    parse_environment,
    restore_signals,
)
from engine.runtime.failure import (
    EXIT_SETUP_FAILED,
    SetupFailed,
    command_refusal,
    words,
)
from engine.runtime.inside import ensure_directory
from engine.runtime.mount_options import parse_mount_options
from engine.runtime.mounts import (
    attach_bind,
    clone_bind,
    clone_joined,
    make_read_only,
    mask,
    mount_filesystem,
    mount_overlay,
    pivot,
)
from engine.runtime.namespaces import (
    EVERY_NAMESPACE,
    enter_namespaces,
    name_host,
    set_sysctls,
    share_pid_namespace,
    write_parameter,
)
from engine.runtime.privileges import (
    become_user,
    die_with_parent,
    drop_privileges,
    limit_capabilities,
    set_limits,
)
from engine.runtime.users import Identity, resolve_identity

__all__ = ["EXEC_STEPS", "INIT_STEPS", "become_exec", "become_init", "share_pid_namespace"]

Stdio = tuple[int, int, int]

_LOW_FDS: Final = 16
"""Descriptors that are kept move above this number first, so that 0, 1 and 2 can be replaced
without a collision.
"""
_LAST_FD: Final = 0xFFFFFFFF
_NULL: Final = os.makedev(1, 3)


def become_init(
    bundle: Bundle,
    stdio: Stdio | None,
    report_fd: int,
    console_socket: int | None = None,
    *,
    joined: Mapping[str, int] | None = None,
) -> NoReturn:
    """Turn a freshly forked child of the monitor into the container's first process. Never returns,
    never raises.

    ``stdio`` are the descriptors to become 0, 1 and 2. With ``process.terminal`` they are ignored
    (and may be None): a pty of the container's own devpts is used instead, and its master is sent
    over ``console_socket`` (a connected AF_UNIX socket, one message with one descriptor, before the
    report pipe closes).

    ``report_fd`` is the write end of a pipe. End of file without a byte: execve(2) succeeded.
    Otherwise one JSON object ``{"step", "errno", "message", "exit_code"}`` and then end of file;
    the child exits with that code.

    ``joined`` are open namespaces of another container that are joined instead of made, by kind;
    ``shm`` is the mount namespace that has that container's shared memory.

    Every other descriptor is closed; the caller's need not be O_CLOEXEC. The caller's death kills
    the container (PR_SET_PDEATHSIG), so the calling *thread* must live as long as the process.
    """
    child = _Child(bundle.config.get("process", {}), stdio, report_fd, console_socket)
    child.bundle = bundle
    child.joined = dict(joined or {})
    child.cgroup_procs = bundle.monitor.get("cgroup_procs", ())
    child.seccomp_path = bundle.monitor.get("seccomp_path")
    _run(child, INIT_STEPS)


def become_exec(
    process: Process,
    init_pidfd: int,
    stdio: Stdio | None,
    report_fd: int,
    console_socket: int | None = None,
    *,
    seccomp_path: str | None = None,
    cgroup_procs: Iterable[str] = (),
) -> NoReturn:
    """Turn a freshly forked child of the monitor into one more process of a running container.
    Never returns, never raises.

    The child must have been forked after :func:`share_pid_namespace`. ``cgroup_procs`` are joined
    first, then all namespaces of the process behind ``init_pidfd`` at once. The rest as in
    :func:`become_init`.
    """
    child = _Child(process, stdio, report_fd, console_socket)
    child.init_pidfd = init_pidfd
    child.cgroup_procs = cgroup_procs
    child.seccomp_path = seccomp_path
    _run(child, EXEC_STEPS)


class _Child:
    """State that the steps pass on to each other. A child runs once, so plain attributes are
    enough.
    """

    def __init__(
        self, process: Process, stdio: Stdio | None, report_fd: int, console_socket: int | None
    ) -> None:
        self.process = process
        self.stdio = stdio
        self.report_fd = report_fd
        self.console_socket = console_socket
        self.bundle = Bundle("", {}, {})
        self.cgroup_procs: Iterable[str] = ()
        self.seccomp_path: str | None = None
        self.seccomp: bytes | None = None
        self.init_pidfd = -1
        self.root_fd = -1
        self.joined: dict[str, int] = {}
        self.binds: dict[int, int] = {}
        """Detached mounts by their index in the configuration's mounts."""
        self.hierarchies: list[Hierarchy] = []
        self.slave_fd = -1
        self.identity = Identity(0, 0, [0], "/")
        self.environment: dict[str, str] = {}
        self.executable = ""


def _run(child: _Child, steps: "Steps") -> NoReturn:
    """Run the steps, of which the last ends in execve(2); report a failure on the pipe."""
    exit_code = EXIT_SETUP_FAILED
    name = "begin"
    try:
        for name, step in steps:
            failpoint(f"init_{name}")
            step(child)
    except SetupFailed as error:
        exit_code = error.exit_code
        _report(child, name, error.errno, str(error), exit_code)
    except OSError as error:
        number = error.errno or 0
        act = name.replace("_", " ")
        about = f" {error.filename!r}" if error.filename else ""
        _report(child, name, number, f"{act}{about}: {words(number)}", exit_code)
    except BaseException as error:  # nothing may unwind into a copy of our parent's stack
        _report(child, name, 0, f"{name}: {type(error).__name__}: {error}", exit_code)
    finally:
        os._exit(exit_code)


def _report(child: _Child, step: str, number: int, message: str, exit_code: int) -> None:
    text = shortened(message)
    record = {"step": step, "errno": number, "message": text, "exit_code": exit_code}
    os.write(child.report_fd, json.dumps(record).encode())


def _isolate(child: _Child) -> None:
    """Detach the child from its parent: make it non-dumpable, prevent imports, close descriptors,
    start a session, reset signals.
    """
    k.prctl(k.PR_SET_DUMPABLE, 0)
    sys.meta_path.clear()
    gc.disable()
    os.umask(0)
    if child.process.get("terminal"):
        child.stdio = None
    kept = [child.report_fd, child.console_socket, child.init_pidfd, *(child.stdio or ())]
    kept += child.joined.values()
    moved = {fd: _raised(fd) for fd in kept if fd is not None and fd >= 0}
    child.joined = {kind: moved[fd] for kind, fd in child.joined.items()}
    child.report_fd = moved[child.report_fd]
    child.init_pidfd = moved.get(child.init_pidfd, -1)
    if child.console_socket is not None:
        child.console_socket = moved[child.console_socket]
    if child.stdio is not None:
        for number, fd in enumerate(child.stdio):
            os.dup2(moved[fd], number)
    kept_fds = {child.report_fd, child.init_pidfd, child.console_socket or -1}
    _close_others(kept_fds.union(child.joined.values()))
    os.setsid()
    restore_signals()


def _raised(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _LOW_FDS)


def _close_others(kept: set[int]) -> None:
    """Close every descriptor above stdio but these."""
    first = 3
    for fd in sorted(fd for fd in kept if fd >= first):
        if fd > first:
            k.close_range(first, fd - 1)
        first = fd + 1
    k.close_range(first, _LAST_FD)


def _read_filter(child: _Child) -> None:
    if child.seccomp_path:
        with open(child.seccomp_path, "rb", buffering=0) as file:  # noqa: PTH123  (lean)
            child.seccomp = file.readall()


def _join_cgroups(child: _Child) -> None:
    """Move this process into the container's cgroups; "0" means the writer, whatever its PID
    namespace. cgroups(7).
    """
    for path in child.cgroup_procs:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        os.write(fd, b"0")
        os.close(fd)


def _adjust_oom_score(child: _Child) -> None:
    if (score := child.process.get("oomScoreAdj")) is not None:
        write_parameter("/proc/self/oom_score_adj", str(score))


def _clone_sources(child: _Child) -> None:
    """Clone what will be mounted from the host, while this process is still in its mount and cgroup
    namespaces.
    """
    for index, mount in enumerate(child.bundle.config.get("mounts", ())):
        if mount.get("type") == "cgroup":
            child.hierarchies = clone_hierarchies()
        elif mount.get("type") == "shm":
            child.binds[index] = clone_joined(mount, child.joined["shm"])
        elif parse_mount_options(mount.get("options", ())).bind:
            child.binds[index] = clone_bind(mount)


def _own_keyring(_child: _Child) -> None:
    """Join a new session keyring, so that the host's keys can't be seen, keyrings(7). Kernels
    without keyrings need none.
    """
    try:
        k.keyctl_join_session_keyring()
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise


def _mount_root(child: _Child) -> None:
    """Make all mounts private, so that later ones are not seen outside; then mount the layers, or
    bind a directory.
    """
    k.mount("none", "/", flags=k.MS_REC | k.MS_PRIVATE)
    target = os.path.join(child.bundle.directory, child.bundle.config["root"]["path"])  # noqa: PTH118
    if overlay := child.bundle.monitor.get("overlay"):
        mount_overlay(overlay, target)
    else:
        k.mount(target, target, flags=k.MS_BIND | k.MS_REC)
    child.root_fd = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _create_markers(child: _Child) -> None:
    """Create the markers in a writable layer of ours only, never in a directory of the host."""
    if child.bundle.monitor.get("overlay"):
        create_markers(child.root_fd)


def _mount_all(child: _Child) -> None:
    for index, mount in enumerate(child.bundle.config.get("mounts", ())):
        if index in child.binds:
            attach_bind(child.root_fd, mount, child.binds[index])
        elif mount.get("type") == "cgroup":
            mount_cgroups(child.root_fd, mount, child.hierarchies)
        else:
            mount_filesystem(child.root_fd, mount)


def _make_devices(child: _Child) -> None:
    """Fill /dev, unless a bind mount provides the whole directory."""
    mounts = child.bundle.config.get("mounts", ())
    dev_is_bind = any(mounts[index]["destination"].rstrip("/") == "/dev" for index in child.binds)
    if not dev_is_bind:
        make_devices(child.root_fd, child.bundle.config.get("linux", {}).get("devices", ()))


def _open_console(child: _Child) -> None:
    if not child.process.get("terminal"):
        return
    if child.console_socket is None:
        raise SetupFailed("a terminal was asked for, but no console socket given")
    pty = open_pty(child.root_fd, child.process.get("consoleSize"))
    child.slave_fd = pty.slave_fd
    if child.init_pidfd < 0:
        bind_console(child.root_fd, pty.slave_fd)
    send_master(child.console_socket, pty.master_fd)


def _hide_paths(child: _Child) -> None:
    linux = child.bundle.config.get("linux", {})
    make_read_only(child.root_fd, linux.get("readonlyPaths", ()))
    mask(child.root_fd, linux.get("maskedPaths", ()))


def _make_working_directory(child: _Child) -> None:
    """Create the working directory if it is missing, as Docker does; it belongs to root, whatever
    the user.
    """
    cwd = child.process.get("cwd") or "/"
    try:
        os.close(ensure_directory(child.root_fd, cwd, 0o755).fd)
    except NotADirectoryError as error:
        raise SetupFailed(f"Cannot mkdir: {cwd} is not a directory", error.errno or 0) from error


def _identify(child: _Child) -> None:
    child.identity = resolve_identity(child.root_fd, child.process.get("user", {}))
    child.environment = parse_environment(child.process.get("env", ()))
    child.environment["HOME"] = child.environment.get("HOME") or child.identity.home


def _pivot(child: _Child) -> None:
    root = child.bundle.config["root"]
    pivot(child.root_fd, read_only=root.get("readonly", False))
    _close_sources(child)
    propagation = child.bundle.config.get("linux", {}).get("rootfsPropagation")
    if propagation:
        k.mount(None, "/", flags=parse_mount_options([propagation]).propagation)


def _close_sources(child: _Child) -> None:
    """Close all descriptors of mounts; keep only the report pipe and the terminal."""
    _close_others({child.report_fd, child.slave_fd})


def _join_container(child: _Child) -> None:
    """Join all namespaces of the process behind the pidfd at once: setns(2) with a pidfd, Linux
    5.8.
    """
    k.setns(child.init_pidfd, EVERY_NAMESPACE)
    child.root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _set_limits(child: _Child) -> None:
    set_limits(child.process.get("rlimits", []))


def _take_stdio(child: _Child) -> None:
    """Make the terminal stdio and the session's terminal; then give stdio to the user, except for
    the shared null device.
    """
    if child.slave_fd >= 0:
        take_terminal(child.slave_fd)
        for number in range(3):
            os.dup2(child.slave_fd, number)
    for number in range(3):
        found = os.fstat(number)
        if found.st_uid != child.identity.uid and found.st_rdev != _NULL:
            _give(number, child.identity.uid)


def _give(fd: int, uid: int) -> None:
    try:
        os.fchown(fd, uid, -1)
    except OSError:
        # The owner of a socket or a read-only file can't be changed, but the descriptor is open
        # already.
        return


def _become_user(child: _Child) -> None:
    """Enter the working directory with root's rights if possible, else with the user's, as Docker
    does.
    """
    cwd = child.process.get("cwd") or "/"
    refused = _change_directory(cwd)
    limit_capabilities(child.process)
    become_user(child.identity, child.process.get("user", {}).get("umask"))
    if refused and _change_directory(cwd):
        raise command_refusal(
            f'chdir to cwd ("{cwd}") set in config.json failed: {words(refused)}', refused
        )


def _change_directory(path: str) -> int:
    try:
        os.chdir(path)
    except OSError as error:
        return error.errno or 0
    return 0


def _find_executable(child: _Child) -> None:
    args = child.process.get("args", [])
    if not args:
        raise SetupFailed("No command specified")
    child.executable = find_executable(args[0], child.environment)


def _drop_privileges(child: _Child) -> None:
    _close_others({child.report_fd})
    die_with_parent(child.report_fd, signal.SIGKILL)
    drop_privileges(child.process, child.identity, child.seccomp)


def _execute(child: _Child) -> None:
    execute(child.executable, child.process["args"], child.environment)


Steps = tuple[tuple[str, Callable[[_Child], None]], ...]

_LAST_STEPS: Final[Steps] = (
    ("set_limits", _set_limits),
    ("take_stdio", _take_stdio),
    ("become_user", _become_user),
    ("find_executable", _find_executable),
    ("drop_privileges", _drop_privileges),
    ("execute", _execute),
)
INIT_STEPS: Final[Steps] = (
    ("isolate", _isolate),
    ("read_filter", _read_filter),
    ("join_cgroups", _join_cgroups),
    ("adjust_oom_score", _adjust_oom_score),
    ("own_keyring", _own_keyring),
    ("clone_sources", _clone_sources),
    ("enter_namespaces", lambda child: enter_namespaces(child.bundle.config, child.joined)),
    ("name_host", lambda child: name_host(child.bundle.config)),
    ("set_sysctls", lambda child: set_sysctls(child.bundle.config)),
    ("mount_root", _mount_root),
    ("create_markers", _create_markers),
    ("mount_all", _mount_all),
    ("make_devices", _make_devices),
    ("open_console", _open_console),
    ("make_working_directory", _make_working_directory),
    ("hide_paths", _hide_paths),
    ("identify", _identify),
    ("pivot", _pivot),
    *_LAST_STEPS,
)
"""The steps to a container's first process."""
EXEC_STEPS: Final[Steps] = (
    ("isolate", _isolate),
    ("read_filter", _read_filter),
    ("join_cgroups", _join_cgroups),
    ("adjust_oom_score", _adjust_oom_score),
    ("own_keyring", _own_keyring),
    ("join_container", _join_container),
    ("open_console", _open_console),
    ("identify", _identify),
    *_LAST_STEPS,
)
"""The steps to one more process of a container."""
