"""Test an image's history: what may be added to it, and the resulting state."""

import pytest

from engine.domain.event import Event
from engine.domain.ids import ContainerId, ImageId
from engine.domain.image.config import ImageContents
from engine.domain.image.state import (
    EVENTS,
    TRANSITIONS,
    Change,
    Image,
    ImageCommitted,
    ImageImported,
    ImageLoaded,
    ImageRemoved,
    ImageSaved,
    ImageTagged,
    ImageUntagged,
    Phase,
    decide_import,
    decide_load,
    decide_tag,
    evolve,
)

X, Y = "docker.io/library/x:latest", "docker.io/library/y:latest"


def contents(letter: str) -> ImageContents:
    return ImageContents(
        id=ImageId("sha256:" + letter * 64), config_bytes=2, created="", architecture="amd64", os="linux"
    )  # fmt: skip


def replay(*events: Event) -> Image:
    image = None
    for at_ns, event in enumerate(events):
        image = evolve(image, event, at_ns)
    assert image is not None
    return image


def present(letter: str, *references: str) -> Image:
    arrival = ImageLoaded(contents=contents(letter))
    return replay(arrival, *(ImageTagged(reference=word) for word in references))


def catalogue(*images: Image) -> dict[ImageId, Image]:
    return {image.id: image for image in images}


A, B = contents("a"), contents("b")


def test_an_import_brings_the_image_and_its_name() -> None:
    changes = decide_import({}, A, "-", X)

    arrival = ImageImported(contents=A, source="-")
    assert changes == (Change(A.id, (arrival, ImageTagged(reference=X))),)


def test_the_same_image_imported_again_only_moves_the_name() -> None:
    images = catalogue(present("a"), present("b", X))

    changes = decide_import(images, A, "-", X)

    assert changes == (
        Change(B.id, (ImageUntagged(reference=X),)),
        Change(A.id, (ImageTagged(reference=X),)),
    )


def test_loading_what_is_there_adds_nothing() -> None:
    assert decide_load(catalogue(present("a", X, Y)), A, (Y, X)) == ()


def test_loading_an_image_that_was_removed_brings_it_back() -> None:
    removed = replay(ImageLoaded(contents=A), ImageRemoved())

    changes = decide_load(catalogue(removed), A, (X, X))

    assert changes == (Change(A.id, (ImageLoaded(contents=A), ImageTagged(reference=X))),)
    assert evolve(removed, ImageLoaded(contents=A), 9).phase is Phase.PRESENT


def test_a_reference_has_one_image_at_a_time() -> None:
    images = catalogue(present("a", X), present("b"))

    changes = decide_tag(images, B.id, X)

    assert changes == (
        Change(A.id, (ImageUntagged(reference=X),)),
        Change(B.id, (ImageTagged(reference=X),)),
    )


def test_tagging_twice_adds_nothing() -> None:
    assert decide_tag(catalogue(present("a", X)), A.id, X) == ()


def test_references_stand_in_the_order_they_came() -> None:
    image = present("a", Y, X)

    assert image.references == (Y, X)
    assert image.tagged_ns == 2
    assert evolve(image, ImageUntagged(reference=Y), 3).references == (X,)


def test_a_removed_image_keeps_only_its_history() -> None:
    image = evolve(present("a", X), ImageRemoved(), 9)

    assert image.removed
    assert image.references == ()


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("event", EVENTS)
def test_what_the_table_does_not_list_means_a_corrupt_log(phase: Phase, event: type[Event]) -> None:
    before = {
        Phase.ABSENT: None,
        Phase.PRESENT: present("a", X),
        Phase.REMOVED: evolve(present("a"), ImageRemoved(), 1),
    }[phase]
    sample = {
        ImageImported: ImageImported(contents=A, source="-"),
        ImageLoaded: ImageLoaded(contents=A),
        ImageCommitted: ImageCommitted(contents=A, container=ContainerId("c"), parent=B.id),
        ImageSaved: ImageSaved(),
        ImageTagged: ImageTagged(reference=Y),
        ImageUntagged: ImageUntagged(reference=X),
        ImageRemoved: ImageRemoved(),
    }[event]

    if event in TRANSITIONS[phase]:
        assert evolve(before, sample, 5).phase is TRANSITIONS[phase][event]
    else:
        with pytest.raises(KeyError):
            evolve(before, sample, 5)
