"""Select events by place, stream, type and time, with one statement for each block of rows.

Every statement must find its rows by an index, whatever the size of the log. SQLite prefers to walk
along ``seq``, because that is the order asked for, past all rows that don't match. A unary plus
forbids it to use an index for a term (https://sqlite.org/optoverview.html#uplus)::

    of streams        the rows' positions from the index of streams, sorted; then the rows
    of types          the index of types, each type's rows in the order of seq
    at times          the first and the last position from the index of times; then along seq
    nothing of these  along seq
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, func, literal_column, or_, select

from engine.store import schema

_events: Final = schema.events.c
_inner: Final = schema.events.alias("inner_events")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Describes which events to read; see :meth:`engine.store.read.Reader.read`."""

    until_seq: int | None = None
    streams: Collection[str] | None = None
    below: str | None = None
    types: Collection[str] | None = None
    since_ns: int | None = None
    until_ns: int | None = None

    @property
    def is_by_time(self) -> bool:
        """Return whether the index of times narrows the selection down."""
        by_stream = self.streams is not None or self.below is not None
        return not by_stream and (self.since_ns, self.until_ns) != (None, None)

    def block(self, after_seq: int, size: int) -> Select[Any]:
        """Select the first rows behind a position, in the order of ``seq``."""
        if self.streams is None and self.below is None:
            terms = self._terms(_events.seq, _events.type, _events.at_ns, after_seq)
            return select(schema.events).where(*terms).order_by(_events.seq).limit(size)
        seq, kind, at_ns = (_not_indexed(name) for name in ("seq", "type", "at_ns"))
        positions = (
            select(_inner.c.seq)
            .where(*self._of_streams(), *self._terms(seq, kind, at_ns, after_seq))
            .order_by(seq)
            .limit(size)
        )
        return select(schema.events).where(_events.seq.in_(positions)).order_by(_events.seq)

    def _of_streams(self) -> list[ColumnElement[bool]]:
        stream = _inner.c.stream
        terms: list[ColumnElement[bool]] = []
        if self.streams is not None:
            terms.append(stream.in_(self.streams))
        if self.below is not None:  # ``0`` is the character after the slash
            below = and_(stream > f"{self.below}/", stream < f"{self.below}0")
            terms.append(or_(stream == self.below, below))
        return terms

    def _terms(
        self, seq: Any, kind: Any, at_ns: Any, after_seq: int
    ) -> list[ColumnElement[bool]]:  # Any: columns, with a plus or without
        terms = [seq > after_seq]
        if self.until_seq is not None:
            terms.append(seq <= self.until_seq)
        if self.types is not None:
            terms.append(kind.in_(self.types))
        if self.since_ns is not None:
            terms.append(at_ns >= self.since_ns)
        if self.until_ns is not None:
            terms.append(at_ns <= self.until_ns)
        return terms


def positions_between(since_ns: int | None, until_ns: int | None) -> Select[Any]:
    """Select the first and the last ``seq`` of what happened at some time; NULL when nothing did.

    Takes time in proportion to the number of these events, from the index of times alone.
    """
    at_ns, seq = _inner.c.at_ns, _not_indexed("seq")
    query = select(func.min(seq), func.max(seq)).select_from(_inner)
    if since_ns is not None:
        query = query.where(at_ns >= since_ns)
    if until_ns is not None:
        query = query.where(at_ns <= until_ns)
    return query


def _not_indexed(name: str) -> Any:  # Any: the column's own type
    return literal_column(f"+{_inner.name}.{name}", _inner.c[name].type)
