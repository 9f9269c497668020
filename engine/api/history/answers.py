"""Define the answers about the log: fields and types."""

from typing import Annotated, Any, TypedDict

import msgspec

from engine.api.answers import Stamp


class HistoryEntry(TypedDict):
    """An event of the log."""

    seq: Annotated[int, msgspec.Meta(ge=1)]
    at_ns: int
    at: Stamp
    type: str
    stream: str
    version: int
    name: str
    id: str
    actor: dict[str, Any]  # Any: who asked, of several kinds
    outcome: str
    cause: int | None
    correlation: str
    data: dict[str, Any]  # Any: each type of event has its own fields


class Verdict(TypedDict):
    """Whether the log is sound."""

    ok: bool
    events: int
    first_bad_seq: int | None
    problems: list[str]
