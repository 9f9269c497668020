"""Test that events are decoded as they were encoded, in whatever schema they were written."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.event import Actor, ActorKind, Event
from engine.store.chain import GENESIS, Row, canonical, next_hash
from engine.store.codec import Codec, decode_origin, encode_actor
from engine.store.errors import UnknownEvent
from engine.store.released import RELEASED
from tests.samples import bare, full

INTEGERS = st.integers(min_value=-(2**63), max_value=2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


class Painted(Event, frozen=True, kw_only=True):
    TYPE = "boat_painted"
    SCHEMA = 3

    colours: tuple[str, ...]
    coats: int = 1


class Repainted(Event, frozen=True, kw_only=True):
    TYPE = "boat_painted"


def colour_to_list(old: dict[str, Any]) -> dict[str, Any]:
    return {"colours": [old["colour"]]}


def count_coats(old: dict[str, Any]) -> dict[str, Any]:
    return old | {"coats": len(old["colours"])}


BOATS = Codec([Painted], {("boat_painted", 1): colour_to_list, ("boat_painted", 2): count_coats})


@pytest.mark.parametrize("event", RELEASED.types.values(), ids=RELEASED.types.keys())
@pytest.mark.parametrize("make", [full, bare])
def test_every_event_comes_back_unchanged(event: type[Event], make: Any) -> None:
    sample = make(event)

    assert RELEASED.decode(*RELEASED.encode(sample)) == sample


@pytest.mark.parametrize("name", RELEASED.types)
def test_stored_names_are_snake_case(name: str) -> None:
    assert name == name.lower()
    assert name.replace("_", "").isalnum()


def test_an_old_event_is_upcast_step_by_step() -> None:
    assert BOATS.decode("boat_painted", 1, '{"colour":"red"}') == Painted(colours=("red",))
    assert BOATS.decode("boat_painted", 2, '{"colours":["a","b"]}') == Painted(
        colours=("a", "b"), coats=2
    )


@pytest.mark.parametrize(
    ("name", "schema", "text", "words"),
    [
        ("boat_sunk", 1, "{}", "unknown type 'boat_sunk'"),
        ("boat_painted", 4, "{}", "of schema 4; this engine knows 3"),
        ("boat_painted", 0, "{}", "of schema 0"),
        ("boat_painted", 3, '{"colours":7}', "can't be read"),
        ("boat_painted", 3, '{"colours":[],"more":1}', "can't be read"),
        ("boat_painted", 3, "torn {", "can't be read"),
        ("boat_painted", 1, "torn {", "can't be read"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, schema: int, text: str, words: str) -> None:
    with pytest.raises(UnknownEvent, match=words):
        BOATS.decode(name, schema, text)


def test_an_event_that_could_not_be_read_back_is_not_written() -> None:
    with pytest.raises((AssertionError, ValueError), match=r"coats|survive|Expected"):
        BOATS.encode(Painted(colours=(), coats="two"))  # type: ignore[arg-type]  # on purpose


def test_an_event_type_that_is_not_listed_is_not_written() -> None:
    with pytest.raises(AssertionError, match="EVENTS"):
        BOATS.encode(Repainted())


def test_two_classes_cannot_share_a_stored_name() -> None:
    with pytest.raises(AssertionError, match="both stored as boat_painted"):
        Codec([Painted, Repainted])


def test_a_new_schema_needs_its_upcasters() -> None:
    with pytest.raises(AssertionError, match=r"no upcaster from schema \[2\]"):
        Codec([Painted], {("boat_painted", 1): colour_to_list})


def test_an_actor_comes_back_unchanged() -> None:
    actor = Actor(kind=ActorKind.USER, name="jörg", uid=0, gid=0, pid=7, program="/bin/x")

    assert decode_origin(encode_actor(actor), 3, "c").actor == actor


@given(
    st.builds(
        Row,
        INTEGERS,
        TEXTS,
        INTEGERS,
        TEXTS,
        INTEGERS,
        TEXTS,
        INTEGERS,
        TEXTS,
        INTEGERS | st.none(),
        TEXTS,
    )
)
def test_an_auditor_needs_only_json_to_compute_the_hashed_bytes(row: Row) -> None:
    written = json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode()

    assert canonical(row) == written


def test_the_hash_is_of_these_bytes_for_ever() -> None:
    """The figure is ``sha256sum``'s, of 32 zero bytes and the JSON text."""
    row = Row(
        1, "container/a", 1, "container_created", 1, '{"a":1}', 5, '{"kind":"user"}', None, ""
    )

    assert next_hash(GENESIS, row).hex() == (
        "9599aec600e61a54481d81195cb04f94876ba8717812c2d23a8c8ffb71a579a2"
    )
