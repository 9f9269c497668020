"""Define Docker's Resources as clients send them: a part of ``HostConfig``, and the body of an
update.
"""

from typing import Annotated

import msgspec

from engine.api.http.json_bodies import Int64, Wire

Rate = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class UlimitWire(Wire, frozen=True, kw_only=True):
    """Docker's Ulimit."""

    name: str | None = None
    soft: Int64 | None = None
    hard: Int64 | None = None


class ThrottleWire(Wire, frozen=True, kw_only=True):
    """Docker's ThrottleDevice."""

    path: str | None = None
    rate: Rate | None = None


class WeightWire(Wire, frozen=True, kw_only=True):
    """Docker's WeightDevice."""

    path: str | None = None
    weight: Annotated[int, msgspec.Meta(ge=0, le=65535)] | None = None


class DeviceWire(Wire, frozen=True, kw_only=True):
    """Docker's DeviceMapping."""

    path_on_host: str | None = None
    path_in_container: str | None = None
    cgroup_permissions: str | None = None


class DeviceRequestWire(Wire, frozen=True, kw_only=True):
    """Docker's DeviceRequest."""

    driver: str | None = None
    count: Int64 | None = None
    device_ids: list[str] | None = msgspec.field(default=None, name="DeviceIDs")
    capabilities: list[list[str]] | None = None
    options: dict[str, str] | None = None


class ResourcesWire(Wire, frozen=True, kw_only=True):
    """Docker's Resources."""

    blkio_device_read_bps: list[ThrottleWire] | None = None
    blkio_device_read_iops: list[ThrottleWire] | None = msgspec.field(
        default=None, name="BlkioDeviceReadIOps"
    )
    blkio_device_write_bps: list[ThrottleWire] | None = None
    blkio_device_write_iops: list[ThrottleWire] | None = msgspec.field(
        default=None, name="BlkioDeviceWriteIOps"
    )
    blkio_weight: Int64 | None = None
    blkio_weight_device: list[WeightWire] | None = None
    cgroup_parent: str | None = None
    cpu_count: Int64 | None = None
    cpu_percent: Int64 | None = None
    cpu_period: Int64 | None = None
    cpu_quota: Int64 | None = None
    cpu_realtime_period: Int64 | None = None
    cpu_realtime_runtime: Int64 | None = None
    cpu_shares: Int64 | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    device_cgroup_rules: list[str] | None = None
    device_requests: list[DeviceRequestWire] | None = None
    devices: list[DeviceWire] | None = None
    io_maximum_bandwidth: Int64 | None = msgspec.field(default=None, name="IOMaximumBandwidth")
    io_maximum_iops: Int64 | None = msgspec.field(default=None, name="IOMaximumIOps")
    kernel_memory: Int64 | None = None
    kernel_memory_tcp: Int64 | None = msgspec.field(default=None, name="KernelMemoryTCP")
    memory: Int64 | None = None
    memory_reservation: Int64 | None = None
    memory_swap: Int64 | None = None
    memory_swappiness: Int64 | None = None
    nano_cpus: Int64 | None = None
    oom_kill_disable: bool | None = None
    pids_limit: Int64 | None = None
    ulimits: list[UlimitWire] | None = None
