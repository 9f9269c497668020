"""Manage a container's directory: writable layer, and files that the engine writes.

    containers/ID/                0700
      upper/                      its changes to the image, overlay's ``upperdir``; has the mode and
                                  owner of ``/``
      work/                       overlay's own, on the same file system
      hosts hostname resolv.conf  mounted over those of the image
      .hosts .hostname …          second names of the same files, to restore deleted names
      ID-json.log journal.RUN     the monitor's

What must exist *inside* upper as mount points is made by init, from inside.
"""

import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from engine.domain import naming
from engine.domain.container.etc_files import only_loopback
from engine.domain.ids import ContainerId, is_full_id
from engine.drivers.listing import names_in
from engine.drivers.storage.files import disk_error, overwrite_file, replace_file
from engine.drivers.storage.trees import set_aside, size_of_tree
from engine.errors import DriverError
from engine.failpoints import failpoint

_HOST_RESOLV_CONF: Final = Path("/etc/resolv.conf")
_SYSTEMD_RESOLV_CONF: Final = Path("/run/systemd/resolve/resolv.conf")
"""The servers that systemd-resolved itself asks; systemd-resolved.service(8)."""
FILES: Final = ("hosts", "hostname", "resolv.conf")
"""The files in ``/etc`` that every container has."""
_TIME_STEP_NS: Final = 1_000_000_000
"""Changes that are closer to each other may leave the same time; file systems keep seconds at
worst.
"""
_TEXT_MAX: Final = 1 << 20
"""Limit for reading such a file, in characters."""
_ROOT_MODE_MIN: Final = 0o755
"""Docker's containers have a root directory that every user can read, whatever the image says, and
images rely on it: many a root file system was packed with the mode 0700 of ``mktemp -d``.
"""


class Rootfs:
    """The containers' directories below one data root. All methods block."""

    def __init__(self, data_root: Path) -> None:
        self._data_root = data_root
        self._whole: dict[ContainerId, tuple[int, int]] = {}
        """Inode and time of change of directories that had all files."""

    def make(self, container: ContainerId, topmost_layer: Path) -> None:
        """Create a container's directory, with the owner and mode of its image's root; existing
        parts stay as they are.

        Raises:
            Unavailable: the disk is full.
            DriverError: the kernel refuses for another reason.
        """
        directory = naming.container_directory(self._data_root, container)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            (directory / "work").mkdir(mode=0o700, exist_ok=True)
            if not self.upper(container).is_dir():
                _make_upper(self.upper(container), topmost_layer.stat())
        except OSError as error:
            raise disk_error(f"make {directory}", error) from error

    def set_aside(self, container: ContainerId) -> Path | None:
        """Move a container's directory into the trash; return its path there, or None if it was
        gone already.

        Raises:
            DriverError: the kernel refuses.
        """
        self._whole.pop(container, None)
        return set_aside(naming.container_directory(self._data_root, container), self._data_root)

    def exists(self, container: ContainerId) -> bool:
        """True if :meth:`make` has completed for this container."""
        return self.upper(container).is_dir()

    def all(self) -> frozenset[ContainerId]:
        """Return every container that has a directory, complete or not."""
        names = names_in(self._data_root / "containers")
        return frozenset(ContainerId(name) for name in names if is_full_id(name))

    def upper(self, container: ContainerId) -> Path:
        """Return overlay's ``upperdir``."""
        return naming.container_directory(self._data_root, container) / "upper"

    def work(self, container: ContainerId) -> Path:
        """Return overlay's ``workdir``."""
        return naming.container_directory(self._data_root, container) / "work"

    def size_rw_bytes(self, container: ContainerId) -> int:
        """Return the size of the container's own layer.

        Raises:
            DriverError: it can't be read.
        """
        return size_of_tree(self.upper(container))

    def write_files(self, container: ContainerId, texts: Mapping[str, str]) -> None:
        """Write files for a run that is about to begin, unless they have the content already.

        Not made durable: they are written again before each start.

        Raises:
            Unavailable: the disk is full.
            DriverError: the kernel refuses for another reason.
        """
        for path, content in self._contents(container, texts):
            if not _holds(path, content):
                replace_file(path, content, durable=False)
                _name_twice(path)

    def overwrite_files(self, container: ContainerId, texts: Mapping[str, str]) -> None:
        """Write files of a running container, in place: it has the files themselves mounted, and
        would not see new files of the same names.

        Raises:
            Unavailable, DriverError: as above.
        """
        for path, content in self._contents(container, texts):
            if not _holds(path, content):
                overwrite_file(path, content)

    def restore_files(self, container: ContainerId, texts: Mapping[str, str]) -> None:
        """Restore the names of a running container's files; where both names of a file are gone,
        make a new file.

        Raises:
            Unavailable, DriverError: as above.
        """
        for path, content in self._contents(container, texts):
            try:
                os.link(_second_name(path), path)
            except FileExistsError:
                continue
            except FileNotFoundError:
                replace_file(path, content, durable=False)
                _name_twice(path)
            except OSError as error:
                raise disk_error(f"restore {path}", error) from error

    def has_files(self, container: ContainerId) -> bool:
        """True if all of the files have their names.

        Each sweep calls this for every container. A directory that has not changed since all files
        were there has lost none.
        """
        directory = naming.container_directory(self._data_root, container)
        try:
            found = directory.stat()
        except OSError:
            return False
        state = (found.st_ino, found.st_mtime_ns)
        if self._whole.get(container) == state:
            return True
        whole = all(os.path.exists(f"{directory}/{name}") for name in FILES)  # noqa: PTH110  (fast)
        if whole and time.time_ns() - found.st_mtime_ns > _TIME_STEP_NS:
            self._whole[container] = state
        return whole

    def file_text(self, container: ContainerId, name: str) -> str:
        """Return the content of a file, up to _TEXT_MAX characters, because the container may have
        written it. Empty if it is gone.
        """
        path = naming.container_directory(self._data_root, container) / name
        try:
            with path.open(errors="surrogateescape") as file:
                return file.read(_TEXT_MAX)
        except OSError:
            return ""

    def _contents(
        self, container: ContainerId, texts: Mapping[str, str]
    ) -> Iterator[tuple[Path, bytes]]:
        directory = naming.container_directory(self._data_root, container)
        for name, text in texts.items():
            yield directory / name, text.encode(errors="surrogateescape")


def _second_name(path: Path) -> Path:
    return path.with_name(f".{path.name}")


def _name_twice(path: Path) -> None:
    """Give a file a second name, so that deleting the first does not delete the file, which
    containers have mounted.
    """
    second = _second_name(path)
    try:
        second.unlink(missing_ok=True)
        os.link(path, second)
    except OSError as error:
        raise disk_error(f"link {second}", error) from error


def _make_upper(upper: Path, model: os.stat_result) -> None:
    """Make ``upper`` by a rename, so that a crash can't leave a root with the wrong mode."""
    beside = upper.with_name(".upper.new")
    beside.mkdir(mode=0o700, exist_ok=True)
    os.chown(beside, model.st_uid, model.st_gid)
    beside.chmod(stat.S_IMODE(model.st_mode) | _ROOT_MODE_MIN)
    failpoint("upper_made")
    beside.rename(upper)


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return False
    except OSError as error:
        raise DriverError(f"read {path}: {error.strerror}") from error


def host_resolv_conf() -> str:
    """Return the host's resolv.conf; with systemd-resolved, the one with the servers that it asks.
    Empty if there is none.
    """
    text = _read_text(_HOST_RESOLV_CONF)
    return (_read_text(_SYSTEMD_RESOLV_CONF) or text) if only_loopback(text) else text


def host_file(name: str) -> str:
    """Return ``/etc/NAME`` of the host, for a container on its network; empty if there is none."""
    return _read_text(Path("/etc") / name)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape")
    except OSError:
        return ""
