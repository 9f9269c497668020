"""Define the answers where there is nothing: fields and types."""

from typing import TypedDict

from engine.api.answers import Volume


class Plugin(TypedDict):
    """A plugin: there are none."""


class VolumeList(TypedDict):
    """All volumes."""

    Volumes: list[Volume]
    Warnings: None


class VolumesPruned(TypedDict):
    """What a prune of volumes has removed."""

    VolumesDeleted: list[str]
    SpaceReclaimed: int


class BuildsPruned(TypedDict):
    """What a prune of builds has removed."""

    CachesDeleted: None
    SpaceReclaimed: int
