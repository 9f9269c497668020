"""Define what several kinds of answers have in common: fields and types."""

from typing import Annotated, Any, NotRequired, TypedDict

import msgspec

Stamp = Annotated[
    str,
    msgspec.Meta(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$"),
]
"""A time as RFC 3339 has it."""


def since(version: str) -> msgspec.Meta:
    """Describe a field that clients of older versions of the API don't get."""
    return msgspec.Meta(description=f"Since API {version}.")


def until(version: str) -> msgspec.Meta:
    """Describe a field that clients of newer versions of the API don't get."""
    return msgspec.Meta(description=f"Up to API {version}.")


Nothing = dict[str, Any]  # Any: an empty object, of which only the name counts


class Healthcheck(TypedDict):
    """A health check; spans in nanoseconds."""

    Test: NotRequired[list[str]]
    Interval: NotRequired[int]
    Timeout: NotRequired[int]
    StartPeriod: NotRequired[int]
    StartInterval: NotRequired[int]
    Retries: NotRequired[int]


class GraphDriver(TypedDict):
    """Where an object's files are on the host."""

    Name: str
    Data: dict[str, str]


class Refused(TypedDict):
    """Why a request has failed."""

    message: str


class Identity(TypedDict):
    """The ID of a new object."""

    Id: str


class Volume(TypedDict):
    """A volume; there are none yet."""
