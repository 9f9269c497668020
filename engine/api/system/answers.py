"""Define the answers about the engine itself: version, info, disk usage."""

from typing import Annotated, Any, NotRequired, TypedDict

from engine.api.answers import Stamp, Volume, since, until
from engine.api.containers.answers import ContainerSummary
from engine.api.images.answers import ImageSummary


class PlatformName(TypedDict):
    """The name of the engine."""

    Name: str


class ComponentDetails(TypedDict):
    """More about one part of the engine."""

    ApiVersion: str
    MinAPIVersion: str
    GitCommit: str
    GoVersion: str
    Os: str
    Arch: str
    KernelVersion: str
    BuildTime: Stamp
    Experimental: str
    PythonVersion: str


class Component(TypedDict):
    """One part of the engine."""

    Name: str
    Version: str
    Details: ComponentDetails


class Version(TypedDict):
    """Versions of the engine, of the API and of the kernel."""

    Platform: PlatformName
    Components: list[Component]
    Version: str
    ApiVersion: str
    MinAPIVersion: str
    GitCommit: str
    GoVersion: str
    Os: str
    Arch: str
    KernelVersion: str
    BuildTime: Stamp


class Plugins(TypedDict):
    """The names of all drivers, by kind."""

    Volume: list[str]
    Network: list[str]
    Authorization: list[str] | None
    Log: list[str]


class RegistryConfig(TypedDict):
    """How the engine connects to registries."""

    InsecureRegistryCIDRs: list[str]
    IndexConfigs: dict[str, Any]  # Any: always empty
    Mirrors: list[str]
    AllowNondistributableArtifactsCIDRs: NotRequired[Annotated[list[str], until("1.47")]]
    AllowNondistributableArtifactsHostnames: NotRequired[Annotated[list[str], until("1.47")]]


class Commit(TypedDict):
    """The version of a program that other engines consist of."""

    ID: str
    Expected: NotRequired[Annotated[str, until("1.48")]]


class Runtime(TypedDict):
    """What starts containers."""

    path: str


class SwarmInfo(TypedDict):
    """The state of the swarm: there is none."""

    NodeID: str
    NodeAddr: str
    LocalNodeState: str
    ControlAvailable: bool
    Error: str
    RemoteManagers: None


class AddressPoolBase(TypedDict):
    """Where the subnets of new networks come from."""

    Base: str
    Size: int


class FirewallBackend(TypedDict):
    """What filters packets."""

    Driver: str


class Info(TypedDict):
    """The engine, the machine, and what there is on it."""

    Containers: int
    ContainersRunning: int
    ContainersPaused: int
    ContainersStopped: int
    Images: int
    IPv4Forwarding: bool
    KernelVersion: str
    OperatingSystem: str
    OSVersion: str
    OSType: str
    Architecture: str
    NCPU: int
    MemTotal: int
    Name: str
    GenericResources: None
    Isolation: str
    MemoryLimit: bool
    SwapLimit: bool
    KernelMemoryTCP: bool
    CpuCfsPeriod: bool
    CpuCfsQuota: bool
    CPUShares: bool
    CPUSet: bool
    PidsLimit: bool
    OomKillDisable: bool
    ID: str
    Driver: str
    DriverStatus: list[list[str]]
    DockerRootDir: str
    Plugins: Plugins
    Debug: bool
    NFd: int
    NGoroutines: int
    NEventsListener: int
    SystemTime: Stamp
    LoggingDriver: str
    CgroupDriver: str
    CgroupVersion: str
    IndexServerAddress: str
    HttpProxy: str
    HttpsProxy: str
    NoProxy: str
    Labels: list[str]
    ExperimentalBuild: bool
    ServerVersion: str
    Runtimes: dict[str, Runtime]
    DefaultRuntime: str
    Swarm: SwarmInfo
    LiveRestoreEnabled: bool
    InitBinary: str
    CDISpecDirs: list[str]
    DefaultAddressPools: list[AddressPoolBase]
    KernelMemory: NotRequired[Annotated[bool, until("1.41")]]
    BridgeNfIptables: NotRequired[Annotated[bool, until("1.49")]]
    BridgeNfIp6tables: NotRequired[Annotated[bool, until("1.49")]]
    FirewallBackend: NotRequired[Annotated[FirewallBackend, since("1.49")]]
    RegistryConfig: RegistryConfig
    ContainerdCommit: Commit
    RuncCommit: Commit
    InitCommit: Commit
    SecurityOptions: list[str]
    Warnings: list[str] | None


class BuildRecord(TypedDict):
    """What a build has left; there are no builds."""


class DiskUsage(TypedDict):
    """What lies on the disk; a kind that was not asked for is null."""

    LayersSize: int
    Images: list[ImageSummary] | None
    Containers: list[ContainerSummary] | None
    Volumes: list[Volume] | None
    BuildCache: list[BuildRecord] | None


class LoggedIn(TypedDict):
    """A registry's answer to credentials."""

    IdentityToken: str
    Status: str
