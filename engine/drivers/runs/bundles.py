"""Write bundles (OCI runtime-spec, bundle.md), which the container's first process reads.

    EXEC_ROOT/bundles/ID/
      config.json       the OCI configuration
      monitor.json      what the OCI configuration has no field for
      rootfs            where the root file system is mounted, in the container's mount namespace
      lock monitor.sock the monitor's

A bundle is written before each start and removed after each run; it is on a tmpfs, so a reboot
removes it. What the monitor has to know is in its launch order (``launch_orders.py``).
"""

import shutil
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.domain import naming
from engine.domain.container.oci import HostSide, oci_config
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId
from engine.drivers.listing import names_in
from engine.errors import DriverError

CONFIG: Final = "config.json"
MONITOR: Final = "monitor.json"
ROOTFS: Final = "rootfs"


class Bundles:
    """The bundles of one exec root."""

    def __init__(self, data_root: Path, exec_root: Path) -> None:
        self._data_root = data_root
        self._exec_root = exec_root

    def write(
        self,
        container: Container,
        host: HostSide,
        *,
        lower: tuple[Path, ...],
        cgroup_procs: tuple[str, ...],
        seccomp: Path | None,
    ) -> None:
        """Write a bundle for a container's present run.

        Raises:
            DriverError: it can't be written.
        """
        bundle = naming.bundle_directory(self._exec_root, container.id)
        monitor = {
            "overlay": self._overlay(container.id, lower),
            "cgroup_procs": cgroup_procs,
            "seccomp_path": str(seccomp) if seccomp else None,
        }
        try:
            (bundle / ROOTFS).mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(bundle / CONFIG, oci_config(container, host))
            _write(bundle / MONITOR, monitor)
        except OSError as error:
            raise DriverError(f"write bundle {bundle}") from error

    def rootfs(self, container: ContainerId) -> Path:
        """Return where a container's root file system is mounted, in its own mount namespace."""
        return naming.bundle_directory(self._exec_root, container) / ROOTFS

    def exists(self, container: ContainerId) -> bool:
        """True if there is a bundle, or a part of one."""
        return naming.bundle_directory(self._exec_root, container).exists()

    def remove(self, container: ContainerId) -> None:
        """Remove a bundle; do nothing if it is gone.

        Raises:
            DriverError: it can't be removed.
        """
        bundle = naming.bundle_directory(self._exec_root, container)
        try:
            shutil.rmtree(bundle)
        except FileNotFoundError:
            return
        except OSError as error:
            raise DriverError(f"remove bundle {bundle}") from error

    def owned(self) -> frozenset[ContainerId]:
        """Return every container that has a bundle."""
        return frozenset(map(ContainerId, names_in(self._exec_root / "bundles")))

    def _overlay(self, container: ContainerId, lower: tuple[Path, ...]) -> dict[str, Any]:
        directory = naming.container_directory(self._data_root, container)
        return {
            "lower": [str(layer) for layer in lower],
            "upper": str(directory / "upper"),
            "work": str(directory / "work"),
        }


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_bytes(msgspec.json.encode(document))
