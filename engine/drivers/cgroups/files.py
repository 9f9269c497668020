"""Read and write control files, and explain the kernel's refusals.

A control file takes one value with one write(2), and refuses by errno. A cgroup that is gone
answers ENOENT, or ENODEV through a descriptor that outlived it.
"""

import errno
import os
import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from engine.drivers.cgroups.settings import INHERITED, Setting
from engine.errors import DriverError

GONE: Final = frozenset({errno.ENOENT, errno.ENODEV})
_READ_BYTES: Final = 64 << 10
_FIRST_DELAY_S: Final = 0.0005
_DELAY_MAX_S: Final = 0.02


def write(path: Path, *values: str) -> None:
    """Write each value by a system call of its own.

    Raises:
        OSError: the kernel refuses; the caller knows what that means.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        for value in values:
            os.write(fd, value.encode())
    finally:
        os.close(fd)


def demand(path: Path, *values: str) -> None:
    """Write values; a refusal is an error.

    Raises:
        DriverError: the kernel refuses.
    """
    try:
        write(path, *values)
    except OSError as error:
        wanted = f'"{values[0]}"' if len(values) == 1 else "its values"
        reason = (error.strerror or str(error)).lower()
        raise DriverError(f"failed to write {wanted}: write {path}: {reason}") from error


def apply(directory: Path, setting: Setting) -> None:
    """Write a limit into the first of its files that exists.

    Raises:
        DriverError: the kernel refuses, or has no such file.
    """
    paths = [directory / name for name in setting.files]
    path = next((path for path in paths if path.exists()), paths[0])
    if setting.is_optional and not path.exists():
        return
    inherited = setting.value == INHERITED
    demand(path, read(directory.parent / path.name) if inherited else setting.value)


def read(path: Path) -> str:
    """Return the whole file without its last newline.

    Raises:
        OSError: ENOENT or ENODEV when the cgroup is gone.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, _READ_BYTES):
            parts.append(part)
    finally:
        os.close(fd)
    return b"".join(parts).decode().rstrip("\n")


def read_or(path: Path, missing: str) -> str:
    """Like :func:`read`, but return ``missing`` when there is no such cgroup or no such file."""
    try:
        return read(path)
    except OSError as error:
        if error.errno in GONE:
            return missing
        raise DriverError(f"read {path}: {error.strerror}") from error


def parse_flat(text: str) -> dict[str, int]:
    """Parse a "flat keyed" file: lines of a name and a number (cgroup-v2.rst, Format)."""
    rows = (line.split() for line in text.splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}


def parse_nested(text: str) -> Iterator[tuple[str, dict[str, int]]]:
    """Parse a "nested keyed" file: lines of a key and ``name=number`` pairs (cgroup-v2.rst,
    Format).
    """
    for line in text.splitlines():
        key, *pairs = line.split()
        split = (pair.partition("=") for pair in pairs)
        yield key, {name: int(number) for name, _, number in split if number.isdigit()}


def wait_for_event(directory: Path, key: str, value: int, timeout_s: float) -> bool:
    """Wait until ``cgroup.events`` has the value for the key. A removed cgroup counts as 0 for
    every key. Returns False at the timeout.

    The kernel wakes pollers with POLLPRI when a line of it changes (cgroup-v2.rst, Core Interface
    Files).
    """
    try:
        fd = os.open(directory / "cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return value == 0
    try:
        poll = select.poll()
        poll.register(fd, select.POLLPRI)
        deadline = time.monotonic() + timeout_s
        while parse_flat(os.pread(fd, _READ_BYTES, 0).decode()).get(key) != value:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not poll.poll(left_s * 1000):
                return False
        return True
    except OSError as error:
        if error.errno in GONE:
            return value == 0
        raise
    finally:
        os.close(fd)


def retry(attempt: Callable[[], bool], deadline: float) -> bool:
    """Call until true or ``deadline`` (monotonic) has passed, at growing intervals: for changes for
    which the kernel has no event.
    """
    delay_s = _FIRST_DELAY_S
    while not attempt():
        if time.monotonic() >= deadline:
            return False
        time.sleep(delay_s)
        delay_s = min(2 * delay_s, _DELAY_MAX_S)
    return True
