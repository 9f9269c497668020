"""Choose the Python that runs the launcher and its monitors.

From CPython 3.12 on a monitor takes half as much memory (``runtime/page_sharing.py``). So if the
daemon's own Python is older, the first newer one in PATH that can run the launcher is chosen. It
needs the standard library only.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import engine

WANTED: Final = (3, 12)
NAMES: Final = ("python3.13", "python3.12")
_ELF: Final = b"\x7fELF"
_PROBE_TIMEOUT_S: Final = 5.0
_PROBE: Final = (
    "import os, sys, sysconfig; sys.path.insert(0, sys.argv[1]); import engine.runtime.launcher;"
    " shared = sysconfig.get_config_var('Py_ENABLE_SHARED');"
    " print(*sys.version_info[:2]);"
    " print(os.path.realpath(sys.executable));"
    " print(sysconfig.get_config_var('LIBDIR') if shared else '')"
)


class Python(NamedTuple):
    """An interpreter: its real path, and the directory of its shared library, empty if it has
    none.
    """

    executable: str
    library_directory: str


@cache
def launcher_python() -> Python:
    """Return the interpreter for the launcher. Cached, because finding it runs each candidate."""
    if sys.version_info >= WANTED:
        return own_python()
    return newer_python(NAMES, WANTED) or own_python()


def own_python() -> Python:
    """Return the daemon's own interpreter, with the links of a virtual environment resolved."""
    shared = sysconfig.get_config_var("Py_ENABLE_SHARED")
    library = str(sysconfig.get_config_var("LIBDIR")) if shared else ""
    return Python(os.path.realpath(sys.executable), library)


def newer_python(names: Iterable[str], wanted: tuple[int, int]) -> Python | None:
    """Return the first of these programs in PATH that is a Python of at least this version and can
    run the launcher.
    """
    found = (path for name in names if (path := shutil.which(name)))
    return next((python for path in found if (python := _probed(path, wanted))), None)


def _probed(path: str, wanted: tuple[int, int]) -> Python | None:
    root = str(Path(engine.__file__ or "").resolve().parent.parent)
    try:
        with Path(path).open("rb") as program:
            if program.read(len(_ELF)) != _ELF:  # a version manager's script, which takes long
                return None
        command = (path, "-I", "-S", "-c", _PROBE, root)
        answer = subprocess.run(  # noqa: S603  (a program of PATH, which is the administrator's)
            command,
            capture_output=True,
            text=True,
            check=True,
            timeout=_PROBE_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            cwd="/",
        )
    except (OSError, subprocess.SubprocessError):
        return None
    version, executable, library = answer.stdout.split("\n")[:3]
    major, minor = map(int, version.split())
    return Python(executable, library) if (major, minor) >= wanted else None
