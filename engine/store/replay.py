"""Replay the history row by row, past rows that can't be read.

A stream that has such a row is broken from there on: nothing that follows can be trusted to follow
from what went before. Its container is dead in the view, with the reason; everything else is as its
events say.
"""

from engine.domain.streams import HOST
from engine.store.chain import Row
from engine.store.codec import Codec
from engine.store.projections import View
from engine.store.states import unreadable


class Replay:
    """Computes a view from rows, one after the other, in the order of ``seq``."""

    def __init__(self, codec: Codec) -> None:
        self.view = View()
        self.broken: dict[str, str] = {}
        """By stream: which row can't be read, and why."""
        self.first_bad_seq: int | None = None
        self._codec = codec

    def add(self, row: Row) -> None:
        """Apply one row; note what is wrong with it instead of raising."""
        if row.stream in self.broken:
            return
        try:
            event = self._codec.decode(row.type, row.schema, row.data)
            state = self.view.next(row.stream, (event,), row.at_ns)
        except Exception as error:  # whatever somebody wrote there
            self._give_up(row, error)
        else:
            self.view.put(row.stream, row.version, state)

    def _give_up(self, row: Row, error: Exception) -> None:
        reason = f"event {row.seq} of {row.stream} can't be read ({error or error!r})"
        self.broken[row.stream] = reason
        if self.first_bad_seq is None:
            self.first_bad_seq = row.seq
        last = self.view.get(row.stream)
        if row.stream != HOST:
            self.view.put(row.stream, row.version, unreadable(row.stream, last, reason))
