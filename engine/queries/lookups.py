"""Find what containers refer to, as of one moment: networks, images, and the links that lead to
them.
"""

from collections.abc import Iterator, Mapping

from engine.domain.container.links import links_of
from engine.domain.ids import ContainerId, ImageId, NetworkId
from engine.domain.image.state import Image
from engine.domain.network.state import Network
from engine.store.projections import View


class Lookups:
    """What there is, by ID; that of the present moment changes as the log grows."""

    def __init__(self, view: View) -> None:
        self._view = view

    @property
    def networks(self) -> Mapping[NetworkId, Network]:
        """Every network."""
        return self._view.networks

    @property
    def images(self) -> Mapping[ImageId, Image]:
        """Every image, and removed ones as long as containers were made from them."""
        return self._view.images

    def link_names(self, target: ContainerId) -> Iterator[str]:
        """What containers call one that they are linked to, as Docker lists it:
        ``/OWNER/ALIAS``.
        """
        for identity in self._view.linked_to.get(target, ()):
            owner = self._view.containers[identity]
            yield from (
                f"/{owner.name}/{link.alias}"
                for link in links_of(owner.spec)
                if link.target == target
            )
