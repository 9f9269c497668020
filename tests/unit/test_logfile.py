"""Test that encoding the log by blocks has the same result as encoding it line by line."""

import json
import os
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.runtime.logfile import (
    LINE_BYTES_MAX,
    LogFile,
    encode_lines,
    escape,
    rfc3339,
    split,
)

AT = b"2026-11-20T10:00:00.123456789Z"
BYTES = st.one_of(
    st.binary(max_size=300),
    st.lists(st.sampled_from([b"\n", b"\r", b'"', b"\\", b"<", b"\xff", "é€𝄞".encode()])).map(
        b"".join
    ),
    st.sampled_from([b"x" * (LINE_BYTES_MAX - 1), b"y" * LINE_BYTES_MAX, "𝄞".encode() * 9000]),
)


def as_text(written: bytes) -> str:
    """Decode; each byte that is not UTF-8 becomes U+FFFD, as in Docker's logs."""
    text = written.decode(errors="surrogateescape")
    return re.sub("[\udc80-\udcff]", "\ufffd", text)


def logged(*blocks: bytes, ended: bool = True) -> list[str]:
    fd = os.memfd_create("log")
    os.set_blocking(fd, True)
    log = LogFile(fd, dropped=lambda count: None)
    for block in blocks:
        log.write("stdout", block)
    if ended:
        log.end("stdout")
    records = os.pread(fd, 1 << 24, 0)
    os.close(fd)
    assert records == b"" or records.endswith(b"\n")
    return [json.loads(record)["log"] for record in records.splitlines()]


def test_a_block_of_lines_becomes_a_record_each() -> None:
    records = encode_lines(b"one\ntwo\n", "stderr", AT)

    assert records == (
        b'{"log":"one\\n","stream":"stderr","time":"2026-11-20T10:00:00.123456789Z"}\n'
        b'{"log":"two\\n","stream":"stderr","time":"2026-11-20T10:00:00.123456789Z"}\n'
    )


def test_what_json_reserves_is_escaped_as_docker_escapes_it() -> None:
    assert escape(b'a<b>&"\\ \x01\t\r\n') == b'a\\u003cb\\u003e\\u0026\\"\\\\ \\u0001\\u0009\\r\n'


def test_a_plain_block_is_not_copied() -> None:
    block = b"nothing special here\n"

    assert escape(block) is block


def test_a_line_waits_for_its_end() -> None:
    assert logged(b"begin", b"ning\nnext", ended=False) == ["beginning\n"]


def test_a_last_line_without_newline_is_logged_when_the_stream_ends() -> None:
    assert logged(b"no newline") == ["no newline"]


def test_a_long_line_is_cut_into_pieces_of_16_kib() -> None:
    pieces = logged(b"x" * (2 * LINE_BYTES_MAX) + b"yz\n")

    assert [len(piece) for piece in pieces] == [LINE_BYTES_MAX, LINE_BYTES_MAX, 3]
    assert pieces[-1] == "yz\n"


def test_a_piece_does_not_end_inside_a_character() -> None:
    pieces = logged(b"x" + "𝄞".encode() * LINE_BYTES_MAX + b"\n")

    assert "\ufffd" not in "".join(pieces)


def test_short_lines_around_a_long_one_stay_whole() -> None:
    long_line = b"z" * (LINE_BYTES_MAX + 5) + b"\n"

    parts = list(split(b"a\nb\n" + long_line + b"c\nrest"))

    assert parts == [
        (b"a\nb\n", True),
        (b"z" * LINE_BYTES_MAX, False),
        (b"zzzzz\nc\n", True),
        (b"rest", False),
    ]


@settings(max_examples=200, deadline=None)
@given(st.lists(BYTES, max_size=6))
def test_nothing_is_lost_however_the_output_arrives(blocks: list[bytes]) -> None:
    records = logged(*blocks)

    assert "".join(records) == as_text(b"".join(blocks))
    assert all("\n" not in record[:-1] for record in records)


def test_times_have_nine_digits_and_are_in_utc() -> None:
    assert rfc3339(1_700_000_000_000_000_005) == b"2023-11-14T22:13:20.000000005Z"


def test_a_full_disk_loses_what_did_not_fit_and_nothing_after_it() -> None:
    lost: list[int] = []
    full = os.open("/dev/full", os.O_WRONLY)
    log = LogFile(full, lost.append)

    log.write("stdout", b"lost\n")

    os.close(full)
    assert len(lost) == 1
    assert lost[0] > len(b"lost\n")
