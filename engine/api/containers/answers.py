"""Define the answers about containers: fields and types."""

from typing import Annotated, NotRequired, TypedDict

import msgspec

from engine.api.answers import Healthcheck, Nothing, Stamp

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class PublishedPort(TypedDict):
    """A port in the list of containers; without an address it is not published."""

    IP: NotRequired[str]
    PrivatePort: Port
    PublicPort: NotRequired[Port]
    Type: str


class MountPoint(TypedDict):
    """One mount of a container."""

    Type: str
    Source: str
    Destination: str
    Mode: str
    RW: bool
    Propagation: str


class IpamChoice(TypedDict):
    """Addresses that were requested."""

    IPv4Address: NotRequired[str]
    IPv6Address: NotRequired[str]


class Endpoint(TypedDict):
    """A container's place in one network."""

    IPAMConfig: IpamChoice | None
    Links: list[str] | None
    Aliases: list[str] | None
    MacAddress: str
    DriverOpts: dict[str, str] | None
    GwPriority: int
    NetworkID: str
    EndpointID: str
    Gateway: str
    IPAddress: str
    IPPrefixLen: int
    IPv6Gateway: str
    GlobalIPv6Address: str
    GlobalIPv6PrefixLen: int
    DNSNames: list[str] | None


class SummaryHostConfig(TypedDict):
    """The part of the host's configuration that the list shows."""

    NetworkMode: str


class SummaryNetworks(TypedDict):
    """The networks that the list shows, by name."""

    Networks: dict[str, Endpoint]


class ContainerSummary(TypedDict):
    """A container in the list."""

    Id: str
    Names: list[str]
    Image: str
    ImageID: str
    Command: str
    Created: int
    Ports: list[PublishedPort]
    Labels: dict[str, str]
    State: str
    Status: str
    HostConfig: SummaryHostConfig
    NetworkSettings: SummaryNetworks
    Mounts: list[MountPoint]
    SizeRw: NotRequired[int]
    SizeRootFs: NotRequired[int]


class HealthResult(TypedDict):
    """The result of one health probe."""

    Start: Stamp
    End: Stamp
    ExitCode: int
    Output: str


class Health(TypedDict):
    """The state of a container's health check."""

    Status: str
    FailingStreak: int
    Log: list[HealthResult]


class ContainerState(TypedDict):
    """Where a container is in its life."""

    Status: str
    Running: bool
    Paused: bool
    Restarting: bool
    OOMKilled: bool
    Dead: bool
    Pid: int
    ExitCode: int
    Error: str
    StartedAt: Stamp
    FinishedAt: Stamp
    Health: NotRequired[Health]


class ContainerConfig(TypedDict):
    """The part of a container's configuration that does not depend on the host."""

    Hostname: str
    Domainname: str
    User: str
    AttachStdin: bool
    AttachStdout: bool
    AttachStderr: bool
    Tty: bool
    OpenStdin: bool
    StdinOnce: bool
    Env: list[str]
    Cmd: list[str] | None
    Image: str
    Volumes: dict[str, Nothing] | None
    WorkingDir: str
    Entrypoint: list[str] | None
    OnBuild: list[str] | None
    Labels: dict[str, str]
    StopSignal: str
    ArgsEscaped: NotRequired[bool]
    NetworkDisabled: NotRequired[bool]
    MacAddress: NotRequired[str]
    ExposedPorts: NotRequired[dict[str, Nothing]]
    Healthcheck: NotRequired[Healthcheck]
    Shell: NotRequired[list[str]]
    StopTimeout: NotRequired[int]


class PortBinding(TypedDict):
    """A port of the host."""

    HostIp: str
    HostPort: str


class NetworkSettings(TypedDict):
    """A container's networks; the fields outside ``Networks`` are those of the default bridge."""

    Bridge: str
    SandboxID: str
    SandboxKey: str
    Ports: dict[str, list[PortBinding] | None]
    HairpinMode: bool
    LinkLocalIPv6Address: str
    LinkLocalIPv6PrefixLen: int
    SecondaryIPAddresses: None
    SecondaryIPv6Addresses: None
    EndpointID: str
    Gateway: str
    GlobalIPv6Address: str
    GlobalIPv6PrefixLen: int
    IPAddress: str
    IPPrefixLen: int
    IPv6Gateway: str
    MacAddress: str
    Networks: dict[str, Endpoint]
