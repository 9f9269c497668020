"""Close descriptors only when no thread uses them any more.

Work on a thread may be abandoned by its caller (:mod:`engine.drivers.lanes`) and go on for as long
as a file system doesn't answer. Were its descriptors closed meanwhile, their numbers would belong
to other files, and the thread would read or write those.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class DeferredClose:
    """Calls closers once, when :meth:`close` was called and the last use has ended."""

    def __init__(self, *closers: Callable[[], None]) -> None:
        self._closers = list(closers)
        self._guard = threading.Lock()
        self._uses = 0
        self._is_closed = False

    def add(self, closer: Callable[[], None]) -> None:
        """Call one more closer when the time comes; during a use, or before :meth:`close`."""
        with self._guard:
            self._closers.append(closer)

    def use(self, function: Callable[[], T]) -> T:
        """Call a function; what it uses stays open until it returns. For the thread's side.

        Raises:
            ValueError: it is closed.
        """
        with self._guard:
            if self._is_closed:
                raise ValueError("used after close()")
            self._uses += 1
        try:
            return function()
        finally:
            with self._guard:
                self._uses -= 1
            self._close_unused()

    def close(self) -> None:
        """Close at once, or at the end of the last use; twice does no harm."""
        with self._guard:
            self._is_closed = True
        self._close_unused()

    def _close_unused(self) -> None:
        with self._guard:
            if self._uses or not self._is_closed:
                return
            closers, self._closers = self._closers, []
        for closer in closers:
            closer()
