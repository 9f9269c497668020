"""Compute which sizes images share: arithmetic over layers, named by chain ID."""

from collections import Counter
from collections.abc import Mapping

from engine.domain.ids import ImageId
from engine.domain.image.state import Images


def shared_bytes(images: Images) -> Mapping[ImageId, int]:
    """Return the bytes of each present image that are in layers of more than one image."""
    present = [image for image in images.values() if not image.removed]
    owners = Counter(layer.chain_id for image in present for layer in image.contents.layers)
    return {
        image.id: sum(
            layer.size_bytes for layer in image.contents.layers if owners[layer.chain_id] > 1
        )
        for image in present
    }
