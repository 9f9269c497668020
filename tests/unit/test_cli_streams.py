"""Test Docker's multiplexed streams, the detach keys, and the built-in image."""

import io
import sys
import tarfile

import pytest

from engine.cli.builtin_image import busybox_tar, find_busybox, is_static
from engine.cli.engine import Engine, quote, refusal
from engine.cli.failures import Failure
from engine.cli.run import tagged
from engine.cli.streams import Demultiplexer
from engine.cli.terminal import parse_keys

STREAM = b"\x01\0\0\0\0\0\0\x05hello\x02\0\0\0\0\0\0\x03err\x01\0\0\0\0\0\0\x00"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 13, 100])
def test_frames_may_be_cut_anywhere(size: int) -> None:
    demultiplexer = Demultiplexer()
    blocks = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]

    pieces = [piece for block in blocks for piece in demultiplexer.feed(block)]

    assert b"".join(text for fd, text in pieces if fd == 1) == b"hello"
    assert b"".join(text for fd, text in pieces if fd == 2) == b"err"


def test_an_error_of_the_engine_in_the_stream_is_a_failure() -> None:
    with pytest.raises(Failure, match="error from daemon in stream: broken"):
        list(Demultiplexer().feed(b"\x03\0\0\0\0\0\0\x06broken"))


def test_what_is_no_frame_is_not_shown() -> None:
    with pytest.raises(Failure, match="Unrecognized input header: 72"):
        list(Demultiplexer().feed(b"HTTP/1.1 200 OK\r\n"))


@pytest.mark.parametrize(
    ("text", "keys"),
    [("", b"\x10\x11"), ("ctrl-p,ctrl-q", b"\x10\x11"), ("a,ctrl-X,ctrl-[", b"a\x18\x1b"), ("ctrl-@", b"\0")],
)  # fmt: skip
def test_detach_keys_are_what_a_terminal_sends(text: str, keys: bytes) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize("text", ["foo", "ctrl-", "ctrl-1", "a,,b", "é"])
def test_an_unknown_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Unknown character"):
        parse_keys(text)


def test_a_target_has_what_was_given_and_nothing_empty() -> None:
    engine = Engine("unix:///nowhere")

    target = engine.target("/images/a/b:c/json", {"x": "1 &", "y": "", "z": ["a", "b"]})

    assert target == "/images/a/b:c/json?x=1%20%26&z=a&z=b"
    assert quote("ä/~") == "%C3%A4%2F~"


def test_the_engines_own_words_are_found_in_any_refusal() -> None:
    assert refusal(b'{"message":"No such container: x"}', 404) == "No such container: x"
    assert refusal(b"plain\n", 500) == "plain"
    assert refusal(b"", 500) == "HTTP status 500"


@pytest.mark.parametrize(
    ("image", "meant"),
    [
        ("busybox", "busybox:latest"),
        ("busybox:1", "busybox:1"),
        ("localhost:5000/busybox", "localhost:5000/busybox:latest"),
        ("busybox@sha256:00", "busybox@sha256:00"),
    ],
)
def test_a_reference_without_a_tag_means_latest(image: str, meant: str) -> None:
    assert tagged(image) == meant


def test_the_builtin_image_is_the_same_whenever_it_is_built() -> None:
    archive = busybox_tar()

    assert archive == busybox_tar()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        names = {entry.name: entry for entry in tar}
    assert names["bin/sh"].linkname == "busybox"
    assert names["bin/busybox"].mode == 0o755
    assert names["tmp"].mode == 0o1777
    assert names["etc/passwd"].isfile()
    assert {entry.uid for entry in names.values()} == {0}


def test_a_dynamic_program_is_distinguished_from_a_static_one() -> None:
    assert is_static(find_busybox())
    assert not is_static(sys.executable)
