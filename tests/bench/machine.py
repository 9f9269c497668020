"""What the machine does without an engine: processes made by hand, and what /proc says about
any.
"""

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
    """How long some work takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def pss_mb(pid: int) -> float:
    """A process's share of memory: pages that several use are divided among them.
    proc_pid_smaps(5)."""
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
    """Fields 3 and following of ``/proc/PID/stat``; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def runs(pid: int) -> bool:
    """Whether there is such a process, and it is not only waiting to be reaped."""
    fields = stat(pid)
    return bool(fields) and fields[0] not in "ZX"


def parent(pid: int) -> int:
    """Who started it, or adopted it."""
    return int(stat(pid)[1])


def processes() -> Iterator[int]:
    """All there are."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208  (pids, not paths)


def with_children(pid: int) -> Iterator[int]:
    """A process and its descendants: proc_tid_children(5)."""
    yield pid
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for born in (thread / "children").read_text().split():
            yield from with_children(int(born))


def peer(path: str) -> int:
    """The process that listens at a Unix socket: SO_PEERCRED, unix(7)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.connect(path)
        credentials = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[:4], "little")


@contextmanager
def child(become: Work) -> Iterator[int]:
    """A fork that does something, or sleeps after it; gone at the end."""
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
    """SIGKILL, and wait."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def spawn_isolated(*arguments: str, network: bool = False) -> int:
    """Fork, unshare what a container has of its own, fork its first process; returns when that
    executes busybox.

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
    """What an exec comes to: fork, join the namespaces of a process, fork, execute there, wait."""
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
    """SIGKILL to the inner processes, all first and so at the same time; returns when they are
    reaped."""
    inner = [pid for each in outer for pid in with_children(each) if pid != each]
    for pid in inner:
        os.kill(pid, signal.SIGKILL)
    for pid in outer:
        os.waitpid(pid, 0)


def inside_network(pid: int, make: Callable[[], Stream]) -> Stream:
    """A socket made in a process's network namespace; it stays there whoever uses it, setns(2)."""
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
