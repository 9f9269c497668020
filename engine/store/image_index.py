"""Find images by ID, and the containers that were made from each."""

from collections.abc import Collection

from engine.domain.container.state import Container
from engine.domain.ids import ContainerId, ImageId
from engine.domain.image.state import Image


class ImageIndex:
    """Maps IDs to the images that are present, and to removed ones that containers still need."""

    def __init__(self) -> None:
        self.by_id: dict[ImageId, Image] = {}

    def add(self, image: Image) -> None:
        """Add an image that the index does not have."""
        self.by_id[image.id] = image

    def remove(self, image: Image) -> None:
        """Remove an image that the index has."""
        del self.by_id[image.id]


class ImageUsers:
    """Maps each image, live or not, to the containers that were made from it."""

    def __init__(self) -> None:
        self._users: dict[ImageId, set[ContainerId]] = {}

    def add(self, container: Container) -> None:
        """Add a container that the index does not have."""
        self._users.setdefault(container.spec.image_id, set()).add(container.id)

    def remove(self, container: Container) -> None:
        """Remove a container that the index has."""
        users = self._users[container.spec.image_id]
        users.discard(container.id)
        if not users:
            del self._users[container.spec.image_id]

    def of(self, image: ImageId) -> Collection[ContainerId]:
        """Return the containers that were made from an image."""
        return self._users.get(image, ())
