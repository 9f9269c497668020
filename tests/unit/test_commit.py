"""Test what an image inherits from its container, and which images ``save`` means."""

import pytest

from engine.domain.container.commit import committed_config
from engine.domain.container.spec import Spec
from engine.domain.ids import ImageId
from engine.domain.image.config import ImageConfig, ImageContents
from engine.domain.image.removal import NoSuchImage
from engine.domain.image.saving import NamedImage, named_images
from engine.domain.image.state import Image, Phase

SPEC = Spec(
    image="x",
    image_id=ImageId("sha256:x"),
    entrypoint=("tini", "--"),
    command=("serve",),
    env=("A=1", "B=2"),
    labels={"x": "y"},
    exposed_ports=("80/tcp",),
)


def image(letter: str, *tags: str) -> Image:
    contents = ImageContents(
        id=ImageId("sha256:" + letter * 64), config_bytes=1, created="", architecture="", os=""
    )
    references = tuple(f"docker.io/library/{tag}" for tag in tags)
    return Image(phase=Phase.PRESENT, contents=contents, references=references)


A, B = image("a", "made:two", "other:1"), image("b", "made:one")
IMAGES = {A.id: A, B.id: B}
MADE_ONE, MADE_TWO = "docker.io/library/made:one", "docker.io/library/made:two"


def test_without_a_body_changes_are_made_to_the_containers_config() -> None:
    config = committed_config(SPEC, None, ["ENV C=$A", "CMD run"])

    assert config.env == ("A=1", "B=2", "C=1")
    assert config.cmd == ("/bin/sh", "-c", "run")
    assert config.entrypoint == ("tini", "--")
    assert config.stop_signal == ""


def test_a_body_is_laid_over_the_containers_config() -> None:
    config = committed_config(SPEC, ImageConfig(env=("B=3",), labels={"l": "m"}, user="u"), [])

    assert config.env == ("B=3", "A=1")
    assert config.labels == {"l": "m", "x": "y"}
    assert (config.user, config.cmd, config.exposed_ports) == ("u", ("serve",), ("80/tcp",))


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["made"], [NamedImage(B.id, (MADE_ONE,)), NamedImage(A.id, (MADE_TWO,))]),
        (["made:two"], [NamedImage(A.id, (MADE_TWO,))]),
        ([A.id, "aaaa"], [NamedImage(A.id)]),
        (["aaaa", "made:two", "made:two"], [NamedImage(A.id, (MADE_TWO,))]),
        ([], []),
    ],
)
def test_images_are_saved_with_the_tags_that_named_them(
    words: list[str], meant: list[NamedImage]
) -> None:
    assert list(named_images(IMAGES, words)) == meant


def test_an_unknown_name_matches_no_image() -> None:
    with pytest.raises(NoSuchImage):
        named_images(IMAGES, ["made", "nothing"])
