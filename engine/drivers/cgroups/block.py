"""Set limits of single block devices, which the kernel identifies by number: block/blk-throttle.c,
blkio-controller.rst, cgroup-v2.rst (IO).
"""

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from engine.domain.container.resources import BlockLimits, DeviceRate
from engine.drivers.cgroups import files
from engine.drivers.cgroups.settings import io_weight
from engine.errors import DriverError

_V1_RATES: Final = (
    ("read_bytes", "blkio.throttle.read_bps_device"),
    ("write_bytes", "blkio.throttle.write_bps_device"),
    ("read_operations", "blkio.throttle.read_iops_device"),
    ("write_operations", "blkio.throttle.write_iops_device"),
)
_V2_RATES: Final = (
    ("read_bytes", "rbps"),
    ("write_bytes", "wbps"),
    ("read_operations", "riops"),
    ("write_operations", "wiops"),
)


def set_v1(directory: Path, limits: BlockLimits) -> None:
    """Set the given limits in version 1; a weight only where the I/O scheduler has weights.

    Raises:
        DriverError: there is no such device, or the kernel refuses.
    """
    names = ("blkio.weight_device", "blkio.bfq.weight_device")
    _set_weights(directory, limits.weights, names)
    for field, name in _V1_RATES:
        for rate in _rates(limits, field):
            files.demand(directory / name, f"{_number(rate.path)} {rate.value}")


def set_v2(directory: Path, limits: BlockLimits) -> None:
    """Set the given limits in version 2; see :func:`set_v1`."""
    _set_weights(directory, limits.weights, ("io.bfq.weight",))
    if not (directory / "io.bfq.weight").exists():
        for each in limits.weights:
            files.demand(directory / "io.weight", f"{_number(each.path)} {io_weight(each.value)}")
    for field, key in _V2_RATES:
        for rate in _rates(limits, field):
            value = str(rate.value or "max")
            files.demand(directory / "io.max", f"{_number(rate.path)} {key}={value}")


def _rates(limits: BlockLimits, field: str) -> tuple[DeviceRate, ...]:
    found: tuple[DeviceRate, ...] = getattr(limits, field)
    return found


def _set_weights(directory: Path, weights: Iterable[DeviceRate], names: tuple[str, ...]) -> None:
    path = next((directory / name for name in names if (directory / name).exists()), None)
    for weight in weights if path else ():
        assert path is not None
        files.demand(path, f"{_number(weight.path)} {weight.value}")


def _number(path: str) -> str:
    """Return ``MAJOR:MINOR`` of a device node."""
    try:
        status = os.stat(path)  # noqa: PTH116  (a node of the host, named by the client)
    except (OSError, ValueError) as error:
        reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else error
        raise DriverError(f"stat {path}: {reason}") from error
    if not stat.S_ISBLK(status.st_mode):
        raise DriverError(f"{path} is not a block device")
    return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
