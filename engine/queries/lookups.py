"""Find the networks, images and links that containers refer to, as of one moment."""

from collections.abc import Iterator, Mapping

from engine.domain.container.links import links_of
from engine.domain.ids import ContainerId, ImageId, NetworkId
from engine.domain.image.state import Image
from engine.domain.network.state import Network
from engine.store.projections import View


class Lookups:
    """Networks and images by ID; those of the present moment change as the log grows."""

    def __init__(self, view: View) -> None:
        self._view = view

    @property
    def networks(self) -> Mapping[NetworkId, Network]:
        """Return every network."""
        return self._view.networks

    @property
    def images(self) -> Mapping[ImageId, Image]:
        """Return every image, and removed ones as long as containers were made from them."""
        return self._view.images

    def link_names(self, target: ContainerId) -> Iterator[str]:
        """Yield the names by which other containers link to one, as Docker lists them:
        ``/OWNER/ALIAS``.
        """
        for identity in self._view.linked_to.get(target, ()):
            owner = self._view.containers[identity]
            yield from (
                f"/{owner.name}/{link.alias}"
                for link in links_of(owner.spec)
                if link.target == target
            )
