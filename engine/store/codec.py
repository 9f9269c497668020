"""Convert events to rows and back, old shapes included.

To add an event:

1. Write the class in its aggregate's module in ``engine/domain``: past tense, ``TYPE`` a new
   literal, ``SCHEMA`` 1; fields of plain data, and nothing secret (what is in the log stays there).
2. Put it into that module's ``EVENTS`` (``released.py`` collects those).
3. Give it its place in ``TRANSITIONS``, and say in ``evolve``, or in the tables that it reads, what
   it changes.
4. ``tests/unit/test_codec.py`` finds it by itself and checks that it comes back unchanged.

To change a released event: never edit its meaning. Raise ``SCHEMA``, and add to ``UPCASTERS`` in
``released.py`` the function that turns the old data (a plain ``dict``) into the new. A new field
*with a default* needs neither: old rows read as the default. The database in ``tests/data`` that
has the old shape stays, and must replay; before the release, make one with the new (see there). To
retire one: it stays in ``EVENTS`` for ever; only its ``decide`` goes.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from engine.domain.event import Actor, Event, Origin
from engine.store.errors import EventTooLarge, UnknownEvent

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]  # Any: JSON, whatever shape it had then
"""Turns the data of one schema into that of the next."""

_encode: Final = msgspec.json.Encoder().encode
_ACTORS_REMEMBERED: Final = 1024
"""Distinct callers are few, events many."""

EVENT_BYTES_MAX: Final = 1 << 20
"""An event is kept for ever and read whole. The largest honest one is a container's creation: its
arguments and its environment, for which Linux has 2 MiB on a usual stack (execve(2)) but of which
images and people need some kilobytes, and a seccomp profile."""

_decode_actor = lru_cache(_ACTORS_REMEMBERED)(msgspec.json.Decoder(Actor).decode)


@lru_cache(_ACTORS_REMEMBERED)
def encode_actor(actor: Actor) -> str:
    """Encode an actor for the column ``actor``."""
    return _encode(actor).decode()


def decode_origin(actor: str, cause: int | None, correlation: str) -> Origin:
    """Decode the three columns of an origin."""
    return Origin(actor=_decode_actor(actor), cause=cause, correlation=correlation)


class Codec:
    """Encodes and decodes the events that an engine knows.

    Args:
        events: every event class, those no longer written included.
        upcasters: by type and the schema that they read.
    """

    def __init__(
        self,
        events: Iterable[type[Event]],
        upcasters: Mapping[tuple[str, int], Upcaster] | None = None,
    ) -> None:
        self._classes: dict[str, type[Event]] = {}
        for event in events:
            other = self._classes.setdefault(event.TYPE, event)
            assert other is event, f"{event!r} and {other!r} are both stored as {event.TYPE}"
        self._decoders = {name: msgspec.json.Decoder(cls) for name, cls in self._classes.items()}
        self._upcasters = dict(upcasters or {})
        for name, cls in self._classes.items():
            missing = [n for n in range(1, cls.SCHEMA) if (name, n) not in self._upcasters]
            assert not missing, f"{name}: no upcaster from schema {missing}"

    @property
    def types(self) -> Mapping[str, type[Event]]:
        """Return the event classes by their stored names."""
        return self._classes

    def encode(self, event: Event) -> tuple[str, int, str]:
        """Return the columns ``type``, ``schema`` and ``data`` of an event.

        What can't be read back is not written: msgspec checks types only when it decodes, so that
        is done here too.

        Raises:
            EventTooLarge: it is longer than ``EVENT_BYTES_MAX``.
        """
        name = event.TYPE
        assert self._classes.get(name) is type(event), f"{event!r} is in nobody's EVENTS"
        encoded = _encode(event)
        if len(encoded) > EVENT_BYTES_MAX:
            raise EventTooLarge(
                f"{name}: {len(encoded)} bytes are too much for one event; at most {EVENT_BYTES_MAX} are kept"
            )
        assert self._decoders[name].decode(encoded) == event, f"{event!r} doesn't survive JSON"
        return name, event.SCHEMA, encoded.decode()

    def decode(self, name: str, schema: int, data: str) -> Event:
        """Decode the event that three columns store, and bring it to today's schema.

        Raises:
            UnknownEvent: a type or schema of a newer engine, or data that doesn't fit.
        """
        cls = self._classes.get(name)
        if cls is None:
            raise UnknownEvent(f"the log has an event of unknown type {name!r}")
        try:
            if schema == cls.SCHEMA:
                return self._decoders[name].decode(data)
            return msgspec.convert(self._upcast(name, schema, msgspec.json.decode(data)), cls)
        except msgspec.MsgspecError as error:
            raise UnknownEvent(f"the log has a {name} that can't be read: {error}") from error

    def _upcast(self, name: str, schema: int, fields: dict[str, Any]) -> dict[str, Any]:
        target = self._classes[name].SCHEMA
        if not 1 <= schema < target:
            raise UnknownEvent(
                f"the log has a {name} of schema {schema}; this engine knows {target}"
            )
        for step in range(schema, target):
            fields = self._upcasters[name, step](fields)
        return fields
