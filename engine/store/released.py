"""List every event that this engine reads, and the functions that bring old ones up to date.

See ``codec.py`` for what to do when an event is added or changed.
"""

from collections.abc import Mapping
from typing import Final

from engine.domain import host
from engine.domain.container import events as container_events
from engine.domain.exec import state as execution
from engine.domain.image import registry
from engine.domain.image import state as image
from engine.domain.network import state as network
from engine.store.codec import Codec, Upcaster

UPCASTERS: Final[Mapping[tuple[str, int], Upcaster]] = {}
"""By the type and the schema that they read."""

RELEASED: Final = Codec(
    (
        *container_events.EVENTS,
        *execution.EVENTS,
        *host.EVENTS,
        *image.EVENTS,
        *network.EVENTS,
        *registry.EVENTS,
    ),
    UPCASTERS,
)
