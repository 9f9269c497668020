"""Define what every event has in common: its stored name, and its origin.

An event says that something *happened*; its class is named in the past tense. ``TYPE`` and
``SCHEMA`` are what the store writes, literals that outlive any renaming of the class. A released
event never changes: a new meaning is a new ``SCHEMA`` and an upcaster in ``store/codec.py``.
"""

from enum import StrEnum
from typing import ClassVar

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all events. Fields are plain data: JSON and back without loss."""

    TYPE: ClassVar[str]
    SCHEMA: ClassVar[int] = 1


class ActorKind(StrEnum):
    """Who can cause an event."""

    USER = "user"
    SUPERVISOR = "supervisor"
    MONITOR = "monitor"


class Actor(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who caused a request, as the kernel or a certificate named them, never as the caller did.

    ``uid``, ``gid`` and ``pid`` are SO_PEERCRED's, unix(7); ``program`` is the target of
    ``/proc/PID/exe`` and ``login_uid`` the audit login of ``/proc/PID/loginuid`` (None when unset),
    both read when the connection was made. ``name`` is the user's name on this machine, or the one
    in the certificate; ``address`` is where a connection over the network came from.
    """

    kind: ActorKind
    name: str = ""
    uid: int | None = None
    gid: int | None = None
    pid: int | None = None
    program: str = ""
    login_uid: int | None = None
    address: str = ""


SUPERVISOR = Actor(kind=ActorKind.SUPERVISOR)
MONITOR = Actor(kind=ActorKind.MONITOR)


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where events come from: the actor, the causing event (its ``seq``), and the request."""

    actor: Actor
    cause: int | None = None
    correlation: str = ""
    """Identifies the request: 32 hexadecimal digits, the same for everything that it caused."""
