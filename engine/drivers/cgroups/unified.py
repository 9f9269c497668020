"""Freeze, kill and watch cgroups of version 2, without any controller.

Sources: cgroup-v2.rst, Core Interface Files.
"""

from pathlib import Path
from typing import Final

from engine.drivers.cgroups import files
from engine.errors import DriverError

FREEZE_TIMEOUT_S: Final = 2.0
"""How long a freeze may take. A process inside the kernel freezes when it leaves it; one that waits
for a dead disk never does.
"""


def freeze(directory: Path) -> None:
    """Freeze all processes; return when all are frozen.

    Raises:
        DriverError: one did not freeze in time; all are thawed again.
    """
    files.demand(directory / "cgroup.freeze", "1")
    if not files.wait_for_event(directory, "frozen", 1, FREEZE_TIMEOUT_S):
        thaw(directory)
        raise DriverError(f"freeze {directory}: a process did not stop in {FREEZE_TIMEOUT_S:g} s")


def thaw(directory: Path) -> None:
    """Thaw all processes; do nothing when the cgroup is gone."""
    try:
        files.write(directory / "cgroup.freeze", "0")
    except OSError as error:
        if error.errno not in files.GONE:
            raise DriverError(f"thaw {directory}: {error.strerror}") from error


def is_frozen(directory: Path) -> bool:
    """True if all processes are frozen."""
    return _event(directory, "frozen")


def populated(directory: Path) -> bool:
    """True if there is a process in the cgroup or below."""
    return _event(directory, "populated")


def kill(directory: Path) -> bool:
    """Send SIGKILL to the whole tree through ``cgroup.kill``, which no fork escapes (Linux 5.14).

    Returns:
        False when this kernel lacks it.
    """
    try:
        files.write(directory / "cgroup.kill", "1")
    except OSError as error:
        if error.errno not in files.GONE:
            raise DriverError(f"kill {directory}: {error.strerror}") from error
        return not directory.is_dir()
    return True


def _event(directory: Path, key: str) -> bool:
    events = files.parse_flat(files.read_or(directory / "cgroup.events", ""))
    return events.get(key, 0) == 1
