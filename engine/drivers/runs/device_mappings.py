"""Compute the device nodes that a container asked for, and its permissions."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from engine.domain.container.resources import DeviceMapping, DeviceRequest, DeviceRule
from engine.drivers.runs.devices import device_node
from engine.errors import DriverError

Node = dict[str, Any]  # Any: as the OCI runtime specification lists devices


def mapped_devices(mappings: Iterable[DeviceMapping]) -> tuple[Node, ...]:
    """Return the nodes to make inside; for a directory, those in it and below.

    Raises:
        DriverError: there is no such node, in Docker's words.
    """
    return tuple(node for mapping in mappings for node in _nodes(mapping))


def mapped_rules(mappings: Iterable[DeviceMapping]) -> tuple[DeviceRule, ...]:
    """Return what the container may do with these devices.

    Raises:
        DriverError: as :func:`mapped_devices`.
    """
    return tuple(
        DeviceRule(
            kind=node["type"], major=node["major"], minor=node["minor"], access=mapping.access
        )
        for mapping in mappings
        for node in _nodes(mapping)
    )


def refuse_requests(requests: Iterable[DeviceRequest]) -> None:
    """Refuse device requests: there is no device driver.

    Raises:
        DriverError: in Docker's words, if anything is requested.
    """
    for request in requests:
        wanted = " ".join(f"[{' '.join(each)}]" for each in request.capabilities)
        raise DriverError(
            f'could not select device driver "{request.driver}" with capabilities: [{wanted}]'
        )


def _nodes(mapping: DeviceMapping) -> Iterator[Node]:
    try:
        source = Path(mapping.source).resolve(strict=True)
        found = list(_found(source))
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _missing(mapping, reason.lower()) from error
    if not found:
        raise _missing(
            mapping, "no such file or directory" if source.is_dir() else "not a device node"
        )
    for path, status in found:
        inside = mapping.destination + str(path).removeprefix(str(source))
        yield device_node(inside, status)


def _found(source: Path) -> Iterator[tuple[Path, os.stat_result]]:
    candidates = source.rglob("*") if source.is_dir() else (source,)
    for path in candidates:
        status = path.lstat()
        if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            yield path, status


def _missing(mapping: DeviceMapping, reason: str) -> DriverError:
    return DriverError(
        f'error gathering device information while adding custom device "{mapping.source}": {reason}'
    )
