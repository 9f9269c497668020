"""Test where bodies end, however they arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.api.http.framing import BODYLESS, ChunkedBody, CountedBody, Framing, Malformed


def taken(framing: Framing, pieces: list[bytes]) -> tuple[bytes, bytes]:
    """Return the body from these pieces, and what follows it."""
    body, left = b"", b""
    for piece in pieces:
        left += piece
        while not framing.ended:
            part, left = framing.take(left)
            body += part
            if not part:
                break
    return body, left


def cut(data: bytes, at: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in at} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def chunked(chunks: list[bytes]) -> bytes:
    return b"".join([b"%X;a=b\r\n%b\r\n" % (len(each), each) for each in chunks if each])


@given(st.lists(st.binary(max_size=50)), st.lists(st.integers(0, 10_000)), st.binary(max_size=20))
def test_chunks_are_put_together_however_they_are_cut(
    chunks: list[bytes], at: list[int], behind: bytes
) -> None:
    framing = ChunkedBody()
    data = chunked(chunks) + b"000\r\nTrailer: x\r\n\r\n" + behind

    body, left = taken(framing, cut(data, at))

    assert framing.ended
    assert (body, left) == (b"".join(chunks), behind)


@given(st.binary(max_size=50), st.lists(st.integers(0, 100)), st.binary(max_size=20))
def test_a_counted_body_ends_at_its_length(body: bytes, at: list[int], behind: bytes) -> None:
    framing = CountedBody(len(body))

    assert taken(framing, cut(body + behind, at)) == (body, behind)
    assert framing.ended


def test_a_request_without_a_body_consumes_no_bytes() -> None:
    assert BODYLESS.ended
    assert BODYLESS.take(b"next") == (b"", b"next")


@pytest.mark.parametrize(
    "data",
    [b"-1\r\n", b"+1\r\n", b" 1\r\n", b"0x1\r\n", b"1_0\r\n", b"\r\n", b"\n", b"1\n", b"1 1\r\n", b"1\r\nab",
     b"1\r\na\n", b"1\r\na\rb", b"1" * 16 + b"\r\n", b"1" * 5000, b"1;\0\r\n", b"0\r\na\n"],
)  # fmt: skip
def test_what_is_framed_badly_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        taken(ChunkedBody(), [data])
