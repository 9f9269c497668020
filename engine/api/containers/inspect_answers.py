"""Define the answer of inspect, ``HostConfig`` included."""

from typing import NotRequired, TypedDict

from engine.api.answers import GraphDriver, Stamp
from engine.api.containers.answers import (
    ContainerConfig,
    ContainerState,
    MountPoint,
    NetworkSettings,
    PortBinding,
)


class LogConfig(TypedDict):
    """The log driver and its options."""

    Type: str
    Config: dict[str, str]


class RestartPolicy(TypedDict):
    """When a container is started again."""

    Name: str
    MaximumRetryCount: int


class DeviceRate(TypedDict):
    """A limit of one block device."""

    Path: str
    Rate: int


class DeviceWeight(TypedDict):
    """The share of one block device."""

    Path: str
    Weight: int


class Device(TypedDict):
    """A device of the host."""

    PathOnHost: str
    PathInContainer: str
    CgroupPermissions: str


class DeviceRequest(TypedDict):
    """Devices that a driver is asked for."""

    Driver: str
    Count: int
    DeviceIDs: list[str] | None
    Capabilities: list[list[str]] | None
    Options: dict[str, str] | None


class Ulimit(TypedDict):
    """A limit of each process: setrlimit(2)."""

    Name: str
    Hard: int
    Soft: int


class BindOptions(TypedDict):
    """How a directory of the host is mounted."""

    Propagation: NotRequired[str]
    NonRecursive: NotRequired[bool]
    CreateMountpoint: NotRequired[bool]
    ReadOnlyNonRecursive: NotRequired[bool]
    ReadOnlyForceRecursive: NotRequired[bool]


class TmpfsOptions(TypedDict):
    """How a file system in memory is mounted."""

    SizeBytes: NotRequired[int]
    Mode: NotRequired[int]
    Options: NotRequired[list[list[str]]]


class MountAsked(TypedDict):
    """A mount as it was requested."""

    Type: str
    Source: NotRequired[str]
    Target: str
    ReadOnly: NotRequired[bool]
    Consistency: NotRequired[str]
    BindOptions: NotRequired[BindOptions]
    TmpfsOptions: NotRequired[TmpfsOptions]


class ResourceLimits(TypedDict):
    """Limits of a container."""

    CpuShares: int
    Memory: int
    NanoCpus: int
    CgroupParent: str
    BlkioWeight: int
    BlkioWeightDevice: list[DeviceWeight]
    BlkioDeviceReadBps: list[DeviceRate]
    BlkioDeviceWriteBps: list[DeviceRate]
    BlkioDeviceReadIOps: list[DeviceRate]
    BlkioDeviceWriteIOps: list[DeviceRate]
    CpuPeriod: int
    CpuQuota: int
    CpuRealtimePeriod: int
    CpuRealtimeRuntime: int
    CpusetCpus: str
    CpusetMems: str
    Devices: list[Device]
    DeviceCgroupRules: list[str] | None
    DeviceRequests: list[DeviceRequest] | None
    MemoryReservation: int
    MemorySwap: int
    MemorySwappiness: int | None
    OomKillDisable: bool | None
    PidsLimit: int | None
    Ulimits: list[Ulimit]
    CpuCount: int
    CpuPercent: int
    IOMaximumIOps: int
    IOMaximumBandwidth: int


class HostConfig(ResourceLimits):
    """The part of a container's configuration that depends on the host."""

    ContainerIDFile: str
    LogConfig: LogConfig
    NetworkMode: str
    PortBindings: dict[str, list[PortBinding]]
    RestartPolicy: RestartPolicy
    AutoRemove: bool
    CapAdd: list[str] | None
    CapDrop: list[str] | None
    ConsoleSize: list[int]
    Dns: list[str]
    DnsOptions: list[str]
    DnsSearch: list[str]
    ExtraHosts: list[str] | None
    GroupAdd: list[str] | None
    OomScoreAdj: int
    Privileged: bool
    PublishAllPorts: bool
    ReadonlyRootfs: bool
    ShmSize: int
    Runtime: str
    Isolation: str
    Binds: list[str] | None
    VolumesFrom: list[str] | None
    VolumeDriver: str
    Mounts: NotRequired[list[MountAsked]]
    Tmpfs: NotRequired[dict[str, str]]
    CgroupnsMode: str
    IpcMode: str
    PidMode: str
    UTSMode: str
    UsernsMode: str
    SecurityOpt: list[str] | None
    MaskedPaths: list[str] | None
    ReadonlyPaths: list[str] | None
    Cgroup: str
    Annotations: NotRequired[dict[str, str]]
    Sysctls: NotRequired[dict[str, str]]
    Init: NotRequired[bool]
    Links: list[str] | None


class ContainerInspect(TypedDict):
    """Everything about one container."""

    Id: str
    Created: Stamp
    Path: str
    Args: list[str]
    State: ContainerState
    Image: str
    ResolvConfPath: str
    HostnamePath: str
    HostsPath: str
    LogPath: str
    Name: str
    RestartCount: int
    Driver: str
    Platform: str
    MountLabel: str
    ProcessLabel: str
    AppArmorProfile: str
    ExecIDs: list[str] | None
    HostConfig: HostConfig
    GraphDriver: GraphDriver
    Mounts: list[MountPoint]
    Config: ContainerConfig
    NetworkSettings: NetworkSettings
    SizeRw: NotRequired[int]
    SizeRootFs: NotRequired[int]
