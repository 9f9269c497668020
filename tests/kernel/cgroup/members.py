"""Make containers' cgroups, with processes in them."""

import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

from engine.domain.container.resources import Resources
from engine.domain.ids import ContainerId
from engine.drivers.cgroups import files as cgroup_files
from engine.drivers.cgroups.detect import CgroupDriver
from engine.drivers.cgroups.hierarchies import find_hierarchies
from engine.runtime.mountinfo import mounts

MIB = 1 << 20


ID = ContainerId("c0" * 32)


OTHER = ContainerId("d1" * 32)


PARENT = f"shipslog-test-{os.getpid()}"


PATIENCE_S = 5.0


def places(name: str = PARENT) -> list[Path]:
    found = find_hierarchies(mounts())
    roots = {*found.controllers.values(), *([found.unified] if found.unified else [])}
    return [root / name for root in roots if (root / name).exists()]


def control(name: str, container: ContainerId = ID) -> str:
    """Return a control file's content, in whichever hierarchy its controller is."""
    found = [place / container / name for place in places()]
    return next(path.read_text().strip() for path in found if path.exists())


class Member:
    """A process in a container's cgroups that does one thing."""

    def __init__(
        self, driver: CgroupDriver, work: Callable[[int], object], container: ContainerId = ID
    ) -> None:
        files = driver.procs_files(container)
        self._pipe, theirs = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                for path in files:
                    cgroup_files.write(Path(path), "0")
                os.write(theirs, b"!")
                work(theirs)
            except BaseException:  # nothing may unwind into a copy of the test's stack
                os._exit(99)
            finally:
                os._exit(0)
        os.close(theirs)
        assert os.read(self._pipe, 1) == b"!", "it could not join"

    def says(self) -> bytes:
        """Return what it writes next; empty when it has ended."""
        return os.read(self._pipe, 1)

    def is_silent(self, for_s: float) -> bool:
        return not select.select([self._pipe], [], [], for_s)[0]

    def drain(self) -> None:
        while not self.is_silent(0):
            os.read(self._pipe, 65536)

    def ended(self) -> int:
        """Return its exit status, negative for a signal."""
        _, status = os.waitpid(self.pid, 0)
        os.close(self._pipe)
        return os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.ended()


def wait_quietly(_: int) -> None:
    signal.pause()


def eventually(condition: Callable[[], bool]) -> bool:
    return cgroup_files.retry(condition, time.monotonic() + PATIENCE_S)


LIMITS = Resources(
    memory_bytes=64 * MIB,
    memory_swap_bytes=96 * MIB,
    memory_reservation_bytes=32 * MIB,
    cpu_shares=512,
    nano_cpus=500_000_000,
    cpuset_cpus="0",
    cpuset_mems="0",
    pids_max=100,
)
