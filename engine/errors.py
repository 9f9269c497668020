"""Define the errors of the engine.

A class says *what happened*; its :class:`Kind` says *what a client can do about it*. Code that
answers clients maps the kinds, never the classes, and no code depends on a message. An error that
has no kind of its own is our own fault: :attr:`Kind.INTERNAL`.
"""

from enum import StrEnum
from typing import ClassVar, Final

MESSAGE_CHARACTERS_MAX: Final = 4096
"""In the message of an effect that failed. It may name a command or a path, of which a request can
have a megabyte, and it becomes part of an event, or travels through a pipe: as JSON a character has
12 bytes at most."""


def shortened(message: str) -> str:
    """Return a message without its middle if it is too long: what matters is at both ends."""
    if len(message) <= MESSAGE_CHARACTERS_MAX:
        return message
    half = MESSAGE_CHARACTERS_MAX // 2
    return f"{message[: half - 1]}…{message[-half:]}"


class Kind(StrEnum):
    """What the caller can do about an error."""

    INVALID = "invalid"
    """Change the request: it is wrong in itself."""
    UNAUTHORIZED = "unauthorized"
    """Authenticate with the service that the message names."""
    FORBIDDEN = "forbidden"
    """No action possible: this caller has no permission."""
    NOT_FOUND = "not_found"
    """Name something that exists."""
    NOT_MODIFIED = "not_modified"
    """No action needed: the object is already in the requested state."""
    CONFLICT = "conflict"
    """Resolve the conflict that the message names, then repeat the request."""
    TOO_LARGE = "too_large"
    """Send less."""
    UNSUPPORTED = "unsupported"
    """No action possible: this engine does not support it."""
    UNAVAILABLE = "unavailable"
    """Wait, then repeat the request."""
    INTERNAL = "internal"
    """Report it: the fault is ours."""


class EngineError(Exception):
    """The base class of all errors that the engine raises on purpose; ``str(error)`` is a message
    for users.
    """

    kind: ClassVar[Kind] = Kind.INTERNAL


class InvalidRequest(EngineError):
    """A value that is invalid whatever the state of the engine."""

    kind = Kind.INVALID


class NotFound(EngineError):
    """The object does not exist."""

    kind = Kind.NOT_FOUND


class Conflict(EngineError):
    """The request is valid, but the present state forbids it."""

    kind = Kind.CONFLICT


class NotModified(EngineError):
    """The object is already in the requested state."""

    kind = Kind.NOT_MODIFIED


class Forbidden(EngineError):
    """The caller has no permission."""

    kind = Kind.FORBIDDEN


class TooLarge(EngineError):
    """A header, body or archive is larger than its limit."""

    kind = Kind.TOO_LARGE


class Unsupported(EngineError):
    """A part of the API that this engine does not support."""

    kind = Kind.UNSUPPORTED


class Unavailable(EngineError):
    """The engine can't do it now: the disk is full, the database is locked, it is shutting down."""

    kind = Kind.UNAVAILABLE


class DriverError(EngineError):
    """The kernel refused an effect. The message names the action and the object; the cause keeps
    the errno.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(shortened(message))
