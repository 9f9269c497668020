"""Remove everything of a kind that nobody uses, and record that it was asked for.

What comes into use meanwhile, or is removed already, is left alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from engine.domain.container.phases import Phase
from engine.domain.container.state import Container
from engine.domain.event import Origin
from engine.domain.host import Pruned
from engine.domain.ids import ContainerId
from engine.domain.image.removal import Removal
from engine.domain.image.state import Image
from engine.domain.network.decisions import PREDEFINED
from engine.domain.network.state import Network
from engine.domain.streams import HOST
from engine.errors import Conflict, EngineError, Forbidden, NotFound
from engine.service.containers.verbs import Containers
from engine.service.files import Files
from engine.service.images import Images
from engine.service.networks import Networks
from engine.store.ledger import Ledger

_AT_REST: Final = frozenset({Phase.CREATED, Phase.EXITED})


@dataclass(frozen=True, slots=True)
class PrunedContainers:
    """The containers that a prune has removed, and the space that they took."""

    removed: tuple[ContainerId, ...]
    won_bytes: int


@dataclass(frozen=True, slots=True)
class PrunedImages:
    """What a prune has removed of images, and the space that it took."""

    removals: tuple[Removal, ...]
    won_bytes: int


class Prunes:
    """Removes what nobody uses of one kind; ``is_meant`` chooses among that."""

    def __init__(
        self,
        ledger: Ledger,
        containers: Containers,
        files: Files,
        images: Images,
        networks: Networks,
    ) -> None:
        self._ledger = ledger
        self._containers = containers
        self._files = files
        self._images = images
        self._networks = networks

    async def containers(
        self, is_meant: Callable[[Container], bool], origin: Origin
    ) -> PrunedContainers:
        """Remove the containers that don't run and are meant."""
        removed, won_bytes = [], 0
        for container in self._containers.all():
            if container.phase not in _AT_REST or not is_meant(container):
                continue
            sizes = await self._files.sizes_bytes((container,))
            try:
                await self._containers.remove(container.id, origin, force=False, volumes=False)
            except EngineError:
                continue
            removed.append(container.id)
            won_bytes += sizes[container.id]
        await self.record("container", 0, origin)
        return PrunedContainers(tuple(removed), won_bytes)

    async def images(
        self, is_meant: Callable[[Image], bool], origin: Origin, *, named_too: bool
    ) -> PrunedImages:
        """Remove the images that no container uses and that are meant; images with names only if
        ``named_too``.
        """
        used, removals = self._images.use_counts(), []
        for image in self._images.all():
            if image.id in used or (image.references and not named_too) or not is_meant(image):
                continue
            try:
                removals.append(await self._images.remove(image.id, origin, force=True))
            except (Conflict, NotFound):
                continue
        won_bytes = sum(layer.size_bytes for each in removals for layer in each.layers)
        await self.record("image", won_bytes, origin)
        return PrunedImages(tuple(removals), won_bytes)

    async def networks(
        self, is_meant: Callable[[Network], bool], origin: Origin
    ) -> tuple[str, ...]:
        """Remove the networks that a user made, no running container is in, and that are meant;
        return their names.
        """
        removed = []
        for network in self._networks.all():
            in_use = network.name in PREDEFINED or self._networks.members(network)
            if in_use or not is_meant(network):
                continue
            try:
                await self._networks.remove(network.id, origin)
            except (Forbidden, NotFound):
                continue
            removed.append(network.name)
        await self.record("network", 0, origin)
        return tuple(removed)

    async def record(self, kind: str, reclaimed_bytes: int, origin: Origin) -> None:
        """Record a prune of a kind, even one of which there is nothing."""
        pruned = Pruned(kind=kind, reclaimed_bytes=reclaimed_bytes)
        await self._ledger.record(origin, (HOST, (pruned,)))
