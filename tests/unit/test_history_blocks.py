"""A long history is read in blocks, and none of its events falls between two."""

from engine.queries.history import _BLOCK, _take


def test_no_entry_falls_between_two_blocks() -> None:
    entries = iter(range(2 * _BLOCK + 1))
    taken: list[int] = []

    while block := _take(entries):  # type: ignore[arg-type]  # any iterator will do
        taken.extend(block)  # type: ignore[arg-type]

    assert taken == list(range(2 * _BLOCK + 1))
