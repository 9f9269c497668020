"""Run background loops: the one place that decides what an error in any of them leads to.

::

    forever(loop, step):   step ─▶ step ─▶ error: log once, wait ─▶ step ─▶ success: no more wait …
    until_done(job, step): the same until the first success

A step that fails is retried after a delay that grows from ``first_s`` by ``factor`` up to
``max_s``. An error is logged when it first occurs, and again only after another kind of error, so
that a disk that is broken for a week makes one line. Our own bugs (any exception that is neither an
:class:`EngineError` nor an :class:`OSError`) are logged with their traceback.

No error in a loop ends the daemon. A corrupt log is found at the start, before any loop runs; if
the log becomes unreadable later, appends are refused one by one, and reads are still served.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NoReturn

import structlog
import trio

from engine.errors import EngineError

log = structlog.get_logger()

Step = Callable[[], Awaitable[object]]


class Loop(StrEnum):
    """Background loops and jobs of the daemon. A test injects an error into each of them."""

    SWEEP = "sweep"
    HEALTH = "health"
    SANDBOX_POOL = "sandbox_pool"
    TRASH = "trash"
    LAUNCHER = "launcher"
    RESOLVER = "resolver"
    MONITORS = "monitors"
    NETWORK_WATCH = "network_watch"
    IMAGE_COLLECTOR = "image_collector"
    WATCHDOG = "watchdog"


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a failed step is retried."""

    first_s: float = 0.1
    factor: float = 2.0
    max_s: float = 30.0

    def delays(self) -> Iterator[float]:
        """Yield the delay after the first failure, after the second, and so on for ever."""
        delay_s = self.first_s
        while True:
            yield min(delay_s, self.max_s)
            delay_s = min(delay_s * self.factor, self.max_s)


DEFAULT_BACKOFF: Final = Backoff()


async def forever(loop: Loop, step: Step, backoff: Backoff = DEFAULT_BACKOFF) -> NoReturn:
    """Repeat a step until cancelled, whatever errors it raises."""
    while True:
        await until_done(loop, step, backoff)


async def until_done(loop: Loop, step: Step, backoff: Backoff = DEFAULT_BACKOFF) -> None:
    """Repeat a step until it has succeeded once."""
    logged_kind = ""
    for delay_s in backoff.delays():
        try:
            await step()
        except Exception as error:  # a root: an error must not end the daemon or stop the loop
            logged_kind = _log_once(loop, error, logged_kind)
        else:
            if logged_kind:
                log.info("background_loop_recovered", loop=loop)
            await trio.lowlevel.checkpoint()
            return
        await trio.sleep(delay_s)


def _log_once(loop: Loop, error: Exception, logged_kind: str) -> str:
    """Log an error unless the previous one was of the same kind.

    Returns the error's kind, for the next call.
    """
    kind = _kind_of(error)
    if kind != logged_kind:
        expected = isinstance(error, EngineError | OSError)
        cause = str(error.__cause__) if error.__cause__ else None
        text = f"{type(error).__name__}: {error}"
        log.warning(
            "background_loop_failed", loop=loop, error=text, cause=cause, exc_info=not expected
        )
    return kind


def _kind_of(error: Exception) -> str:
    """Return the kind of an error: errors of one kind in a row are logged once.

    The kernel's error number counts where there is one, because messages name another object each
    time.
    """
    for each in (error.__cause__, error):
        if isinstance(each, OSError):
            return f"{type(error).__name__} {each.errno}"
    return f"{type(error).__name__}: {error}"
