"""Convert Docker's ``Resources`` to limits and back."""

import posixpath
import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal, cast

from engine.api.containers.spec.resources_body import (
    DeviceRequestWire,
    DeviceWire,
    ResourcesWire,
    ThrottleWire,
    UlimitWire,
    WeightWire,
)
from engine.api.http.json_bodies import Json
from engine.domain.container.resources import (
    UNLIMITED,
    BlockLimits,
    DeviceMapping,
    DeviceRate,
    DeviceRequest,
    DeviceRule,
    Resources,
)
from engine.domain.container.spec import Ulimit
from engine.errors import InvalidRequest

_ULIMITS: Final = frozenset(
    {
        "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss",
        "rtprio", "rttime", "sigpending", "stack",
    }
)  # fmt: skip
_RULE: Final = re.compile(
    r"(?P<kind>[acb]) (?P<major>[0-9]+|\*):(?P<minor>[0-9]+|\*) (?P<access>[rwm]{1,3})", re.ASCII
)
_ANY: Final = "*"
_NAME_BYTES_MAX: Final = 255
_CGROUP_PATH_BYTES_MAX: Final = 2048
"""A path has 4096 bytes at most, PATH_MAX; the hierarchy and the container's ID need room in it."""
_LINUX_HAS_NO: Final = (
    ("io_maximum_bandwidth", "maximum bandwidth"),
    ("io_maximum_iops", "maximum IOPs"),
)
_WITHOUT_EFFECT: Final = (
    ("cpu_count", "linux does not support CPU count. Count discarded."),
    ("cpu_percent", "linux does not support CPU percent. Percent discarded."),
    (
        "kernel_memory",
        "Specifying a kernel memory limit is deprecated and will be removed in a future release.",
    ),
    (
        "kernel_memory_tcp",
        "Specifying a kernel memory TCP limit is deprecated. Limitation discarded.",
    ),
)
"""Fields for Windows, and fields that Linux has dropped: ignored with a warning."""


def parse_resources(wire: ResourcesWire) -> Resources:
    """Return the limits that are requested, before they are checked against a machine.

    Raises:
        InvalidRequest: a value of no shape that Docker knows.
    """
    for attribute, what in _LINUX_HAS_NO:
        if getattr(wire, attribute):
            raise InvalidRequest(
                f"Invalid QoS settings: linux does not support configuration of {what}"
            )
    swappiness, pids_max = wire.memory_swappiness, wire.pids_limit
    return Resources(
        memory_bytes=wire.memory or 0,
        memory_swap_bytes=wire.memory_swap or 0,
        memory_reservation_bytes=wire.memory_reservation or 0,
        memory_swappiness=None if swappiness == UNLIMITED else swappiness,
        oom_kill_disable=bool(wire.oom_kill_disable),
        cpu_shares=wire.cpu_shares or 0,
        nano_cpus=wire.nano_cpus or 0,
        cpu_quota_us=wire.cpu_quota or 0,
        cpu_period_us=wire.cpu_period or 0,
        cpu_realtime_period_us=wire.cpu_realtime_period or 0,
        cpu_realtime_runtime_us=wire.cpu_realtime_runtime or 0,
        cpuset_cpus=wire.cpuset_cpus or "",
        cpuset_mems=wire.cpuset_mems or "",
        pids_max=pids_max if pids_max is None or pids_max > 0 else UNLIMITED,
        blkio_weight=wire.blkio_weight or 0,
        block=_block(wire),
        cgroup_parent=_cgroup_parent(wire.cgroup_parent or ""),
        device_rules=tuple(map(_device_rule, wire.device_cgroup_rules or ())),
        devices=tuple(map(_device, wire.devices or ())),
        device_requests=tuple(map(_device_request, wire.device_requests or ())),
    )


def ignored_field_warnings(wire: ResourcesWire) -> Iterator[str]:
    """Warn about HostConfig fields that have no effect on Linux."""
    for attribute, warning in _WITHOUT_EFFECT:
        if getattr(wire, attribute):
            yield warning


def parse_ulimits(wires: Iterable[UlimitWire]) -> tuple[Ulimit, ...]:
    """Return the limits of processes, setrlimit(2).

    Raises:
        InvalidRequest: one that the kernel does not have, or a soft limit above the hard one.
    """
    found = []
    for wire in wires:
        name = (wire.name or "").lower()
        soft, hard = wire.soft or 0, wire.hard or 0
        if name not in _ULIMITS:
            raise InvalidRequest(f"invalid ulimit type: {wire.name or ''}")
        if hard != UNLIMITED and (soft > hard or soft == UNLIMITED):
            raise InvalidRequest(
                f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
            )
        found.append(Ulimit(name=name, soft=soft, hard=hard))
    return tuple(found)


def _block(wire: ResourcesWire) -> BlockLimits:
    return BlockLimits(
        weights=tuple(_weight(each) for each in wire.blkio_weight_device or ()),
        read_bytes=_rates(wire.blkio_device_read_bps),
        write_bytes=_rates(wire.blkio_device_write_bps),
        read_operations=_rates(wire.blkio_device_read_iops),
        write_operations=_rates(wire.blkio_device_write_iops),
    )


def _weight(wire: WeightWire) -> DeviceRate:
    return DeviceRate(path=wire.path or "", value=wire.weight or 0)


def _rates(wires: Iterable[ThrottleWire] | None) -> tuple[DeviceRate, ...]:
    return tuple(DeviceRate(path=each.path or "", value=each.rate or 0) for each in wires or ())


def _cgroup_parent(path: str) -> str:
    """Return the path relative to each hierarchy's root, whatever is written before it, as runc
    reads it.

    Raises:
        InvalidRequest: it is the root itself, no path, or longer than a cgroup's path can be.
    """
    if not path:
        return ""
    names = posixpath.normpath(f"/{path}").strip("/").split("/")
    if names == [""] or not path.isprintable():
        raise InvalidRequest(f"invalid cgroup parent: {path!r}")
    is_too_long = len(path.encode()) > _CGROUP_PATH_BYTES_MAX
    if is_too_long or any(len(name.encode()) > _NAME_BYTES_MAX for name in names):
        raise InvalidRequest("invalid cgroup parent: file name too long")
    return path


def _device_rule(text: str) -> DeviceRule:
    match = _RULE.fullmatch(text)
    if match is None:
        raise InvalidRequest(f"invalid device cgroup rule format: '{text}'")
    return DeviceRule(
        kind=cast("Literal['a', 'b', 'c']", match["kind"]),  # the pattern has no others
        major=_number(match["major"]),
        minor=_number(match["minor"]),
        access=match["access"],
    )


def _number(text: str) -> int | None:
    if text == _ANY:
        return None
    if len(text) > len(str(2**32)):
        raise InvalidRequest(f"invalid device number: {text}")
    return int(text)


def _device(wire: DeviceWire) -> DeviceMapping:
    source = wire.path_on_host or ""
    if not source:
        raise InvalidRequest("invalid device: it has no path on the host")
    return DeviceMapping(
        source=source,
        destination=posixpath.normpath(posixpath.join("/", wire.path_in_container or source)),
        access=wire.cgroup_permissions or "rwm",
    )


def _device_request(wire: DeviceRequestWire) -> DeviceRequest:
    if wire.count and wire.device_ids:
        raise InvalidRequest("cannot set both Count and DeviceIDs on device request")
    return DeviceRequest(
        driver=wire.driver or "",
        count=wire.count or 0,
        device_ids=tuple(wire.device_ids or ()),
        capabilities=tuple(tuple(each) for each in wire.capabilities or ()),
        options=wire.options or {},
    )


# --- As inspect shows them ---


def resources_json(limits: Resources, ulimits: Iterable[Ulimit]) -> Json:
    """Return the part of ``HostConfig`` that is Docker's Resources, with every field of API
    v1.51.
    """
    pids_max = limits.pids_max
    return {
        "CpuShares": limits.cpu_shares,
        "Memory": limits.memory_bytes,
        "NanoCpus": limits.nano_cpus,
        "CgroupParent": limits.cgroup_parent,
        "BlkioWeight": limits.blkio_weight,
        **_block_json(limits.block),
        "CpuPeriod": limits.cpu_period_us,
        "CpuQuota": limits.cpu_quota_us,
        "CpuRealtimePeriod": limits.cpu_realtime_period_us,
        "CpuRealtimeRuntime": limits.cpu_realtime_runtime_us,
        "CpusetCpus": limits.cpuset_cpus,
        "CpusetMems": limits.cpuset_mems,
        "Devices": [_device_json(each) for each in limits.devices],
        "DeviceCgroupRules": [_rule_text(each) for each in limits.device_rules] or None,
        "DeviceRequests": [_request_json(each) for each in limits.device_requests] or None,
        "MemoryReservation": limits.memory_reservation_bytes,
        "MemorySwap": limits.memory_and_swap_bytes,
        "MemorySwappiness": limits.memory_swappiness,
        "OomKillDisable": limits.oom_kill_disable,
        "PidsLimit": pids_max if pids_max is not None and pids_max > 0 else None,
        "Ulimits": [{"Name": each.name, "Hard": each.hard, "Soft": each.soft} for each in ulimits],
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    }


def _block_json(limits: BlockLimits) -> Json:
    return {
        "BlkioWeightDevice": [{"Path": each.path, "Weight": each.value} for each in limits.weights],
        "BlkioDeviceReadBps": _rates_json(limits.read_bytes),
        "BlkioDeviceWriteBps": _rates_json(limits.write_bytes),
        "BlkioDeviceReadIOps": _rates_json(limits.read_operations),
        "BlkioDeviceWriteIOps": _rates_json(limits.write_operations),
    }


def _rates_json(rates: Iterable[DeviceRate]) -> list[Json]:
    return [{"Path": each.path, "Rate": each.value} for each in rates]


def _device_json(device: DeviceMapping) -> Json:
    return {
        "PathOnHost": device.source,
        "PathInContainer": device.destination,
        "CgroupPermissions": device.access,
    }


def _rule_text(rule: DeviceRule) -> str:
    major, minor = (_ANY if number is None else number for number in (rule.major, rule.minor))
    return f"{rule.kind} {major}:{minor} {rule.access}"


def _request_json(request: DeviceRequest) -> Json:
    return {
        "Driver": request.driver,
        "Count": request.count,
        "DeviceIDs": request.device_ids or None,
        "Capabilities": request.capabilities or None,
        "Options": request.options or None,
    }
