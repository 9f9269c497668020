"""Define the answers of ``/events``: fields and types."""

from typing import NotRequired, TypedDict


class EventActor(TypedDict):
    """What an event is about."""

    ID: str
    Attributes: dict[str, str]


EventMessage = TypedDict(
    "EventMessage",
    {
        "Type": str,
        "Action": str,
        "Actor": EventActor,
        "scope": str,
        "time": int,
        "timeNano": int,
        "status": NotRequired[str],
        "id": NotRequired[str],
        "from": NotRequired[str],  # no name in Python
    },
)
"""Something that has happened."""
