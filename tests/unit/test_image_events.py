"""Test what images become by their events, and which events a commit adds."""

import pytest

from engine.domain.event import Event
from engine.domain.ids import ContainerId, ImageId
from engine.domain.image.config import ImageContents
from engine.domain.image.state import (
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
    decide_commit,
    evolve,
)

ID, PARENT, OTHER = (ImageId("sha256:" + digit * 64) for digit in "123")
CONTAINER = ContainerId("c" * 64)
CONTENTS = ImageContents(id=ID, config_bytes=1, created="", architecture="amd64", os="linux")
COMMITTED = ImageCommitted(contents=CONTENTS, container=CONTAINER, parent=PARENT)
PRESENT = Image(phase=Phase.PRESENT, contents=CONTENTS, references=("a:1", "b:1"), tagged_ns=5)
GONE = Image(phase=Phase.REMOVED, contents=CONTENTS, tagged_ns=5)


@pytest.mark.parametrize(
    ("before", "event", "after"),
    [
        (
            None,
            ImageImported(contents=CONTENTS, source="-"),
            Image(phase=Phase.PRESENT, contents=CONTENTS),
        ),
        (None, ImageLoaded(contents=CONTENTS), Image(phase=Phase.PRESENT, contents=CONTENTS)),
        (None, COMMITTED, Image(phase=Phase.PRESENT, contents=CONTENTS, parent=PARENT)),
        (GONE, ImageLoaded(contents=CONTENTS), Image(phase=Phase.PRESENT, contents=CONTENTS)),
        (PRESENT, ImageSaved(), PRESENT),
        (
            PRESENT,
            ImageTagged(reference="c:1"),
            Image(
                phase=Phase.PRESENT,
                contents=CONTENTS,
                references=("a:1", "b:1", "c:1"),
                tagged_ns=9,
            ),
        ),
        (
            PRESENT,
            ImageUntagged(reference="a:1"),
            Image(phase=Phase.PRESENT, contents=CONTENTS, references=("b:1",), tagged_ns=5),
        ),
        (PRESENT, ImageRemoved(), GONE),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_image_is_what_its_events_say(before: Image | None, event: Event, after: Image) -> None:
    assert evolve(before, event, 9) == after


@pytest.mark.parametrize(
    ("before", "event"),
    [(None, ImageRemoved()), (GONE, ImageRemoved()), (PRESENT, ImageLoaded(contents=CONTENTS))],
)
def test_what_can_not_have_happened_is_a_corrupt_log(before: Image | None, event: Event) -> None:
    with pytest.raises(KeyError):
        evolve(before, event, 9)


def test_a_commit_takes_its_name_from_who_had_it() -> None:
    other = Image(
        phase=Phase.PRESENT,
        contents=ImageContents(id=OTHER, config_bytes=1, created="", architecture="", os=""),
        references=("mine:1",),
    )

    named = decide_commit({OTHER: other}, COMMITTED, "mine:1")
    nameless = decide_commit({}, COMMITTED, None)
    known = decide_commit({ID: PRESENT}, COMMITTED, "a:1")

    assert named == (
        Change(OTHER, (ImageUntagged(reference="mine:1"),)),
        Change(ID, (COMMITTED, ImageTagged(reference="mine:1"))),
    )
    assert nameless == (Change(ID, (COMMITTED,)),)
    assert known == (), "it is there under this name already"
