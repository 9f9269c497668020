"""Test reading a log back: blocks, filters, tails, damage."""

import json
from pathlib import Path

import pytest

from engine.drivers.logs.query import BLOCK_BYTES, LogReader
from engine.ports.streams import LogOptions
from engine.runtime.clients import frame_header

SECOND = 1_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "json.log"


def record(log: str, stream: str = "stdout", second: int = 0) -> bytes:
    time = f"2026-11-20T10:00:{second:02}.000000000Z"
    return (
        json.dumps({"log": log, "stream": stream, "time": time}, separators=(",", ":")).encode()
        + b"\n"
    )


def read(path: Path, **query: object) -> bytes:
    reader = LogReader(path, LogOptions(**query))  # type: ignore[arg-type]
    try:
        return b"".join(reader.blocks())
    finally:
        reader.close()


def frame(text: bytes, stream: int = 1) -> bytes:
    return frame_header(stream, len(text)) + text


def test_consecutive_lines_of_a_stream_share_a_frame(path: Path) -> None:
    path.write_bytes(record("a\n") + record("b\n") + record("e\n", "stderr") + record("c\n"))

    assert read(path) == frame(b"a\nb\n") + frame(b"e\n", 2) + frame(b"c\n")


def test_a_terminal_has_no_frames(path: Path) -> None:
    path.write_bytes(record("a\r\n") + record("b\r\n"))

    assert read(path, raw=True) == b"a\r\nb\r\n"


def test_one_stream_may_be_left_out(path: Path) -> None:
    path.write_bytes(record("a\n") + record("e\n", "stderr"))

    assert read(path, stdout=False) == frame(b"e\n", 2)
    assert read(path, stderr=False) == frame(b"a\n")


def test_timestamps_stand_before_each_line(path: Path) -> None:
    path.write_bytes(record("a\n", second=7))

    assert read(path, raw=True, timestamps=True) == b"2026-11-20T10:00:07.000000000Z a\n"


def test_since_and_until_are_both_included(path: Path) -> None:
    path.write_bytes(b"".join(record(f"{second}\n", second=second) for second in range(10)))
    begin_ns = 1_795_168_800 * SECOND

    text = read(path, raw=True, since_ns=begin_ns + 3 * SECOND, until_ns=begin_ns + 5 * SECOND)

    assert text == b"3\n4\n5\n"


@pytest.mark.parametrize(("tail", "first"), [(0, 50_000), (1, 49_999), (777, 49_223), (60_000, 0)])
def test_a_tail_is_the_last_so_many_records(path: Path, tail: int, first: int) -> None:
    path.write_bytes(b"".join(record(f"{number}\n") for number in range(50_000)))

    lines = read(path, raw=True, tail=tail).split()

    assert lines == [b"%d" % number for number in range(first, 50_000)]


def test_a_torn_record_and_nuls_are_reported_and_hide_nothing_else(path: Path) -> None:
    torn = record("torn\n")[:20]
    path.write_bytes(
        record("a\n") + torn + record("b\n") + bytes(4096) + record("c\n") + b"?\n" + record("d\n")
    )

    text = read(path, raw=True).decode()

    assert [line for line in text.splitlines() if "damaged" not in line] == ["a", "b", "c", "d"]
    assert "[20 bytes of this log are damaged and left out]" in text
    assert "[4096 bytes" in text


def test_since_works_beyond_damage(path: Path) -> None:
    path.write_bytes(record("a\n", second=1) + bytes(100) + b"\n" + record("b\n", second=2))

    text = read(path, raw=True, since_ns=1_795_168_802 * SECOND)

    assert text.splitlines()[-1] == b"b"
    assert b"a\n" not in text


def test_a_reader_goes_on_where_it_was(path: Path) -> None:
    path.write_bytes(record("a\n") + record("b\n")[:10])
    reader = LogReader(path, LogOptions(raw=True))
    first = b"".join(reader.blocks())
    with path.open("ab") as file:
        file.write(record("b\n")[10:])

    second = b"".join(reader.blocks())

    reader.close()
    assert (first, second) == (b"a\n", b"b\n")


def test_a_log_that_was_emptied_is_read_from_its_new_beginning(path: Path) -> None:
    path.write_bytes(record("long ago\n") * 10)
    reader = LogReader(path, LogOptions(raw=True))
    list(reader.blocks())
    path.write_bytes(record("new\n"))

    text = b"".join(reader.blocks())

    reader.close()
    assert text == b"new\n"


def test_records_that_cross_blocks_are_whole(path: Path) -> None:
    path.write_bytes(record("x" * 1000 + "\n") * (3 * BLOCK_BYTES // 1000))

    text = read(path, raw=True)

    assert text == (b"x" * 1000 + b"\n") * (3 * BLOCK_BYTES // 1000)


def test_a_container_that_never_ran_has_an_empty_log(tmp_path: Path) -> None:
    assert read(tmp_path / "none") == b""
