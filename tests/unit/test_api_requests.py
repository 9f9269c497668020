"""Test that queries and bodies are read as Docker reads them, and every kind of error has its
status.
"""

import os
import socket
import sys
from pathlib import Path

import pytest
import trio

from engine.api.http.actors import peer_of
from engine.api.http.requests import Body, Query
from engine.api.http.sockets import listen_unix
from engine.api.http.status import answer_error
from engine.domain.event import ActorKind
from engine.errors import (
    Conflict,
    DriverError,
    InvalidRequest,
    NotFound,
    NotModified,
    TooLarge,
    Unavailable,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", False),
        ("a", False),
        ("a=", False),
        ("a=0", False),
        ("a=False", False),
        ("a=no", False),
        ("a=none", False),
        ("a=1", True),
        ("a=true", True),
        ("a=yes", True),
        ("a=x", True),
    ],
)
def test_a_flag_is_true_unless_it_says_otherwise(text: str, value: bool) -> None:
    assert Query(text).flag("a") is value


def test_a_flag_that_is_not_there_has_its_default() -> None:
    assert Query("b=1").flag("a", default=True) is True


@pytest.mark.parametrize(
    ("text", "value"), [("a=7", 7), ("a=-1", -1), ("a=%2B3", 3), ("a=", 9), ("", 9)]
)
def test_a_number_is_decimal(text: str, value: int) -> None:
    assert Query(text).integer("a", 9) == value


@pytest.mark.parametrize(
    "digits", ["x", "1.5", "0x1", " 1", "²", "--1", "+-1", "9" * 19 + "9", "9" * 5000]
)
def test_a_malformed_number_is_refused_in_gos_words(digits: str) -> None:
    with pytest.raises(InvalidRequest, match=r'strconv.ParseInt: parsing "'):
        Query(f"a={digits}").integer("a")


def test_a_name_may_occur_many_times() -> None:
    query = Query("tag=a&tag=b&c=d%20e+f")

    assert query.texts("tag") == ("a", "b")
    assert query.text("c") == "d e f"


class Chunks(Body):
    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)

    async def next_chunk(self) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""


def test_a_body_is_read_whole_up_to_a_limit() -> None:
    assert trio.run(Chunks(b"ab", b"c").read, 3) == b"abc"
    with pytest.raises(TooLarge):
        trio.run(Chunks(b"ab", b"cd").read, 3)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidRequest("x"), 400),
        (NotFound("x"), 404),
        (NotModified("x"), 304),
        (Conflict("x"), 409),
        (TooLarge("x"), 413),
        (Unavailable("x"), 503),
        (DriverError("x"), 500),
        (KeyError("x"), 500),
    ],
)
def test_an_error_has_the_status_of_its_kind(error: Exception, status: int) -> None:
    assert answer_error(error, "c" * 32).status == status


def test_an_unclassified_error_is_not_shown_to_the_client() -> None:
    answer = answer_error(KeyError("secret"), "c" * 32)

    assert b"secret" not in answer.body
    assert b"c" * 32 in answer.body


def test_the_kernel_names_the_caller() -> None:
    program = str(Path(sys.executable).resolve())

    async def ask() -> None:
        ours, theirs = trio.socket.socketpair()
        with ours, theirs:
            actor = peer_of(ours)
        assert actor.kind is ActorKind.USER
        assert (actor.uid, actor.gid, actor.pid) == (os.getuid(), os.getgid(), os.getpid())
        assert actor.program == program

    trio.run(ask)


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    async def listen_twice() -> None:
        path = tmp_path / "run" / "api.sock"
        first = listen_unix(path)
        with pytest.raises(Unavailable, match="Address already in use"):
            listen_unix(path)
        first.socket.close()
        with listen_unix(path).socket, socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            assert path.stat().st_mode & 0o777 == 0o660

    trio.run(listen_twice)


def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("kept")
    with pytest.raises(Unavailable):
        listen_unix(path)

    assert path.read_text() == "kept"
