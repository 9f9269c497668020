"""Choose the images and tags that ``docker save`` writes.

An ID means the image without its names, a reference the image with that one, and a bare repository
every image that a tag of it points at.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from engine.domain.ids import ImageId
from engine.domain.image.reference import parse_reference
from engine.domain.image.removal import find_image
from engine.domain.image.state import Image, Images
from engine.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class NamedImage:
    """An image with some of the tags that point at it."""

    id: ImageId
    tags: tuple[str, ...] = ()
    """Canonical."""


def named_images(images: Images, words: Iterable[str]) -> tuple[NamedImage, ...]:
    """Return the images, each once, in the order in which they were first named.

    Raises:
        NoSuchImage, InvalidReference: as :func:`find_image`.
    """
    found: dict[ImageId, dict[str, None]] = {}
    for word in words:
        for image, tag in _meant(images, word):
            tags = found.setdefault(image.id, {})
            if tag:
                tags[tag] = None
    return tuple(NamedImage(identity, tuple(tags)) for identity, tags in found.items())


def _meant(images: Images, word: str) -> list[tuple[Image, str]]:
    whole = _of_repository(images, word)
    if whole:
        return whole
    image = find_image(images, word)
    return [(image, _tag(image, word))]


def _of_repository(images: Images, word: str) -> list[tuple[Image, str]]:
    try:
        repository = parse_reference(word)
    except InvalidRequest:  # an ID, or nothing: the caller refuses it
        return []
    if repository.tag or repository.digest:
        return []
    tags = (
        (reference, image)
        for image in images.values()
        for reference in image.references
        if parse_reference(reference).name == repository.name
        and not parse_reference(reference).digest
    )
    return [(image, tag) for tag, image in sorted(tags, key=lambda pair: pair[0])]


def _tag(image: Image, word: str) -> str:
    """Return the tag by which an image was named; empty for an ID or a digest."""
    try:
        tag = str(parse_reference(word))
    except InvalidRequest:
        return ""
    is_tag = tag in image.references and not parse_reference(tag).digest
    return tag if is_tag else ""
