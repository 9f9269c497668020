"""Test that a long history is read in blocks, without losing an event between two."""

from engine.queries.history import BLOCK_EVENTS, _take


def test_no_entry_falls_between_two_blocks() -> None:
    entries = iter(range(2 * BLOCK_EVENTS + 1))
    taken: list[int] = []

    while block := _take(entries):
        taken.extend(block)

    assert taken == list(range(2 * BLOCK_EVENTS + 1))
