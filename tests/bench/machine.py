"""Start processes without an engine, for the floors, and read what /proc says about any process."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

from engine.cli.builtin_image import find_busybox
from engine.runtime import linux

Stream = socket.socket
Work = Callable[[], object]
BUSYBOX: Final = find_busybox()
KIB_PER_MB: Final = 1000 * 1000 / 1024
_NAMESPACES: Final = (
    linux.CLONE_NEWPID | linux.CLONE_NEWNS | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC
)


def milliseconds(work: Work) -> float:
    """Return how long a function takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def pss_mb(pid: int) -> float:
    """Return a process's share of memory: pages that several processes use are divided among them.
    proc_pid_smaps(5).
    """
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / KIB_PER_MB
    return 0.0


def cpu_s(pid: int) -> float:
    """Return the processor time of a process, ended threads included; 0 when there is no such
    process.

    The clock's number is made as clock_getcpuclockid(3) makes it (linux/posix-timers.h,
    CPUCLOCK_SCHED). It counts nanoseconds, where ``/proc/PID/stat`` counts hundredths of a second.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def stat(pid: int) -> list[str]:
    """Return fields 3 and following of ``/proc/PID/stat``; empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def runs(pid: int) -> bool:
    """True if there is such a process, and it is not a zombie."""
    fields = stat(pid)
    return bool(fields) and fields[0] not in "ZX"


def parent(pid: int) -> int:
    """Return the pid of the parent."""
    return int(stat(pid)[1])


def processes() -> Iterator[int]:
    """Return all pids."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208  (pids, not paths)


def with_children(pid: int) -> Iterator[int]:
    """Return a process and its descendants: proc_tid_children(5)."""
    yield pid
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for born in (thread / "children").read_text().split():
            yield from with_children(int(born))


def peer(path: str) -> int:
    """Return the process that listens at a Unix socket: SO_PEERCRED, unix(7)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.connect(path)
        credentials = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[:4], "little")


@contextmanager
def child(become: Work) -> Iterator[int]:
    """Fork a child that runs a function, or sleeps after it; kill it at the end of the block."""
    pid = os.fork()
    if pid == 0:
        _live(become)
    try:
        yield pid
    finally:
        end(pid)


def _live(become: Callable[[], object]) -> NoReturn:
    try:
        become()
        while True:
            signal.pause()
    finally:
        os._exit(1)


def end(pid: int) -> None:
    """Send SIGKILL, and wait."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def spawn_isolated(*arguments: str, network: bool = False) -> int:
    """Fork, unshare a container's namespaces, fork its first process; return when that executes
    busybox.

    The pid is the outer process's, which waits for the inner one and dies with it.
    """
    executed, report = os.pipe()  # O_CLOEXEC: execve(2) closes the writing end
    pid = os.fork()
    if pid == 0:
        os.close(executed)
        _isolate(arguments, linux.CLONE_NEWNET if network else 0)
    os.close(report)
    os.read(executed, 1)
    os.close(executed)
    return pid


def _isolate(arguments: tuple[str, ...], more: int) -> NoReturn:
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        linux.unshare(_NAMESPACES | more)
        inner = os.fork()
        if inner == 0:
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
            os.execv(BUSYBOX, ["busybox", *arguments])
        os.closerange(3, 64)
        os.waitpid(inner, 0)
    finally:
        os._exit(0)


def join_and_run(pid: int, *arguments: str) -> None:
    """Do the same as an exec: fork, join the namespaces of a process, fork, execute there, wait."""
    joined = os.fork()
    if joined == 0:
        _join(pid, arguments)
    os.waitpid(joined, 0)


def _join(pid: int, arguments: tuple[str, ...]) -> NoReturn:
    try:
        linux.setns(os.pidfd_open(pid), _NAMESPACES | linux.CLONE_NEWNET)
        inner = os.fork()
        if inner == 0:
            os.execv("/bin/busybox", ["busybox", *arguments])
        os.waitpid(inner, 0)
    finally:
        os._exit(0)


def end_isolated(*outer: int) -> None:
    """Send SIGKILL to all inner processes, and so end them at the same time; return when they are
    reaped.
    """
    inner = [pid for each in outer for pid in with_children(each) if pid != each]
    for pid in inner:
        os.kill(pid, signal.SIGKILL)
    for pid in outer:
        os.waitpid(pid, 0)


def inside_network(pid: int, make: Callable[[], Stream]) -> Stream:
    """Make a socket in a process's network namespace; it stays there whichever thread uses it,
    setns(2).
    """
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        linux.setns(there, linux.CLONE_NEWNET)
        try:
            return make()
        finally:
            linux.setns(own, linux.CLONE_NEWNET)
    finally:
        os.close(there)
        os.close(own)
