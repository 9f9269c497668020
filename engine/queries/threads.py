"""Run questions on threads of their own; a question ends when its client goes.

The number of threads for questions is limited, so that effects always find theirs. Long questions
(an audit, a moment long ago) have another limit than short ones. A thread can't be stopped from
outside: a question that reads much calls :func:`pause` between blocks, which ends it once its
client has gone, and leaves the interpreter to the event loop and the log's writer.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

import trio

T = TypeVar("T")

_SHORT_AT_ONCE: Final = 8
_LONG_AT_ONCE: Final = 2
_BLOCK_EVENTS: Final = 100
_PAUSE_S: Final = 0.0005

_short: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("short questions")
_long: trio.lowlevel.RunVar[trio.CapacityLimiter] = trio.lowlevel.RunVar("long questions")


async def ask(function: Callable[[], T]) -> T:
    """Run a short question on a thread, and wait for the answer."""
    return await trio.to_thread.run_sync(function, limiter=_limiter(_short, _SHORT_AT_ONCE))


async def ask_at_length(function: Callable[[], T]) -> T:
    """Run a question that reads all of the log on a thread, and wait for the answer. It calls
    :func:`pause` as it goes on.
    """
    return await trio.to_thread.run_sync(function, limiter=_limiter(_long, _LONG_AT_ONCE))


def pause() -> None:
    """Let other threads run, and end the question if its client has gone. Runs in the question's
    thread.

    Raises:
        Cancelled: nobody waits for the answer any more.
    """
    trio.from_thread.check_cancelled()
    time.sleep(_PAUSE_S)


def unhurried(items: Iterable[T]) -> Iterator[T]:
    """Yield the items, with a :func:`pause` after every hundred."""
    for number, item in enumerate(items, start=1):
        if not number % _BLOCK_EVENTS:
            pause()
        yield item


def _limiter(
    variable: trio.lowlevel.RunVar[trio.CapacityLimiter], at_once: int
) -> trio.CapacityLimiter:
    try:
        return variable.get()
    except LookupError:
        limiter = trio.CapacityLimiter(at_once)
        variable.set(limiter)
        return limiter
