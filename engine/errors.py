"""Define the errors of the engine.

A class says *what happened*; its :class:`Kind` says *what a client can do about it*. Whoever speaks
to clients maps the kinds, never the classes, and nobody branches on a message. An error that nobody
classified is our own fault: :attr:`Kind.INTERNAL`.
"""

from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    """What the caller can do about an error."""

    INVALID = "invalid"
    """Ask differently: the request itself is wrong."""
    UNAUTHORIZED = "unauthorized"
    """Prove who you are, to whomever the message names."""
    FORBIDDEN = "forbidden"
    """Nothing: this caller may not."""
    NOT_FOUND = "not_found"
    """Name something that exists."""
    NOT_MODIFIED = "not_modified"
    """Nothing: it is already so."""
    CONFLICT = "conflict"
    """Change what stands in the way, then ask again."""
    TOO_LARGE = "too_large"
    """Send less."""
    UNSUPPORTED = "unsupported"
    """Nothing: this engine can't do it."""
    UNAVAILABLE = "unavailable"
    """Wait, then ask again."""
    INTERNAL = "internal"
    """Report it: the fault is ours."""


class EngineError(Exception):
    """The root of everything the engine raises on purpose; ``str(error)`` is fit for a user's
    eyes.
    """

    kind: ClassVar[Kind] = Kind.INTERNAL


class InvalidRequest(EngineError):
    """A value that can't be honoured, whatever the state of things."""

    kind = Kind.INVALID


class NotFound(EngineError):
    """No such object."""

    kind = Kind.NOT_FOUND


class Conflict(EngineError):
    """The request is sound, the present state forbids it."""

    kind = Kind.CONFLICT


class NotModified(EngineError):
    """What was asked for is already so."""

    kind = Kind.NOT_MODIFIED


class Forbidden(EngineError):
    """The caller may not."""

    kind = Kind.FORBIDDEN


class TooLarge(EngineError):
    """A header, body or archive beyond its limit."""

    kind = Kind.TOO_LARGE


class Unsupported(EngineError):
    """A part of the API that this engine does not have."""

    kind = Kind.UNSUPPORTED


class Unavailable(EngineError):
    """The engine can't do it now: the disk is full, the database is locked, it is shutting down."""

    kind = Kind.UNAVAILABLE


class DriverError(EngineError):
    """The kernel refused an effect. The message names the act and the object, the cause keeps the
    errno.
    """
