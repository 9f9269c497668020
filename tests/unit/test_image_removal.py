"""Test which image a reference means, and when Docker removes it."""

import pytest
from msgspec.structs import replace

from engine.domain.ids import ContainerId, ImageId
from engine.domain.image.removal import ImageInUse, NoSuchImage, Use, decide_remove, find_image
from engine.domain.image.state import Change, ImageRemoved, ImageUntagged
from engine.errors import InvalidRequest
from tests.unit.test_image import A, B, X, Y, catalogue, present

DIGESTED = "docker.io/library/x@sha256:" + "0" * 64
C = ContainerId("c" * 64)
RUNNING = Use(C, A.id, running=True)
STOPPED = Use(C, A.id, running=False)


@pytest.mark.parametrize(
    "word",
    ["x", "x:latest", "docker.io/library/x", "a", "aaaaaaaaaaaa", "sha256:aa", A.id, "a" * 64],
)
def test_an_image_is_found_by_reference_and_by_id(word: str) -> None:
    assert find_image(catalogue(present("a", X), present("b")), word).id == A.id


def test_a_reference_counts_before_the_beginning_of_an_id() -> None:
    images = catalogue(present("a"), present("b", "docker.io/library/aa:latest"))

    assert find_image(images, "aa").id == B.id
    assert find_image(images, "aaa").id == A.id


def test_a_digest_counts_more_than_a_tag() -> None:
    word = "x:whatever@sha256:" + "0" * 64

    assert find_image(catalogue(present("a", DIGESTED)), word).id == A.id


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("nosuch", "No such image: nosuch:latest"),
        ("nosuch:x", "No such image: nosuch:x"),
        ("docker.io/library/nosuch", "No such image: nosuch:latest"),
        ("d" * 64, f"No such image: sha256:{'d' * 64}"),
        ("sha256:" + "d" * 64, f"No such image: sha256:{'d' * 64}"),
        ("abc", "No such image: abc:latest"),
    ],
)
def test_no_such_image_is_said_as_docker_says_it(word: str, message: str) -> None:
    with pytest.raises(NoSuchImage) as refusal:
        find_image(catalogue(present("a", X)), word)

    assert str(refusal.value) == message


def test_an_ambiguous_id_prefix_matches_nothing() -> None:
    twin = replace(present("a"), contents=replace(A, id=ImageId("sha256:" + "a" * 63 + "b")))
    images = catalogue(present("a"), twin)

    with pytest.raises(NoSuchImage):
        find_image(images, "aaaa")
    assert find_image(images, twin.id) is twin


@pytest.mark.parametrize("word", ["", "Foo", "foo bar"])
def test_what_could_be_neither_id_nor_reference_is_a_bad_request(word: str) -> None:
    with pytest.raises(InvalidRequest, match="invalid reference format"):
        find_image(catalogue(present("a", X)), word)


def test_removing_one_of_several_references_keeps_the_image() -> None:
    removal = decide_remove(catalogue(present("a", X, Y)), "x", [STOPPED], force=False)

    assert removal.changes == (Change(A.id, (ImageUntagged(reference=X),)),)
    assert removal.untagged == ("x:latest",)
    assert removal.deleted is None


def test_the_last_reference_takes_the_image_with_it() -> None:
    removal = decide_remove(catalogue(present("a", X)), "x", [], force=False)

    assert removal.changes == (Change(A.id, (ImageUntagged(reference=X), ImageRemoved())),)
    assert removal.deleted == A.id


def test_removing_an_image_by_id_removes_its_only_reference() -> None:
    removal = decide_remove(catalogue(present("a", X, DIGESTED)), "aaa", [], force=False)

    assert removal.untagged == ("x:latest", "x@sha256:" + "0" * 64)
    assert removal.deleted == A.id


@pytest.mark.parametrize(
    ("word", "references", "use", "message"),
    [
        (
            "x",
            (X,),
            STOPPED,
            'unable to remove repository reference "x" (must force) - container cccccccccccc is using its referenced image aaaaaaaaaaaa',
        ),
        (
            "x",
            (X,),
            RUNNING,
            'unable to remove repository reference "x" (must force) - container cccccccccccc is using its referenced image aaaaaaaaaaaa',
        ),
        (
            "aaaa",
            (X, Y),
            None,
            "unable to delete aaaaaaaaaaaa (must be forced) - image is referenced in multiple repositories",
        ),
        (
            "aaaa",
            (X,),
            STOPPED,
            "unable to delete aaaaaaaaaaaa (must be forced) - image is being used by stopped container cccccccccccc",
        ),
        (
            "aaaa",
            (),
            RUNNING,
            "unable to delete aaaaaaaaaaaa (cannot be forced) - image is being used by running container cccccccccccc",
        ),
    ],
)
def test_conflicts_are_reported_in_dockers_words(
    word: str, references: tuple[str, ...], use: Use | None, message: str
) -> None:
    with pytest.raises(ImageInUse) as refusal:
        decide_remove(catalogue(present("a", *references)), word, [use] if use else [], force=False)

    assert str(refusal.value) == f"conflict: {message}"


def test_force_removes_all_references_although_a_stopped_container_uses_them() -> None:
    removal = decide_remove(catalogue(present("a", X, Y)), "aaaa", [STOPPED], force=True)

    assert removal.untagged == ("x:latest", "y:latest")
    assert removal.deleted == A.id


def test_force_does_not_remove_an_image_by_id_while_a_container_runs() -> None:
    with pytest.raises(ImageInUse, match="cannot be forced"):
        decide_remove(catalogue(present("a", X)), "aaaa", [STOPPED, RUNNING], force=True)


def test_force_removes_the_name_of_a_used_image_and_keeps_the_image() -> None:
    removal = decide_remove(catalogue(present("a", X)), "x", [RUNNING], force=True)

    assert removal.untagged == ("x:latest",)
    assert removal.deleted is None


def test_containers_of_other_images_do_not_prevent_a_removal() -> None:
    removal = decide_remove(catalogue(present("b", X)), "x", [RUNNING], force=False)

    assert removal.deleted == B.id
