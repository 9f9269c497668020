"""Make the built-in image: a root file system with the distribution's static busybox, without any
network access.

The tar is written entry by entry: owners, modes and times are the same wherever it is built, so its
digest depends on the busybox alone.
"""

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from typing import Final

from engine.cli.engine import Engine, Query
from engine.cli.failures import Failure

REFERENCE: Final = "busybox:latest"
_CANDIDATES: Final = (
    "/bin/busybox",
    "/usr/bin/busybox",
    "/bin/busybox.static",
    "/usr/bin/busybox-static",
)
_DIRECTORIES: Final = {
    "bin": 0o755,
    "dev": 0o755,
    "etc": 0o755,
    "home": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "sys": 0o555,
    "tmp": 0o1777,
    "var": 0o755,
}  # fmt: skip
_FILES: Final = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}
_PT_INTERP: Final = 3


def find_busybox() -> str:
    """Return the path of a static busybox of this machine.

    Raises:
        Failure: there is none.
    """
    for path in _CANDIDATES:
        if os.access(path, os.X_OK) and is_static(path):
            return path
    raise Failure("no static busybox found: install the package busybox-static")


def is_static(path: str) -> bool:
    """True if an ELF file needs no interpreter, elf(5): such a program runs in an otherwise empty
    root.
    """
    with open(path, "rb") as file:  # noqa: PTH123  (pathlib costs 10 ms)
        head = file.read(4096)
    if head[:4] != b"\x7fELF":
        return False
    table, size, count = (
        int.from_bytes(head[start:stop], "little") for start, stop in ((32, 40), (54, 56), (56, 58))
    )
    kinds = (head[table + n * size : table + n * size + 4] for n in range(count))
    return all(int.from_bytes(kind, "little") != _PT_INTERP for kind in kinds)


def busybox_tar(busybox: str | None = None) -> bytes:
    """Return the root file system as a tar archive.

    Raises:
        Failure: there is no static busybox, or it does not run.
    """
    program = busybox or find_busybox()
    with open(program, "rb") as file:  # noqa: PTH123  (pathlib costs 10 ms)
        binary = file.read()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, mode in _DIRECTORIES.items():
            tar.addfile(_entry(name, tarfile.DIRTYPE, mode))
        for name, content in _FILES.items():
            _add_file(tar, name, content.encode(), 0o644)
        _add_file(tar, "bin/busybox", binary, 0o755)
        for applet in _applets(program):
            link = _entry(f"bin/{applet}", tarfile.SYMTYPE, 0o777)
            link.linkname = "busybox"
            tar.addfile(link)
    return archive.getvalue()


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = kind, mode
    return entry


def _add_file(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = _entry(name, tarfile.REGTYPE, mode)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _applets(program: str) -> Iterator[str]:
    try:
        listed = subprocess.run([program, "--list"], capture_output=True, check=True, text=True)  # noqa: S603  (ours)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failure(f"{program} --list: {error}") from error
    yield from sorted(set(listed.stdout.split()) - {"busybox"})


def import_builtin(engine: Engine, reference: str = REFERENCE) -> str:
    """Import the built-in image; return its ID.

    Raises:
        Failure: no busybox, or the engine refuses.
    """
    repository, _, tag = reference.partition(":")
    query: Query = {
        "changes": ['CMD ["/bin/sh"]'],
        "fromSrc": "-",
        "repo": repository,
        "tag": tag or "latest",
    }
    archive = busybox_tar()
    response = engine.upload("/images/create", query, "application/x-tar", [archive])
    messages = [json.loads(line) for line in response.lines()]
    for message in messages:
        if "error" in message:
            raise Failure(str(message["error"]))
    return str(messages[-1]["status"]) if messages else ""
