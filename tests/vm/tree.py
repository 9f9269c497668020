"""Build the file tree of the virtual machine: an interpreter, this checkout, a few programs, and
the libraries they link.

Every file has its path on the host, so that the paths in a virtual environment's scripts stay true.
"""

import compileall
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[2]
CHECKOUT: Final = ("config", "engine", "migrations", "tests", "pyproject.toml")

# The tests use options of Debian's own programs; busybox provides the rest.
PACKAGES: Final = (
    "coreutils",
    "dash",
    "e2fsprogs",
    "findutils",
    "grep",
    "iproute2",
    "procps",
    "sed",
    "tar",
    "util-linux",
)
PROGRAMS: Final = (
    "busybox",
    "ldconfig",
    "mount",
    "nft",
    "skopeo",
    "strace",
    "tini",
    "umoci",
    "umount",
)
LIBRARIES: Final = (
    "libgcc_s.so.1",
    "libnftables.so.1",
    "libseccomp.so.2",
)  # opened by name, not linked
# For ldconfig; for skopeo; and a file for tests to pack.
DATA: Final = ("/etc/ld.so.cache", "/etc/containers/policy.json", "/usr/share/zoneinfo")
SCRIPTS: Final = ("pytest", "shipslog", "shipslogd")

# Half of a Python installation, which no test inside uses.
UNUSED_STANDARD_LIBRARY: Final = (
    "config-*",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "site-packages",
    "test",
    "tkinter",
    "turtledemo",
)
UNUSED_PACKAGES: Final = (
    "*mypy*",
    "grimp*",
    "importlinter*",
    "pip*",
    "py_spy*",
    "ruff*",
    "setuptools*",
    "torch*",
)

SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MERGED_INTO_USR: Final = (
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
)  # links today, directories on an old machine
ETC: Final = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "group": "root:x:0:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "resolv.conf": "",
}


class Tree:
    """A directory that becomes the machine's root, filled with copies of the host's files."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def inside(self, path: Path) -> Path:
        """Return where ``path``, absolute, is in the copy."""
        return self.root / path.relative_to("/")

    def add(self, path: Path) -> None:
        """Copy a file; symbolic links on the way to it are kept, and what they point to is copied
        as well.

        A directory is made, not filled.
        """
        link = next((step for step in (*reversed(path.parents), path) if step.is_symlink()), None)
        if link is not None:
            self._link(link)
            beyond = link.parent / link.readlink() / path.relative_to(link)
            self.add(Path(os.path.normpath(beyond)))
        elif path.is_dir():
            self.inside(path).mkdir(parents=True, exist_ok=True)
        else:
            self._copy(path)

    def add_directory(self, path: Path, *unwanted: str) -> None:
        """Copy a directory and all below it, without names that match ``unwanted``."""
        self.add(path)
        path = path.resolve()
        ignore = shutil.ignore_patterns(*unwanted)
        shutil.copytree(path, self.inside(path), symlinks=True, ignore=ignore, dirs_exist_ok=True)

    def _copy(self, path: Path) -> None:
        copy = self.inside(path)
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)

    def _link(self, link: Path) -> None:
        copy = self.inside(link)
        if not copy.is_symlink():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.symlink_to(link.readlink())


def build(root: Path) -> None:
    """Fill the empty directory ``root`` with all that the machine needs."""
    tree = Tree(root)
    for name in MERGED_INTO_USR:
        tree.add(Path(name))
    _add_python(tree)
    _add_checkout(tree)
    for path in (*_programs(), *_libraries_by_name(LIBRARIES)):
        tree.add(path)
    for path in (path for path in map(Path, DATA) if path.exists()):
        if path.is_dir():
            tree.add_directory(path)
        else:
            tree.add(path)
    for path in _linked_libraries(_executables(root)):
        tree.add(path)
    _add_busybox_applets(tree)
    _write_etc(tree)


def _programs() -> list[Path]:
    """Return the programs of ``PACKAGES``, dpkg-query(1), and those given by name; programs that
    are not installed are left out.
    """
    listing = subprocess.run(
        ["dpkg-query", "--listfiles", *PACKAGES], capture_output=True, text=True, check=False
    ).stdout
    of_packages = re.findall(r"^((?:/usr)?/s?bin/[^/\n]+)$", listing, re.MULTILINE)
    by_name = (shutil.which(name, path=SYSTEM_PATH) for name in PROGRAMS)
    return [Path(path) for path in (*of_packages, *by_name) if path]


def _add_python(tree: Tree) -> None:
    tree.add(Path(sys.executable))
    for name in ("stdlib", "platstdlib"):
        tree.add_directory(Path(sysconfig.get_path(name)), *UNUSED_STANDARD_LIBRARY)
    for name in ("purelib", "platlib"):
        tree.add_directory(Path(sysconfig.get_path(name)), *UNUSED_PACKAGES)
    prefix = Path(sys.prefix)
    optional = [prefix / "pyvenv.cfg", *(prefix / "bin" / name for name in SCRIPTS)]
    for path in optional:
        if path.exists():
            tree.add(path)


def _add_checkout(tree: Tree) -> None:
    for path in (REPOSITORY / name for name in CHECKOUT):
        if path.is_dir():
            tree.add_directory(path, "__pycache__")
        else:
            tree.add(path)
    # Compiling is slow inside. Unchecked, because the copy is not edited.
    compileall.compile_dir(
        tree.inside(REPOSITORY) / "engine",
        quiet=1,
        stripdir=str(tree.root),
        prependdir="/",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def _executables(root: Path) -> list[str]:
    """ELF files of the tree: they may link libraries that are not in it yet."""
    candidates = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return [str(path) for path in candidates if _is_elf(path)]


def _is_elf(path: Path) -> bool:
    looks_executable = ".so" in path.name or path.stat().st_mode & 0o111
    if not looks_executable:
        return False
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _linked_libraries(executables: Iterable[str]) -> set[Path]:
    """Return absolute paths of all libraries, and of the loader, that ldd(1) names for any of
    ``executables``.
    """
    listing = subprocess.run(
        ["ldd", *executables], capture_output=True, text=True, check=False
    )  # 1: one of them is static
    return {
        Path(found) for found in re.findall(r"(?:=> |^\t)(/\S+) \(0x", listing.stdout, re.MULTILINE)
    }


def _libraries_by_name(names: Iterable[str]) -> list[Path]:
    """Return where the loader's cache has each of ``names``; missing ones are left out, see
    ldconfig(8).
    """
    listing = subprocess.run(
        ["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True
    ).stdout
    found = (
        re.search(rf"^\t{re.escape(name)} \(.*x86-64.*\) => (/\S+)$", listing, re.MULTILINE)
        for name in names
    )
    return [Path(match[1]) for match in found if match]


def _add_busybox_applets(tree: Tree) -> None:
    """Add a link for every applet whose name no program of the tree has."""
    busybox = shutil.which("busybox", path=SYSTEM_PATH)
    assert busybox, "machine.missing() asks for busybox"
    directories = {tree.inside(Path(name)) for name in SYSTEM_PATH.split(":")}
    listing = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout
    for applet in listing.split():
        if not any(os.path.lexists(directory / applet) for directory in directories):
            (tree.root / "usr/bin" / applet).symlink_to(busybox)


def _write_etc(tree: Tree) -> None:
    for directory in ("etc", "root", "tmp", "var/lib", "var/tmp", "proc", "sys", "dev", "run"):
        (tree.root / directory).mkdir(parents=True, exist_ok=True)
    for name, text in ETC.items():
        (tree.root / "etc" / name).write_text(text)
