"""Deadlines: how long the worker waits for each kind of action before it records a failure.

A file system that doesn't answer blocks a system call for ever, without an error. When a deadline
passes, the worker records the action as failed and answers the waiting client, and the container
can be started, killed or removed again. The driver abandons the thread.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

import trio

from engine.errors import DriverError
from engine.ports.actions import (
    Action,
    KillEverything,
    Launch,
    PrepareRun,
    RemoveDirectory,
    UpdateFiles,
)

USUAL_S: Final = 30.0
"""Actions take milliseconds; under heavy load, seconds."""

_DEADLINES_S: Final[Mapping[type[Action], float]] = MappingProxyType(
    {
        Launch: 90.0,  # the driver itself gives up after 60 s, kills, and says why
    }
)

_CAUSES: Final[Mapping[type[Action], str]] = MappingProxyType(
    {
        PrepareRun: "a file system that holds a bind mount's source may not answer",
        UpdateFiles: "the disk that holds the container's files may not answer",
        RemoveDirectory: "the disk that holds the container's files may not answer",
        KillEverything: "a process may be in an uninterruptible state",
    }
)


def deadline_s(action: Action) -> float:
    """Return how long an action may take."""
    return _DEADLINES_S.get(type(action), USUAL_S)


@contextmanager
def deadline_of(action: Action) -> Iterator[None]:
    """Cancel the block when the action's deadline passes.

    Raises:
        DriverError: the time is over.
    """
    limit_s = deadline_s(action)
    with trio.move_on_after(limit_s) as scope:
        yield
    if scope.cancelled_caught:
        cause = _CAUSES.get(type(action), "the kernel does not answer")
        raise DriverError(f"{type(action).__name__} did not end within {limit_s:.0f} s: {cause}")
