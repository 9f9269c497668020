"""Define images: state and events; one stream each, ``image/<ImageId>``.

    (absent) ──ImageImported, ImageLoaded, ImageCommitted──▶ present ──ImageRemoved──▶ removed
                                                             ▲    └─ ImageTagged, ImageUntagged, ImageSaved
                                                             └────── ImageImported, ImageLoaded, ImageCommitted ── removed

Content comes first: blobs and layers are on the disk before the event that says the image exists,
and are collected when no image and no container needs them any more; so neither has events of its
own. What an image *is* never changes; only which references point at it. A reference points at one
image at a time: giving it to another takes it from the first, in one append.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final, TypeAlias

import msgspec
from msgspec.structs import replace

from engine.domain.event import Event
from engine.domain.ids import ContainerId, ImageId
from engine.domain.image.config import ImageContents


class ImageImported(Event, frozen=True, kw_only=True):
    """A root filesystem became an image with one layer."""

    TYPE: ClassVar[str] = "image_imported"
    contents: ImageContents
    source: str
    """Where the caller says that it comes from: ``-`` for a tar in the request."""


class ImageLoaded(Event, frozen=True, kw_only=True):
    """An image was loaded from an archive."""

    TYPE: ClassVar[str] = "image_loaded"
    contents: ImageContents


class ImageCommitted(Event, frozen=True, kw_only=True):
    """An image was made of a container's files."""

    TYPE: ClassVar[str] = "image_committed"
    contents: ImageContents
    container: ContainerId
    parent: ImageId
    """The image that the container was created from."""


class ImageSaved(Event, frozen=True, kw_only=True):
    """Somebody read the image's content (``docker save``)."""

    TYPE: ClassVar[str] = "image_saved"


class ImageTagged(Event, frozen=True, kw_only=True):
    """A reference points at the image from now on."""

    TYPE: ClassVar[str] = "image_tagged"
    reference: str
    """Canonical."""


class ImageUntagged(Event, frozen=True, kw_only=True):
    """A reference doesn't point at the image any more."""

    TYPE: ClassVar[str] = "image_untagged"
    reference: str


class ImageRemoved(Event, frozen=True, kw_only=True):
    """The image is gone; containers made from it keep its layers as long as they exist."""

    TYPE: ClassVar[str] = "image_removed"
    forced: bool = False


EVENTS: Final[tuple[type[Event], ...]] = (
    ImageImported,
    ImageLoaded,
    ImageCommitted,
    ImageSaved,
    ImageTagged,
    ImageUntagged,
    ImageRemoved,
)


class Phase(StrEnum):
    """Where an image is in its life."""

    ABSENT = "absent"
    PRESENT = "present"
    REMOVED = "removed"


_ARRIVALS: Final[tuple[type[Event], ...]] = (ImageImported, ImageLoaded, ImageCommitted)

TRANSITIONS: Final[Mapping[Phase, Mapping[type[Event], Phase]]] = {
    Phase.ABSENT: dict.fromkeys(_ARRIVALS, Phase.PRESENT),
    Phase.PRESENT: {
        ImageSaved: Phase.PRESENT,
        ImageTagged: Phase.PRESENT,
        ImageUntagged: Phase.PRESENT,
        ImageRemoved: Phase.REMOVED,
    },
    Phase.REMOVED: dict.fromkeys(_ARRIVALS, Phase.PRESENT),
}
assert TRANSITIONS.keys() == set(Phase)


class Image(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An image, and the references that point at it, in the order they came."""

    phase: Phase
    contents: ImageContents
    parent: ImageId | None = None
    """For a committed image: the image its container was created from. It may no longer exist."""
    references: tuple[str, ...] = ()
    """Canonical."""
    tagged_ns: int = 0
    """When a reference was last added; 0 for never."""

    @property
    def id(self) -> ImageId:
        """Return the digest of the image's config."""
        return self.contents.id

    @property
    def removed(self) -> bool:
        """Return whether only the image's history is left."""
        return self.phase is Phase.REMOVED


Images: TypeAlias = Mapping[ImageId, Image]
"""The images that are present; removed ones among them are ignored."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is added to one image's stream. Changes that come together are appended together."""

    image: ImageId
    events: tuple[Event, ...]


def decide_import(
    images: Images, contents: ImageContents, source: str, reference: str | None
) -> tuple[Change, ...]:
    """Return what ``POST /images/create?fromSrc=…`` adds to the log: the same bytes, imported twice
    at one instant, are one image.
    """
    return _added(images, contents, ImageImported(contents=contents, source=source), reference)


def decide_load(
    images: Images, contents: ImageContents, references: tuple[str, ...]
) -> tuple[Change, ...]:
    """Return what ``POST /images/load`` adds for one image of an archive. An image that is loaded
    again only gets references.
    """
    return _added(images, contents, ImageLoaded(contents=contents), *references)


def decide_commit(
    images: Images, committed: ImageCommitted, reference: str | None
) -> tuple[Change, ...]:
    """Return what ``POST /commit`` adds for the image."""
    return _added(images, committed.contents, committed, reference)


def decide_tag(images: Images, target: ImageId, reference: str) -> tuple[Change, ...]:
    """Return what ``POST /images/{name}/tag`` adds: nothing if the reference points there
    already.
    """
    taken = _taken_from_others(images, target, reference)
    if reference in images[target].references:
        return taken
    return (*taken, Change(target, (ImageTagged(reference=reference),)))


def _added(
    images: Images,
    contents: ImageContents,
    arrival: ImageImported | ImageLoaded | ImageCommitted,
    *references: str | None,
) -> tuple[Change, ...]:
    target = contents.id
    known = images.get(target)
    present = known is not None and not known.removed
    held = known.references if known else ()
    requested = tuple(dict.fromkeys(word for word in references if word and word not in held))
    taken = tuple(
        change for word in requested for change in _taken_from_others(images, target, word)
    )
    tagged = tuple(ImageTagged(reference=word) for word in requested)
    events: tuple[Event, ...] = tagged if present else (arrival, *tagged)
    return (*taken, Change(target, events)) if events else taken


def _taken_from_others(images: Images, target: ImageId, reference: str) -> tuple[Change, ...]:
    return tuple(
        Change(image.id, (ImageUntagged(reference=reference),))
        for image in images.values()
        if image.id != target and reference in image.references
    )


def evolve(image: Image | None, event: Event, at_ns: int) -> Image:
    """Return the image after one more event. Never refuses: a KeyError or AssertionError means that
    the log is corrupt.
    """
    phase = TRANSITIONS[image.phase if image else Phase.ABSENT][type(event)]
    if isinstance(event, ImageImported | ImageLoaded):
        return Image(phase=phase, contents=event.contents)
    if isinstance(event, ImageCommitted):
        return Image(phase=phase, contents=event.contents, parent=event.parent)
    assert image is not None
    match event:
        case ImageSaved():
            return image
        case ImageTagged(reference=reference):
            references = (*image.references, reference)
            return replace(image, phase=phase, references=references, tagged_ns=at_ns)
        case ImageUntagged(reference=gone):
            kept = tuple(word for word in image.references if word != gone)
            return replace(image, phase=phase, references=kept)
        case _:
            assert isinstance(event, ImageRemoved)
            return replace(image, phase=phase, references=())
