"""Start lean Python processes from a sealed copy of the interpreter.

A process inside a container might manage to write to ``/proc/PID/exe`` of the process that started
it (CVE-2019-5736). So the lean processes execute a copy in memory that is sealed against changes:
memfd_create(2), F_ADD_SEALS of fcntl(2).

The copy finds its library as the original would: CPython derives its prefix from ``argv[0]``
(Modules/getpath.py), which still names the original. A shared libpython may be found relative to
the executable ($ORIGIN, ld.so(8)), which a memfd does not support, so LD_LIBRARY_PATH names its
directory.
"""

import errno
import fcntl
import os
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import trio

import engine
from engine.drivers.processes.python_choice import Python
from engine.failpoints import VARIABLE as FAILPOINTS
from engine.runtime.linux import MFD_EXEC

_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
END_TIMEOUT_S: Final = 1.0
"""How long to wait for a killed process: it ends at once unless it is in uninterruptible sleep."""
_END_POLL_S: Final = 0.005
"""By polling, and not through a pidfd: processes are also ended when there are no more descriptors.
"""
_CHUNK_BYTES: Final = 1 << 30
_MALLOC: Final = (
    "glibc.malloc.arena_max=1:glibc.malloc.mmap_threshold=524288:glibc.malloc.trim_threshold=524288"
)
"""Return memory to the kernel, because there are as many of these processes as containers, but keep
what a busy log needs between two blocks: with the default thresholds' page faults, it is written at
a third of the speed. mallopt(3).
"""
_BOOT: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]);"
    " from importlib import import_module;"
    " import_module(sys.argv[2]).main(*sys.argv[3:])"
)


def sealed_interpreter(python: Python) -> int:
    """Return a descriptor of the copy; the caller closes it.

    Raises:
        OSError: ENOMEM, EMFILE.
    """
    with ExitStack() as undo:
        copy_fd = _executable_memfd("shipslog")
        undo.callback(os.close, copy_fd)
        _copy_original(python, copy_fd)
        fcntl.fcntl(copy_fd, fcntl.F_ADD_SEALS, _SEALS)
        undo.pop_all()
        return copy_fd


def _copy_original(python: Python, copy_fd: int) -> None:
    original_fd = os.open(python.executable, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while os.sendfile(copy_fd, original_fd, None, _CHUNK_BYTES):
            pass
    finally:
        os.close(original_fd)


def start_lean(
    python: Python,
    interpreter_fd: int,
    module: str,
    arguments: Sequence[str],
    pass_fds: Sequence[int],
) -> subprocess.Popen[bytes]:
    """Start ``module.main(*arguments)`` with the standard library and this package only, and a
    minimal environment.

    Raises:
        OSError: it can't be executed.
    """
    root = str(Path(engine.__file__ or "").resolve().parent.parent)
    command = [
        python.executable,
        "-I",
        "-S",
        "-X",
        "utf8",
        "-c",
        _BOOT,
        root,
        module,
        *arguments,
    ]
    return subprocess.Popen(  # noqa: S603  (our own interpreter, our own arguments)
        command,
        executable=f"/proc/self/fd/{interpreter_fd}",
        pass_fds=[interpreter_fd, *pass_fds],
        stdin=subprocess.DEVNULL,
        env=_environment(python),
        cwd="/",
    )


def _environment(python: Python) -> dict[str, str]:
    environment = {"LC_ALL": "C.UTF-8", "GLIBC_TUNABLES": _MALLOC}
    if library := python.library_directory:
        environment["LD_LIBRARY_PATH"] = library
    if FAILPOINTS in os.environ:
        environment[FAILPOINTS] = os.environ[FAILPOINTS]
    return environment


def _executable_memfd(name: str) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(name, flags | MFD_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.memfd_create(name, flags)  # before Linux 6.3 all are executable


async def end_of(process: subprocess.Popen[bytes]) -> None:
    """Wait for a killed process and reap it, without blocking the thread.

    One in uninterruptible sleep is left after :data:`END_TIMEOUT_S`; subprocess reaps it when
    another process is started.
    """
    with trio.move_on_after(END_TIMEOUT_S, shield=True):
        while process.poll() is None:  # noqa: ASYNC110  (see _END_POLL_S)
            await trio.sleep(_END_POLL_S)
