"""Find images by ID."""

from engine.domain.ids import ImageId
from engine.domain.image.state import Image


class ImageIndex:
    """The live images."""

    def __init__(self) -> None:
        self.by_id: dict[ImageId, Image] = {}

    def add(self, image: Image) -> None:
        """Take in an image that the index does not have."""
        self.by_id[image.id] = image

    def remove(self, image: Image) -> None:
        """Drop an image that the index has."""
        del self.by_id[image.id]
