"""Define the answers about images: fields and types."""

from typing import Annotated, NotRequired, TypedDict

from engine.api.answers import GraphDriver, Healthcheck, Nothing, Stamp, until


class ImageSummary(TypedDict):
    """An image in the list; -1 means that a value was not counted."""

    Containers: int
    Created: int
    Id: str
    Labels: dict[str, str] | None
    ParentId: str
    RepoDigests: list[str]
    RepoTags: list[str]
    SharedSize: int
    Size: int
    VirtualSize: NotRequired[Annotated[int, until("1.43")]]


class ImageConfig(TypedDict):
    """What containers that are made from an image start with."""

    User: str
    Env: list[str] | None
    Cmd: list[str] | None
    Volumes: dict[str, Nothing] | None
    WorkingDir: str
    Entrypoint: list[str] | None
    OnBuild: list[str] | None
    Labels: dict[str, str] | None
    ExposedPorts: NotRequired[dict[str, Nothing]]
    Healthcheck: NotRequired[Healthcheck]
    StopSignal: NotRequired[str]
    StopTimeout: NotRequired[int]
    Shell: NotRequired[list[str]]
    Hostname: NotRequired[Annotated[str, until("1.49")]]
    Domainname: NotRequired[Annotated[str, until("1.49")]]
    AttachStdin: NotRequired[Annotated[bool, until("1.49")]]
    AttachStdout: NotRequired[Annotated[bool, until("1.49")]]
    AttachStderr: NotRequired[Annotated[bool, until("1.49")]]
    Tty: NotRequired[Annotated[bool, until("1.49")]]
    OpenStdin: NotRequired[Annotated[bool, until("1.49")]]
    StdinOnce: NotRequired[Annotated[bool, until("1.49")]]
    Image: NotRequired[Annotated[str, until("1.49")]]


class RootFs(TypedDict):
    """The layers by their diff IDs, the lowest first."""

    Type: str
    Layers: list[str]


class ImageMetadata(TypedDict):
    """What only this engine knows of an image."""

    LastTagTime: Stamp


class ImageInspect(TypedDict):
    """Everything about one image."""

    Id: str
    RepoTags: list[str]
    RepoDigests: list[str]
    Parent: str
    Comment: str
    Created: str
    DockerVersion: str
    Author: str
    Config: ImageConfig
    Architecture: str
    Os: str
    Size: int
    GraphDriver: GraphDriver
    RootFS: RootFs
    Metadata: ImageMetadata
    Variant: NotRequired[str]
    VirtualSize: NotRequired[Annotated[int, until("1.43")]]
    Container: NotRequired[Annotated[str, until("1.44")]]
    ContainerConfig: NotRequired[Annotated[ImageConfig, until("1.44")]]


class ImageStep(TypedDict):
    """One step of how an image was built."""

    Id: str
    Created: int
    CreatedBy: str
    Tags: list[str] | None
    Size: int
    Comment: str


class ImageRemoved(TypedDict, total=False):
    """One name, image or layer that was removed."""

    Untagged: str
    Deleted: str


class ImagesPruned(TypedDict):
    """What a prune of images has removed."""

    ImagesDeleted: list[ImageRemoved] | None
    SpaceReclaimed: int


class Progress(TypedDict, total=False):
    """One line about the progress of an operation."""

    status: str
    stream: str
