"""Test booleans as users of Docker write them: strconv.ParseBool."""

import pytest

from engine.cli.mounts import parse_mount
from engine.domain.booleans import is_true, parse_bool


@pytest.mark.parametrize("text", ["1", "t", "T", "TRUE", "true", "True"])
def test_six_spellings_are_true(text: str) -> None:
    assert parse_bool(text)
    assert is_true(text)


@pytest.mark.parametrize("text", ["0", "f", "F", "FALSE", "false", "False"])
def test_six_spellings_are_false(text: str) -> None:
    assert not parse_bool(text)
    assert not is_true(text)


@pytest.mark.parametrize("text", ["", "yes", "on", "tRUE", "2", " 1"])
def test_anything_else_is_refused_in_gos_words(text: str) -> None:
    with pytest.raises(ValueError, match=r'strconv.ParseBool: parsing ".*": invalid syntax'):
        parse_bool(text)

    assert not is_true(text)


@pytest.mark.parametrize(
    ("option", "expected"), [("ro", True), ("readonly=T", True), ("ro=0", False)]
)
def test_a_switch_of_a_mount_needs_no_value(option: str, expected: bool) -> None:
    mount = parse_mount(f"type=bind,src=/a,dst=/b,{option}")

    assert mount["ReadOnly"] is expected
