"""Lock a data root for one daemon; the kernel releases the lock when the daemon dies."""

import fcntl
import os
from pathlib import Path

from engine.errors import EngineError


class DataRootInUse(EngineError):
    """Another daemon serves this data root."""


def lock_data_root(data_root: Path) -> int:
    """Lock the data root for as long as the returned descriptor lives.

    Raises:
        DataRootInUse: another daemon has it; the message says which.
    """
    data_root.mkdir(mode=0o710, parents=True, exist_ok=True)
    fd = os.open(data_root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(fd, 32).decode(errors="replace").strip()
        os.close(fd)
        raise DataRootInUse(
            f"another daemon{f' (pid {holder})' if holder else ''} already serves {data_root}"
        ) from error
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd
