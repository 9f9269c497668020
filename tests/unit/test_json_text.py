"""Test JSON without the json module's Python half."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.runtime.json_text import flat, parse

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.text())


@given(st.dictionaries(st.text(), SCALARS))
def test_a_flat_object_is_read_back_by_anyone(fields: dict[str, str | int | bool | None]) -> None:
    assert json.loads(flat(fields)) == fields
    assert parse(flat(fields)) == fields
    assert b"\n" not in flat(fields)


@pytest.mark.parametrize("text", [b"", b"{", b"nope", b'{"a":}', b"\xff"])
def test_what_is_no_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):
        parse(text)
