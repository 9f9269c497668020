"""Decide which messages a reader of ``/events`` gets, by the rules of moby's
``daemon/events/filter.go``, on which clients rely.

Values of one filter are alternatives, filters are conditions. A filter by object
(``container=web``) looks at the ID and the name of whatever the event is about, whatever that is,
and a beginning of either will do; ``image`` looks at containers, too.
"""

from typing import Final

from engine.api.events.show import SCOPE, Content
from engine.api.filters import Filters
from engine.domain.image.reference import parse_reference
from engine.errors import InvalidRequest

AFTER: Final = "after_seq"
"""Our own filter: the position after which an interrupted reader goes on."""
_BY_BEGINNING: Final = (
    *("config", "container", "daemon", "network", "node", "plugin", "secret", "service", "volume"),
)
KNOWN: Final = frozenset({*_BY_BEGINNING, "event", "image", "label", "scope", "type", AFTER})
_WITH_DETAILS: Final = ("exec_create", "exec_start", "health_status")
"""Actions whose names go on after a colon; a filter for one of them compares the beginnings of all
names."""


def is_wanted(content: Content, filters: Filters) -> bool:
    """Return whether a reader with these filters gets a message."""
    return not filters or (
        _is_wanted_action(content, filters)
        and filters.exact("type", content.type)
        and filters.exact("scope", SCOPE)
        and filters.labels(content.attributes)
        and filters.any_of("image", lambda word: word in _images_of(content))
        and all(filters.any_of(kind, lambda word: _begins(content, word)) for kind in _BY_BEGINNING)
    )


def _is_wanted_action(content: Content, filters: Filters) -> bool:
    if any(word in _WITH_DETAILS for word in filters.values("event")):
        return filters.any_of("event", content.action.startswith)
    return filters.exact("event", content.action)


def _begins(content: Content, word: str) -> bool:
    name = content.attributes.get("name", "")
    return content.id.startswith(word) or name.startswith(word.removeprefix("/"))


def _images_of(content: Content) -> tuple[str, ...]:
    """Return the names of an event's image, with and without its tag."""
    name = content.attributes.get("name" if content.type == "image" else "image", "")
    return (content.id, name, _without_tag(name))


def _without_tag(name: str) -> str:
    try:
        return parse_reference(name).familiar_name
    except InvalidRequest:
        return name
