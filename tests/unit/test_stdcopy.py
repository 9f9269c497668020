"""Test Docker's stream format, and the keys that end an attachment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.runtime.clients import STDERR, DetachKeys, frame_header

KEYS = b"\x10\x11"


def typed_in_pieces(keys: bytes, pieces: list[bytes]) -> tuple[bytes, bool]:
    detach = DetachKeys(keys)
    passed = b""
    for piece in pieces:
        more, detached = detach.feed(piece)
        passed += more
        if detached:
            return passed, True
    return passed, False


def test_a_frame_names_its_stream_and_its_length() -> None:
    assert frame_header(STDERR, 0x01020304) == b"\x02\x00\x00\x00\x01\x02\x03\x04"


@pytest.mark.parametrize(
    "pieces", [[b"ls\x10\x11more"], [b"ls\x10", b"\x11"], [b"ls", b"\x10", b"\x11"]]
)
def test_the_keys_are_found_however_they_arrive(pieces: list[bytes]) -> None:
    assert typed_in_pieces(KEYS, pieces) == (b"ls", True)


def test_a_prefix_of_the_keys_that_does_not_continue_is_passed_on() -> None:
    assert typed_in_pieces(KEYS, [b"\x10", b"a"]) == (b"\x10a", False)


def test_a_repeated_first_key_may_still_begin_the_keys() -> None:
    assert typed_in_pieces(KEYS, [b"\x10", b"\x10", b"\x11"]) == (b"\x10", True)


def test_without_keys_everything_is_passed_on() -> None:
    assert typed_in_pieces(b"", [b"\x10\x11"]) == (b"\x10\x11", False)


@given(st.lists(st.text("ab", max_size=4).map(str.encode), max_size=12))
def test_pieces_make_no_difference(pieces: list[bytes]) -> None:
    keys, whole = b"aab", b"".join(pieces)

    passed, detached = typed_in_pieces(keys, pieces)

    assert detached == (keys in whole)
    if detached:
        assert passed == whole[: whole.index(keys)]
    else:
        assert whole.startswith(passed)
        assert keys.startswith(whole[len(passed) :])
