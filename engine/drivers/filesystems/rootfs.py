"""What a container keeps across its runs: its directory, its writable layer, and the files that the engine writes for it.

    containers/ID/            0700
      upper/                  what it changed of its image, overlay's ``upperdir``; its mode and owner are those that ``/`` has
      work/                   overlay's own, on the same filesystem
      hosts hostname resolv.conf      bound over those of the image
      ID-json.log journal.RUN         the monitor's

What must exist *inside* upper for mounts to land on is made by init, from inside.
"""

import os
import stat
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from engine.domain import naming
from engine.domain.guest_files import only_loopback
from engine.domain.ids import ContainerId, is_full_id
from engine.drivers.filesystems.files import disk_error, overwrite_file, replace_file
from engine.drivers.filesystems.trees import set_aside, size_of_tree
from engine.errors import DriverError
from engine.failpoints import failpoint

_HOST_RESOLV_CONF: Final = Path("/etc/resolv.conf")
_SYSTEMD_RESOLV_CONF: Final = Path("/run/systemd/resolve/resolv.conf")
"""The servers that systemd-resolved itself asks; systemd-resolved.service(8)."""
_ROOT_MODE_MIN: Final = 0o755
"""The root of Docker's containers is open to every user whatever the image says, and images rely on it: many a root filesystem was
packed in the 0700 of ``mktemp -d``."""


class Rootfs:
    """The containers' directories below one data root. All methods block."""

    def __init__(self, data_root: Path) -> None:
        self._data_root = data_root

    def make(self, container: ContainerId, topmost_layer: Path) -> None:
        """Have the directory of a container, with the root of its image as model; what is there stays as it is.

        Raises:
            Unavailable: the disk is full.
            DriverError: the kernel refuses otherwise.
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
        """Take the directory of a container away, into the trash; what lies there now, to be deleted, or None if it was gone already.

        Raises:
            DriverError: the kernel refuses.
        """
        return set_aside(naming.container_directory(self._data_root, container), self._data_root)

    def exists(self, container: ContainerId) -> bool:
        """Whether :meth:`make` has been here, and to the end."""
        return self.upper(container).is_dir()

    def all(self) -> frozenset[ContainerId]:
        """Whoever has a directory, whole or not."""
        try:
            names = os.listdir(self._data_root / "containers")  # noqa: PTH208  (names, not paths)
        except FileNotFoundError:
            return frozenset()
        return frozenset(ContainerId(name) for name in names if is_full_id(name))

    def upper(self, container: ContainerId) -> Path:
        """Overlay's ``upperdir``."""
        return naming.container_directory(self._data_root, container) / "upper"

    def work(self, container: ContainerId) -> Path:
        """Overlay's ``workdir``."""
        return naming.container_directory(self._data_root, container) / "work"

    def size_rw_bytes(self, container: ContainerId) -> int:
        """What the container has written into its own layer.

        Raises:
            DriverError: it can't be read.
        """
        return size_of_tree(self.upper(container))

    def write_files(self, container: ContainerId, texts: Mapping[str, str]) -> None:
        """Have files of these names and contents in the directory; one that is right already is left alone.

        Not made durable: they are written again before each start.

        Raises:
            Unavailable: the disk is full.
            DriverError: the kernel refuses otherwise.
        """
        self._write(container, texts, partial(replace_file, durable=False))

    def rewrite_files(self, container: ContainerId, texts: Mapping[str, str]) -> None:
        """The same, for a container that runs: it sees what is written into the files that it has, not another file of the name.

        Raises:
            Unavailable, DriverError: as above.
        """
        self._write(container, texts, overwrite_file)

    def _write(
        self, container: ContainerId, texts: Mapping[str, str], write: Callable[[Path, bytes], None]
    ) -> None:
        directory = naming.container_directory(self._data_root, container)
        for name, text in texts.items():
            content = text.encode(errors="surrogateescape")
            if not _holds(directory / name, content):
                write(directory / name, content)


def _make_upper(upper: Path, model: os.stat_result) -> None:
    """In one step, or a crash would leave a root with the wrong mode for ever."""
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
    """Where the host asks for names: with systemd-resolved, whom that asks. Empty if nobody says."""
    text = _read_text(_HOST_RESOLV_CONF)
    return (_read_text(_SYSTEMD_RESOLV_CONF) or text) if only_loopback(text) else text


def host_file(name: str) -> str:
    """``/etc/NAME`` of the host, for a container on its network; empty if there is none."""
    return _read_text(Path("/etc") / name)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape")
    except OSError:
        return ""
