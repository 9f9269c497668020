"""Follow a log: read what is there, then what is written, until the container has exited.

inotify(7) reports when a log has grown. The file does not show whether it will grow again, so the
caller passes an event that is set once the container's exit is known; what was written before that
is still sent.
"""

import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path
from typing import Final

import trio

from engine.drivers.logs.query import LogReader
from engine.errors import DriverError
from engine.ports.streams import LogOptions
from engine.runtime import linux

_EVENTS_BYTES: Final = 4096
_GROWTH: Final = linux.IN_MODIFY | linux.IN_MOVED_TO
_NS_PER_S: Final = 1_000_000_000

NextBlock = Callable[[Iterator[bytes]], Awaitable[bytes | None]]
"""Takes one block, for example on a thread of a lane."""


async def next_here(blocks: Iterator[bytes]) -> bytes | None:
    """Take one block on the calling thread: it takes a millisecond or two."""
    await trio.lowlevel.checkpoint()
    return next(blocks, None)


async def read_log(
    path: Path,
    options: LogOptions,
    *,
    ended: trio.Event | None = None,
    next_block: NextBlock = next_here,
) -> AsyncGenerator[bytes, None]:
    """Yield a log in blocks for Docker's clients; with ``ended``, follow it until that is set or
    ``until_ns`` is past.

    Raises:
        DriverError: the log can't be read or watched.
    """
    reader = LogReader(path, options)
    try:
        async with AsyncExitStack() as stack:
            growth = None if ended is None else stack.enter_context(_Growth(path))
            while True:
                last = ended is None or ended.is_set() or _is_past(options.until_ns)
                blocks = reader.blocks()
                while (block := await next_block(blocks)) is not None:
                    yield block
                if last or ended is None or growth is None:
                    return
                await _more(growth, ended, options.until_ns)
    finally:
        reader.close()


class _Growth:
    """An inotify descriptor that watches a log's directory, because its files are created and
    renamed. Opened on entering the block.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> "_Growth":
        with ExitStack() as undo:
            try:
                self._fd = linux.inotify_init1()
                undo.callback(os.close, self._fd)
                linux.inotify_add_watch(self._fd, str(self._path.parent), _GROWTH)
            except OSError as error:
                raise DriverError(f"watch the log {self._path}") from error
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        trio.lowlevel.notify_closing(self._fd)
        os.close(self._fd)

    async def wait(self) -> None:
        """Return when a file has changed since the last call."""
        await trio.lowlevel.wait_readable(self._fd)
        with suppress(BlockingIOError):
            os.read(self._fd, _EVENTS_BYTES)


async def _more(growth: _Growth, ended: trio.Event, until_ns: int | None) -> None:
    """Return when the log has grown, the container has exited, or ``until_ns`` is past."""
    left_s = float("inf") if until_ns is None else (until_ns - time.time_ns()) / _NS_PER_S
    with trio.move_on_after(max(0.0, left_s)):
        async with trio.open_nursery() as first:

            async def wait(what: Callable[[], Awaitable[None]]) -> None:
                await what()
                first.cancel_scope.cancel()

            first.start_soon(wait, growth.wait)
            first.start_soon(wait, ended.wait)


def _is_past(moment_ns: int | None) -> bool:
    return moment_ns is not None and time.time_ns() >= moment_ns
