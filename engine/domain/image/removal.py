"""Find images by reference, and decide whether they may be removed.

Removing by reference takes that reference away, and the image with it if it was the last. Removing
by ID takes all references away, if they are of one repository or force is used. A container that
uses the image stands in the way: a stopped one until force is used, a running one always.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from engine.domain.event import Event
from engine.domain.ids import SHORT, ContainerId, ImageId
from engine.domain.image.config import ImageLayer
from engine.domain.image.reference import parse_reference
from engine.domain.image.state import Change, Image, ImageRemoved, Images, ImageUntagged
from engine.errors import Conflict, InvalidRequest, NotFound

_SHA256 = "sha256:"


class NoSuchImage(NotFound):
    """No image has that reference, ID or beginning of an ID."""

    def __init__(self, word: str) -> None:
        super().__init__(f"No such image: {word}")


class ImageInUse(Conflict):
    """A container or a second reference keeps the image; the message says whether force would
    help.
    """


@dataclass(frozen=True, slots=True)
class Use:
    """A container that was made from an image."""

    container: ContainerId
    image: ImageId
    running: bool
    """Its process exists, paused or not."""


@dataclass(frozen=True, slots=True)
class Removal:
    """What a removal adds to the log, and what the caller gets."""

    changes: tuple[Change, ...]
    untagged: tuple[str, ...]
    """Familiar forms."""
    deleted: ImageId | None
    layers: tuple[ImageLayer, ...] = ()
    """The layers that are removed with the image because nothing else has them, the topmost
    first."""


def find_image(images: Images, word: str) -> Image:
    """Return the image that ``word`` means: a reference before an ID, a whole ID before the
    beginning of one.

    Raises:
        NoSuchImage: nothing matches, or more than one image's ID begins so.
        InvalidReference: it could be neither an ID nor a reference.
    """
    by_id = _by_whole_id(images, word)
    if by_id is not None:
        return by_id
    reference = _canonical(word)
    for image in images.values():
        if not image.removed and reference in image.references:
            return image
    prefix = _SHA256 + word.removeprefix(_SHA256)
    matches = [
        image
        for image in images.values()
        if not image.removed and word and image.id.startswith(prefix)
    ]
    if len(matches) != 1:
        raise NoSuchImage(parse_reference(word).tagged.familiar)
    return matches[0]


def _by_whole_id(images: Images, word: str) -> Image | None:
    digits = word.removeprefix(_SHA256)
    if len(digits) != 64 or not set(digits) <= set("0123456789abcdef"):
        return None
    image = images.get(ImageId(_SHA256 + digits))
    if image is None or image.removed:
        raise NoSuchImage(_SHA256 + digits)
    return image


def _canonical(word: str) -> str:
    """Return the reference that ``word`` is. Beside a digest, the tag is for people only."""
    reference = parse_reference(word).tagged
    return f"{reference.name}@{reference.digest}" if reference.digest else str(reference)


def decide_remove(images: Images, word: str, uses: Iterable[Use], *, force: bool) -> Removal:
    """Return what ``DELETE /images/{word}`` adds to the log.

    Raises:
        NoSuchImage: as :func:`find_image`.
        ImageInUse: force would help ("must be forced"), or nothing would ("cannot be forced").
    """
    image = find_image(images, word)
    uses = tuple(uses)
    in_use = sorted((use for use in uses if use.image == image.id), key=lambda use: not use.running)
    if _is_id(image, word):
        removal = _remove_by_id(image, in_use, force=force)
    else:
        removal = _remove_by_reference(image, word, in_use, force=force)
    if removal.deleted is None:
        return removal
    return replace(removal, layers=_freed(images, image, uses))


def _freed(images: Images, gone: Image, uses: Collection[Use]) -> tuple[ImageLayer, ...]:
    used = {use.image for use in uses}
    kept = {
        layer.chain_id
        for image in images.values()
        if image.id in used or (image.id != gone.id and not image.removed)
        for layer in image.contents.layers
    }
    return tuple(layer for layer in reversed(gone.contents.layers) if layer.chain_id not in kept)


def _is_id(image: Image, word: str) -> bool:
    digits = word.removeprefix(_SHA256)
    return (
        image.id.startswith(_SHA256 + digits) and _canonical_or_none(word) not in image.references
    )


def _canonical_or_none(word: str) -> str | None:
    try:
        return _canonical(word)
    except InvalidRequest:
        return None


def _remove_by_reference(image: Image, word: str, uses: list[Use], *, force: bool) -> Removal:
    reference = _canonical(word)
    others = [other for other in image.references if other != reference]
    if uses and not force and not others:
        raise ImageInUse(
            f'conflict: unable to remove repository reference "{word}" (must force) - container '
            f"{uses[0].container[:SHORT]} is using its referenced image {_short(image.id)}"
        )
    lasting = others or any(use.running for use in uses)  # a running container keeps the bare image
    return _removal(image, (reference,), delete=not lasting, force=force)


def _remove_by_id(image: Image, uses: list[Use], *, force: bool) -> Removal:
    for use in uses:
        if use.running:
            raise _conflict(image, "cannot be forced", "running container", use)
    repositories = {parse_reference(reference).name for reference in image.references}
    tags = [word for word in image.references if parse_reference(word).digest is None]
    if not force and (len(tags) > 1 or len(repositories) > 1):
        raise ImageInUse(
            f"conflict: unable to delete {_short(image.id)} (must be forced) - "
            "image is referenced in multiple repositories"
        )
    if uses and not force:
        raise _conflict(image, "must be forced", "stopped container", uses[0])
    return _removal(image, image.references, delete=True, force=force)


def _conflict(image: Image, remedy: str, user: str, use: Use) -> ImageInUse:
    return ImageInUse(
        f"conflict: unable to delete {_short(image.id)} ({remedy}) - image is being used by {user} "
        f"{use.container[:SHORT]}"
    )


def _removal(image: Image, gone: tuple[str, ...], *, delete: bool, force: bool) -> Removal:
    events: list[Event] = [ImageUntagged(reference=reference) for reference in gone]
    if delete:
        events.append(ImageRemoved(forced=force))
    return Removal(
        changes=(Change(image.id, tuple(events)),),
        untagged=tuple(parse_reference(reference).familiar for reference in gone),
        deleted=image.id if delete else None,
    )


def _short(image: ImageId) -> str:
    return image.removeprefix(_SHA256)[:SHORT]
