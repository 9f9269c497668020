"""Test which texts are links, and which runs of ports become a range."""

import pytest

from engine.domain.container.links import _runs, parse_link
from engine.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("web", ("web", "web")),
        ("web:w", ("web", "w")),
        ("/web:/guest/w", ("web", "w")),
    ],
)
def test_a_link_names_a_container_and_perhaps_an_alias(text: str, parts: tuple[str, str]) -> None:
    assert parse_link(text) == parts


@pytest.mark.parametrize("text", ["", ":", "web:", "a:b:c", "web:a b", "web:a\nb"])
def test_a_link_of_another_form_is_none(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_link(text)


def test_three_ports_in_a_row_are_a_range_whatever_their_protocols() -> None:
    row = [(53, "tcp"), (53, "udp"), (54, "tcp")]
    alone = [(80, "tcp"), (81, "tcp"), (9000, "tcp")]

    assert list(_runs([*row, *alone])) == [row]
