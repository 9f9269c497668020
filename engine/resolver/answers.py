"""Answer one DNS question from the zones.

A sandbox's answers are cached, complete but for the header, until any record changes. Negative
answers have no SOA record, so clients must not cache them, RFC 2308 section 5.
"""

import random
from collections.abc import Sequence
from typing import Final

from engine.resolver import wire
from engine.resolver.wire import Query
from engine.resolver.zones import Links, Zones

TTL_S: Final = 600
"""As in Docker."""
KEPT_MAX: Final = 512
"""Number of questions whose answers a sandbox caches. There must be a limit, because a change of
case makes a different question.
"""
_LENGTHS: Final = {wire.A: 4, wire.AAAA: 16}


class Answer:
    """The records of an answer. Each time the answer is used, another record comes first, so that
    all are used equally often.
    """

    def __init__(self, records: Sequence[bytes]) -> None:
        self.count = len(records)
        self._rotated = [b"".join((*records[n:], *records[:n])) for n in range(self.count)] or [b""]
        self._turn = random.randrange(len(self._rotated))  # noqa: S311  (fair, not secret)

    def next(self) -> bytes:
        """Return the records in the next order."""
        if self.count < 2:
            return self._rotated[0]
        self._turn = (self._turn + 1) % self.count
        return self._rotated[self._turn]


class Answers:
    """Answers the questions of one sandbox, from its networks and links."""

    def __init__(self, zones: Zones, networks: Sequence[str], links: Links) -> None:
        self._zones = zones
        self._networks = networks
        self._links = links
        self._revision = -1
        self._kept: dict[bytes, Answer] = {}

    def answer(self, query: Query, bytes_max: int) -> bytes | None:
        """Return the answer, of at most ``bytes_max``; None if no container here has the name."""
        if not query.is_internet:
            return None
        found = self._find(query)
        if found is None:
            return None
        packet = wire.reply(query, wire.NOERROR, found.next(), found.count)
        if len(packet) > bytes_max:
            return wire.reply(query, wire.NOERROR, truncated=True)
        return packet

    def _find(self, query: Query) -> Answer | None:
        if self._revision != self._zones.revision:
            self._revision = self._zones.revision
            self._kept.clear()
        found = self._kept.get(query.question)
        if found is None and (records := self._records(query)) is not None:
            found = Answer(records)
            if len(self._kept) >= KEPT_MAX:
                self._kept.clear()
            self._kept[query.question] = found
        return found

    def _records(self, query: Query) -> list[bytes] | None:
        if query.type == wire.PTR:
            called = self._zones.called(self._networks, query.name)
            if called is not None:
                return [wire.record(wire.PTR, TTL_S, called)]
        length = _LENGTHS.get(query.type, 0)
        addresses = self._zones.addresses(self._networks, self._links, query.name, length)
        if addresses is None:
            return None
        return [wire.record(query.type, TTL_S, address) for address in addresses]
