"""Protect content from deletion until an event refers to it."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from engine.domain.ids import ImageId


class Pins:
    """Counted pins on digests and chain IDs, held by uploads under way and then by images whose
    event is not durable yet.

    Attributes:
        lock: held while a pin is set, and by the collector while it decides and moves content
            away. So a caller that has set a pin and *then* finds a layer may rely on it.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._settled: dict[ImageId, list[tuple[str, ...]]] = {}

    @contextmanager
    def hold(self) -> Iterator["Hold"]:
        """Hold the pins of one upload; they are dropped at the end unless they were settled on an
        image.
        """
        hold = Hold(self)
        try:
            yield hold
        finally:
            self._drop(tuple(hold.keys))

    def release(self, image: ImageId) -> None:
        """Drop the pins that one upload settled on an image."""
        with self.lock:
            settled = self._settled.get(image)
            keys = settled.pop() if settled else ()
            if not settled:
                self._settled.pop(image, None)
        self._drop(keys)

    def pinned(self) -> frozenset[str]:
        """Return all pinned digests and chain IDs; to be called with the lock held."""
        return frozenset(self._counts)

    def add(self, hold: "Hold", key: str) -> None:
        """Pin one more digest or chain ID."""
        with self.lock:
            self._counts[key] += 1
            hold.keys.append(key)

    def settle(self, hold: "Hold", image: ImageId) -> None:
        """Keep the pins beyond the upload, until :meth:`release`."""
        with self.lock:
            self._settled.setdefault(image, []).append(tuple(hold.keys))
            hold.keys.clear()

    def _drop(self, keys: tuple[str, ...]) -> None:
        with self.lock:
            self._counts.subtract(keys)
            self._counts = +self._counts


class Hold:
    """The pins of one upload so far."""

    def __init__(self, pins: Pins) -> None:
        self._pins = pins
        self.keys: list[str] = []

    def add(self, key: str) -> None:
        """Pin one more digest or chain ID."""
        self._pins.add(self, key)

    def settle(self, image: ImageId) -> None:
        """Keep the pins beyond the upload, until the image is released."""
        self._pins.settle(self, image)
