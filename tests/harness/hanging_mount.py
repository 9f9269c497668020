"""Mount a file system that never answers: FUSE whose server has opened the device and reads
nothing. fuse(4).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.runtime import linux


@dataclass(frozen=True)
class HangingMount:
    """A mounted file system that never answers."""

    path: Path
    _abort: Path

    def abort(self) -> None:
        """Abort the connection: hanging and later calls get ENOTCONN."""
        if self._abort.exists():
            self._abort.write_text("1")


@contextmanager
def hanging_mount(place: Path) -> Iterator[HangingMount]:
    """Mount one; it is aborted at the end, so that no thread stays in it."""
    target, control = place / "hang", place / "fusectl"
    target.mkdir()
    control.mkdir()
    device_fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    try:
        linux.mount("fusectl", str(control), "fusectl")
        linux.mount(
            "hang",
            str(target),
            "fuse.hang",
            linux.MS_NOSUID | linux.MS_NODEV,
            f"fd={device_fd},rootmode=40000,user_id=0,group_id=0",
        )
        mounted = HangingMount(target, control / _connection(target) / "abort")
        try:
            yield mounted
        finally:
            mounted.abort()
            linux.umount2(str(target), linux.MNT_DETACH)
    finally:
        linux.umount2(str(control), linux.MNT_DETACH)
        os.close(device_fd)


def _connection(target: Path) -> str:
    """Return the connection's number: the minor number of the device, which mountinfo has without
    asking the server.
    """
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[4] == str(target):
            return fields[2].partition(":")[2]
    raise AssertionError(f"{target} is not mounted")


def threads_waiting(pid: int) -> int:
    """Return how many threads of a process wait for a FUSE server."""
    waits = Path(f"/proc/{pid}/task").glob("*/wchan")
    return sum("fuse" in _read(each) for each in waits)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):  # the thread has ended
        return ""
