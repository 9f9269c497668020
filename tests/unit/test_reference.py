"""Test that references are read by the distribution project's grammar, and refused with Docker's
message.
"""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.domain.image.reference import InvalidReference, parse_reference, parse_repository
from engine.errors import InvalidRequest

DIGEST = "sha256:" + "0" * 64

COMPONENT = st.from_regex(r"[a-z0-9]{1,5}((\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}", fullmatch=True)
DOMAIN = st.sampled_from(
    ["", "localhost/", "localhost:5000/", "example.com/", "EXAMPLE/", "[::1]:80/"]
)
TAG = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,10}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("library/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("index.docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
        ("docker.io/me/app", "docker.io/me/app:latest", "me/app:latest"),
        ("library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
        ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
        ("localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y"),
        ("ghcr.io/a/b__c.d-e", "ghcr.io/a/b__c.d-e:latest", "ghcr.io/a/b__c.d-e:latest"),
        ("REG/x", "REG/x:latest", "REG/x:latest"),
        (f"x@{DIGEST}", f"docker.io/library/x@{DIGEST}", f"x@{DIGEST}"),
        (f"x:1@{DIGEST}", f"docker.io/library/x:1@{DIGEST}", f"x:1@{DIGEST}"),
    ],
)
def test_short_forms_mean_what_docker_means(text: str, canonical: str, familiar: str) -> None:
    reference = parse_reference(text).tagged

    assert str(reference) == canonical
    assert reference.familiar == familiar


@given(DOMAIN, st.lists(COMPONENT, min_size=1, max_size=3), TAG)
def test_both_forms_parse_to_the_same_reference(domain: str, path: list[str], tag: str) -> None:
    assume(domain or "." not in path[0] or len(path) == 1)  # otherwise the first part is a domain

    reference = parse_reference(f"{domain}{'/'.join(path)}:{tag}")

    assert parse_reference(str(reference)) == reference
    assert parse_reference(reference.familiar) == reference


@pytest.mark.parametrize(
    "text",
    ["", "foo bar", "foo:", ":x", "foo:BAR/x", "x//y", "-x", "x-", "a..b", "a___b", "foo@sha256:abc",
     f"foo@sha512:{'0' * 64}", "foo:" + "t" * 129, "foo\n", "föö", "foo:.x", "x/"],
)  # fmt: skip
def test_what_breaks_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference, match=r"^invalid reference format$"):
        parse_reference(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Foo", "invalid reference format: repository name (library/Foo) must be lowercase"),
        ("a/B:x", "invalid reference format: repository name (a/B) must be lowercase"),
        ("a" * 256, "repository name must not be more than 255 characters"),
        (
            "0" * 64,
            f"invalid repository name ({'0' * 64}), cannot specify 64-byte hexadecimal strings",
        ),
    ],
)
def test_some_refusals_say_more(text: str, message: str) -> None:
    with pytest.raises(InvalidReference) as refusal:
        parse_reference(text)

    assert str(refusal.value) == message


def test_a_repository_and_a_tag_may_come_apart() -> None:
    assert parse_repository("x", "1").familiar == "x:1"
    assert parse_repository("x", "").familiar == "x:latest"
    assert parse_repository("x:2", "").familiar == "x:2"


def test_a_tag_apart_is_checked_too() -> None:
    with pytest.raises(InvalidReference, match="invalid tag format"):
        parse_repository("busybox", "!y")


def test_nothing_can_be_tagged_by_digest() -> None:
    with pytest.raises(InvalidRequest, match="refusing to create a tag with a digest reference"):
        parse_repository(f"x@{DIGEST}", "")
