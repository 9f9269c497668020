# ruff: noqa: D402  (a summary ends in the manual page that is its source: "setns(2)")
"""Define constants, structs and checked system calls that Python does not offer.

A constant keeps its header's name; a wrapper has the call's name, its
order of arguments and no policy. Python's own call is used where it exists: ``os.pidfd_open``,
``signal.pidfd_send_signal``, ``os.memfd_create``, ``os.setxattr``, ``socket.sethostname``,
``resource.setrlimit``, ``fcntl.ioctl``.

Every wrapper raises ``OSError`` with the kernel's errno; *Raises* lists only errors that callers
handle. Paths are ``str``, undecodable bytes as ``os.fsdecode`` makes them. A returned descriptor is
``O_CLOEXEC``, and the caller closes it.
"""

import ctypes
import os
import signal
from typing import Any, Final

# linux/sched.h: namespaces(7)
CLONE_FS: Final = 0x00000200
CLONE_NEWNS: Final = 0x00020000
CLONE_INTO_CGROUP: Final = 0x2_0000_0000
CLONE_NEWCGROUP: Final = 0x02000000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000

# linux/mount.h: mount(2), umount(2)
MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_SYNCHRONOUS: Final = 16
MS_REMOUNT: Final = 32
MS_MANDLOCK: Final = 64
MS_DIRSYNC: Final = 128
MS_NOSYMFOLLOW: Final = 256
MS_NOATIME: Final = 1024
MS_NODIRATIME: Final = 2048
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_SILENT: Final = 32768
MS_UNBINDABLE: Final = 1 << 17
MS_PRIVATE: Final = 1 << 18
MS_SLAVE: Final = 1 << 19
MS_SHARED: Final = 1 << 20
MS_RELATIME: Final = 1 << 21
MS_STRICTATIME: Final = 1 << 24
MS_LAZYTIME: Final = 1 << 25
MNT_DETACH: Final = 2
UMOUNT_NOFOLLOW: Final = 8

# linux/mount.h: mount_setattr(2), open_tree(2), move_mount(2)
MOUNT_ATTR_RDONLY: Final = 0x00000001
MOUNT_ATTR_NOSUID: Final = 0x00000002
MOUNT_ATTR_NODEV: Final = 0x00000004
MOUNT_ATTR_NOEXEC: Final = 0x00000008
MOUNT_ATTR__ATIME: Final = 0x00000070
MOUNT_ATTR_RELATIME: Final = 0x00000000
MOUNT_ATTR_NOATIME: Final = 0x00000010
MOUNT_ATTR_STRICTATIME: Final = 0x00000020
MOUNT_ATTR_NODIRATIME: Final = 0x00000080
MOUNT_ATTR_NOSYMFOLLOW: Final = 0x00200000
OPEN_TREE_CLONE: Final = 1
OPEN_TREE_CLOEXEC: Final = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH: Final = 0x00000004
MOVE_MOUNT_T_EMPTY_PATH: Final = 0x00000040

# fcntl.h, linux/fcntl.h: what Python's os lacks
AT_FDCWD: Final = -100
AT_EMPTY_PATH: Final = 0x1000
AT_RECURSIVE: Final = 0x8000

# linux/openat2.h: openat2(2)
RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08
RESOLVE_IN_ROOT: Final = 0x10
RESOLVE_CACHED: Final = 0x20

# sys/inotify.h: inotify(7)
IN_MODIFY: Final = 0x00000002
IN_MOVED_FROM: Final = 0x00000040
IN_MOVED_TO: Final = 0x00000080
IN_CREATE: Final = 0x00000100
IN_DELETE: Final = 0x00000200
IN_MOVE_SELF: Final = 0x00000800
IN_DELETE_SELF: Final = 0x00000400
IN_ONLYDIR: Final = 0x01000000
IN_CLOEXEC: Final = os.O_CLOEXEC
IN_NONBLOCK: Final = os.O_NONBLOCK

# linux/fanotify.h
FAN_MODIFY: Final = 0x00000002
FAN_CLOEXEC: Final = 0x00000001
FAN_NONBLOCK: Final = 0x00000002
FAN_REPORT_FID: Final = 0x00000200
FAN_MARK_ADD: Final = 0x00000001
FAN_MARK_FILESYSTEM: Final = 0x00000100
FAN_EVENT_METADATA: Final = "=IBBHQii"
"""struct fanotify_event_metadata: length, version, reserved, length of this, mask, descriptor,
pid.
"""

# linux/memfd.h: memfd_create(2)
MFD_EXEC: Final = 0x0010

# malloc.h of glibc
M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8

# linux/prctl.h: prctl(2)
PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_SET_KEEPCAPS: Final = 8
PR_SET_NAME: Final = 15
PR_CAPBSET_DROP: Final = 24
PR_SET_NO_NEW_PRIVS: Final = 38
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_RAISE: Final = 2

# linux/capability.h: capabilities(7)
LINUX_CAPABILITY_VERSION_3: Final = 0x20080522

# linux/seccomp.h: seccomp(2)
SECCOMP_SET_MODE_FILTER: Final = 1
SOCK_FILTER_BYTES: Final = 8
"""sizeof(struct sock_filter), linux/filter.h."""

# linux/keyctl.h: keyctl(2)
KEYCTL_JOIN_SESSION_KEYRING: Final = 1

# asm-generic/ioctls.h: what Python's termios lacks, ioctl_tty(2)
TIOCSPTLCK: Final = 0x40045431
TIOCGPTPEER: Final = 0x5441


_MACHINE: Final = os.uname().machine
# asm/unistd.h. From 424 on, a call has the same number on every architecture.
_NR_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}.get(_MACHINE, -1)
_NR_KEYCTL: Final = {"x86_64": 250, "aarch64": 219}.get(_MACHINE, -1)
_NR_PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41}.get(_MACHINE, -1)
_NR_OPEN_TREE: Final = 428
_NR_MOVE_MOUNT: Final = 429
_NR_CLONE3: Final = 435
_NR_CLOSE_RANGE: Final = 436
_NR_OPENAT2: Final = 437
_NR_MOUNT_SETATTR: Final = 442


class _OpenHow(ctypes.Structure):
    """struct open_how, linux/openat2.h."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


class _MountAttr(ctypes.Structure):
    """struct mount_attr, linux/mount.h."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


class _SockFprog(ctypes.Structure):
    """struct sock_fprog, linux/filter.h."""

    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))


class _CapHeader(ctypes.Structure):
    """struct __user_cap_header_struct, linux/capability.h."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapData(ctypes.Structure):
    """struct __user_cap_data_struct: the low words of the three sets; a second one has the high
    words.
    """

    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


Prototype = Any  # ctypes functions have no types; the wrappers below do
_libc: Final = ctypes.CDLL(None, use_errno=True)
_clone: Final = ctypes.PyDLL(None, use_errno=True).syscall
_clone.restype = ctypes.c_long
_clone.argtypes = (ctypes.c_long, ctypes.c_void_p, ctypes.c_size_t)
_before_fork: Final = ctypes.pythonapi.PyOS_BeforeFork
_after_fork_in_child: Final = ctypes.pythonapi.PyOS_AfterFork_Child
_after_fork_in_parent: Final = ctypes.pythonapi.PyOS_AfterFork_Parent
for _hook in (_before_fork, _after_fork_in_child, _after_fork_in_parent):
    _hook.restype, _hook.argtypes = None, ()
_long, _int, _uint = ctypes.c_long, ctypes.c_int, ctypes.c_uint
_ulong, _text = ctypes.c_ulong, ctypes.c_char_p


def _function(name: str, *argtypes: type[Any]) -> Prototype:
    function = _libc[name]
    function.argtypes = argtypes
    return function


def system_call(*argtypes: type[Any]) -> Prototype:
    """Return syscall(2) for calls that libc may not know, with its own prototype."""
    function = _function("syscall", _long, *argtypes)
    function.restype = _long
    return function


_unshare = _function("unshare", _int)
_setns = _function("setns", _int, _int)
_mount = _function("mount", _text, _text, _text, _ulong, _text)
_umount2 = _function("umount2", _text, _int)
_prctl = _function("prctl", _int, _ulong, _ulong, _ulong, _ulong)
_capget = _function("capget", ctypes.POINTER(_CapHeader), ctypes.POINTER(_CapData))
_capset = _function("capset", ctypes.POINTER(_CapHeader), ctypes.POINTER(_CapData))
_inotify_init1 = _function("inotify_init1", _int)
_inotify_add_watch = _function("inotify_add_watch", _int, _text, ctypes.c_uint32)
_inotify_rm_watch = _function("inotify_rm_watch", _int, _int)
_fanotify_init = _function("fanotify_init", _uint, _uint)
_fanotify_mark = _function("fanotify_mark", _int, _uint, ctypes.c_uint64, _int, _text)
_pivot_root = system_call(_text, _text)
_open_tree = system_call(_int, _text, _uint)
_move_mount = system_call(_int, _text, _int, _text, _uint)
_mount_setattr = system_call(_int, _text, _uint, ctypes.POINTER(_MountAttr), ctypes.c_size_t)
_openat2 = system_call(_int, _text, ctypes.POINTER(_OpenHow), ctypes.c_size_t)
_close_range = system_call(_uint, _uint, _uint)
_seccomp = system_call(_uint, _uint, ctypes.POINTER(_SockFprog))
_keyctl = system_call(_int, _text)


def checked(result: int, call: str, path: str | None = None) -> int:
    """Return the result of a call.

    Raises:
        OSError: it is -1: errno, in words that name the call.
    """
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}", path)
    return result


def _encoded(path: str | None) -> bytes | None:
    return None if path is None else os.fsencode(path)


class clone_args(ctypes.Structure):  # noqa: N801  (the header's name)
    """struct clone_args, linux/sched.h: CLONE_ARGS_SIZE_VER2."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("pidfd", ctypes.c_uint64),
        ("child_tid", ctypes.c_uint64),
        ("parent_tid", ctypes.c_uint64),
        ("exit_signal", ctypes.c_uint64),
        ("stack", ctypes.c_uint64),
        ("stack_size", ctypes.c_uint64),
        ("tls", ctypes.c_uint64),
        ("set_tid", ctypes.c_uint64),
        ("set_tid_size", ctypes.c_uint64),
        ("cgroup", ctypes.c_uint64),
    )


def fork_into_cgroup(cgroup_fd: int) -> int:
    """Fork like ``os.fork()``, but create the child in the version 2 cgroup behind a directory's
    descriptor. clone3(2).

    Only for a process with one thread: the C library does not notice the fork. This costs 0.1 ms; a
    process that is moved by ``cgroup.procs`` waits for all others that fork or exit, often for 10
    ms and more.

    Raises:
        OSError: EOPNOTSUPP if the cgroup can't hold processes; EACCES; EBUSY.
    """
    arguments = clone_args(flags=CLONE_INTO_CGROUP, exit_signal=signal.SIGCHLD, cgroup=cgroup_fd)
    _before_fork()
    # The interpreter's lock is held during the call: in the child no other thread could release it.
    pid = _clone(_NR_CLONE3, ctypes.byref(arguments), ctypes.sizeof(arguments))
    if pid == 0:
        _after_fork_in_child()
        return 0
    number = ctypes.get_errno()
    _after_fork_in_parent()
    if pid == -1:
        raise OSError(number, f"clone3: {os.strerror(number)}")
    return int(pid)


def unshare(flags: int) -> None:
    """Leave the namespaces named by ``CLONE_NEW*`` for new ones. The next child is the init of a
    new PID namespace. unshare(2).
    """
    checked(_unshare(flags), "unshare")


def setns(fd: int, nstype: int) -> None:
    """Move the calling *thread*, not the process, into the namespace behind ``fd``. setns(2).

    ``fd`` may be a pidfd: then ``nstype`` is a mask and the thread joins all of them at once, or
    none (Linux 5.8).

    Raises:
        OSError: EPERM without CAP_SYS_ADMIN over the target; EINVAL when ``fd`` is of another type;
            ESRCH when the process behind a pidfd is gone.
    """
    checked(_setns(fd, nstype), "setns")


def mount(
    source: str | None,
    target: str,
    filesystemtype: str | None = None,
    flags: int = 0,
    data: str | None = None,
) -> None:
    """Mount a file system, or change a mount: ``flags`` are ``MS_*``, ``data`` at most a page.
    mount(2).
    """
    result = _mount(
        _encoded(source), _encoded(target), _encoded(filesystemtype), flags, _encoded(data)
    )
    checked(result, "mount", target)


def umount2(target: str, flags: int = 0) -> None:
    """Detach the topmost mount at a path; ``flags`` are ``MNT_*``. umount(2).

    Raises:
        OSError: EINVAL when nothing is mounted there; EBUSY, never with MNT_DETACH.
    """
    checked(_umount2(_encoded(target), flags), "umount2", target)


def pivot_root(new_root: str, put_old: str) -> None:
    """Make ``new_root`` the root mount, and move the old one to ``put_old``; both may be ``"."``.
    pivot_root(2).

    Raises:
        OSError: EINVAL when ``new_root`` is no mount point or a parent's propagation is shared.
    """
    checked(
        _pivot_root(_NR_PIVOT_ROOT, _encoded(new_root), _encoded(put_old)), "pivot_root", new_root
    )


def open_tree(dirfd: int, path: str, flags: int) -> int:
    """Return a descriptor of a mount, or with ``OPEN_TREE_CLONE`` of a detached copy of it.
    open_tree(2), Linux 5.2.
    """
    return checked(
        _open_tree(_NR_OPEN_TREE, dirfd, _encoded(path), flags | OPEN_TREE_CLOEXEC),
        "open_tree",
        path,
    )


def move_mount(from_dirfd: int, from_path: str, to_dirfd: int, to_path: str, flags: int) -> None:
    """Attach a detached mount, or move one; empty paths need ``MOVE_MOUNT_?_EMPTY_PATH``.
    move_mount(2), Linux 5.2.
    """
    result = _move_mount(
        _NR_MOVE_MOUNT, from_dirfd, _encoded(from_path), to_dirfd, _encoded(to_path), flags
    )
    checked(result, "move_mount", to_path)


def mount_setattr(
    dirfd: int, path: str, flags: int, attr_set: int = 0, attr_clr: int = 0, propagation: int = 0
) -> None:
    """Change a mount's attributes; with ``AT_RECURSIVE`` also those of all mounts below it, all or
    none. mount_setattr(2), Linux 5.12.
    """
    attr = _MountAttr(attr_set, attr_clr, propagation, 0)
    result = _mount_setattr(
        _NR_MOUNT_SETATTR, dirfd, _encoded(path), flags, attr, ctypes.sizeof(attr)
    )
    checked(result, "mount_setattr", path)


def openat2(dirfd: int, path: str, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """Open a path, restricting by ``RESOLVE_*`` how it may be resolved. openat2(2), Linux 5.6.

    Raises:
        OSError: EXDEV when the path would leave ``dirfd``; ELOOP for a forbidden link; EAGAIN when
            a rename raced with the resolution (or, with RESOLVE_CACHED, when it was not cached):
            try again.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    return checked(
        _openat2(_NR_OPENAT2, dirfd, _encoded(path), how, ctypes.sizeof(how)), "openat2", path
    )


def close_range(first: int, last: int, flags: int = 0) -> None:
    """Close the descriptors from ``first`` to ``last``, both included, or mark them.
    close_range(2), Linux 5.9.
    """
    checked(_close_range(_NR_CLOSE_RANGE, first, last, flags), "close_range")


def inotify_init1() -> int:
    """Return a descriptor that becomes readable when a watched event happens; reading never blocks.
    inotify_init(2).

    Raises:
        OSError: EMFILE when this user has ``fs.inotify.max_user_instances`` of them.
    """
    return checked(_inotify_init1(IN_CLOEXEC | IN_NONBLOCK), "inotify_init1")


def inotify_add_watch(fd: int, path: str, mask: int) -> int:
    """Watch a path for ``IN_*``; return the watch descriptor. inotify_add_watch(2).

    Raises:
        OSError: ENOENT; ENOSPC when this user has ``fs.inotify.max_user_watches`` of them.
    """
    return checked(_inotify_add_watch(fd, _encoded(path), mask), "inotify_add_watch", path)


def inotify_rm_watch(fd: int, wd: int) -> None:
    """Stop watching. inotify_rm_watch(2).

    Raises:
        OSError: EINVAL when the watch has ended by itself: what it watched is gone.
    """
    checked(_inotify_rm_watch(fd, wd), "inotify_rm_watch")


def fanotify_init(flags: int, event_f_flags: int) -> int:
    """A descriptor from which events of whole file systems are read. fanotify_init(2).

    Raises:
        OSError: EPERM without CAP_SYS_ADMIN; ENOSYS where the kernel was built without it; EMFILE.
    """
    return checked(_fanotify_init(flags, event_f_flags), "fanotify_init")


def fanotify_mark(fd: int, flags: int, mask: int, dirfd: int, path: str) -> None:
    """Add or remove what is reported. fanotify_mark(2), FAN_MARK_FILESYSTEM since Linux 4.20.

    Raises:
        OSError: EINVAL when the kernel is older; ENOENT.
    """
    checked(_fanotify_mark(fd, flags, mask, dirfd, _encoded(path)), "fanotify_mark", path)


def prctl(option: int, arg2: int = 0, arg3: int = 0, arg4: int = 0, arg5: int = 0) -> int:
    """Operate on the calling thread; the options here take numbers only. prctl(2)."""
    return checked(_prctl(option, arg2, arg3, arg4, arg5), "prctl")


def mallopt(option: int, value: int) -> bool:
    """Set an option of the C library's allocator.

    Returns False if the library has no such option: it is not glibc. mallopt(3).
    """
    function = getattr(_libc, "mallopt", None)
    return function is not None and bool(function(option, value))


def set_process_name(name: str) -> None:
    """Set the command name of the calling thread that ps(1) shows: at most 15 bytes, PR_SET_NAME of
    prctl(2).
    """
    text = ctypes.create_string_buffer(os.fsencode(name))
    checked(_prctl(PR_SET_NAME, ctypes.addressof(text), 0, 0, 0), "prctl")


def capget() -> tuple[int, int, int]:
    """Return the calling thread's effective, permitted and inheritable capabilities, bit n for
    capability n. capget(2).
    """
    header, sets = _CapHeader(LINUX_CAPABILITY_VERSION_3, 0), (_CapData * 2)()
    checked(_capget(header, sets), "capget")
    low, high = sets
    return (
        high.effective << 32 | low.effective,
        high.permitted << 32 | low.permitted,
        high.inheritable << 32 | low.inheritable,
    )


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set the calling thread's capabilities, bit n for capability n. capset(2).

    Raises:
        OSError: EPERM for a permitted capability that it does not have.
    """
    header, sets = _CapHeader(LINUX_CAPABILITY_VERSION_3, 0), (_CapData * 2)()
    word = 0xFFFFFFFF
    sets[0] = _CapData(effective & word, permitted & word, inheritable & word)
    sets[1] = _CapData(effective >> 32, permitted >> 32, inheritable >> 32)
    checked(_capset(header, sets), "capset")


def seccomp_set_mode_filter(program: bytes, flags: int = 0) -> None:
    """Install a filter, an array of struct sock_filter, permanently; needs no_new_privs or
    CAP_SYS_ADMIN. seccomp(2).

    Raises:
        OSError: EINVAL when the program is malformed or longer than 4096 instructions.
    """
    fprog = _SockFprog(len(program) // SOCK_FILTER_BYTES, program)
    checked(_seccomp(_NR_SECCOMP, SECCOMP_SET_MODE_FILTER, flags, fprog), "seccomp")


def keyctl_join_session_keyring(name: str | None = None) -> int:
    """Replace the host's session keyring by a new one, so that its keys can't be seen inside.
    keyctl(2).

    Raises:
        OSError: ENOSYS on a kernel without keyrings; EDQUOT when this user has too many.
    """
    return checked(_keyctl(_NR_KEYCTL, KEYCTL_JOIN_SESSION_KEYRING, _encoded(name)), "keyctl")


def write_u32(address: int, value: int) -> None:
    """Write four bytes into the memory of this process; the address is not checked."""
    ctypes.c_uint32.from_address(address).value = value
