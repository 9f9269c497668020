"""Test that the daemon's log never waits for its reader."""

import os
from collections.abc import Iterator

import pytest

from engine.daemon.logs import PIPE_BUF, Output

LINE = "something_happened container_id=0123456789ab\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading_fd, writing_fd = os.pipe()
    yield reading_fd, writing_fd
    os.close(reading_fd)
    os.close(writing_fd)


def read_all(fd: int) -> str:
    os.set_blocking(fd, False)
    text = b""
    while True:
        try:
            text += os.read(fd, 1 << 20)
        except BlockingIOError:
            return text.decode()


def test_a_full_pipe_drops_lines_and_reports_how_many(
    pipe: tuple[int, int],
) -> None:
    reading_fd, writing_fd = pipe
    output = Output(writing_fd)

    for _ in range(10_000):
        output.write(LINE)
    kept = read_all(reading_fd).count(LINE)
    output.write(LINE)

    assert 0 < kept < 10_000
    assert (
        read_all(reading_fd)
        == f"{10_000 - kept} lines of the log were dropped: nobody read them\n{LINE}"
    )


def test_a_long_line_comes_whole(pipe: tuple[int, int]) -> None:
    reading_fd, writing_fd = pipe
    line = "x" * (5 * PIPE_BUF) + "\n"

    Output(writing_fd).write(line)

    assert read_all(reading_fd) == line


def test_a_line_longer_than_the_pipe_does_not_block(pipe: tuple[int, int]) -> None:
    reading_fd, writing_fd = pipe

    Output(writing_fd).write("x" * (1 << 20))

    assert 0 < len(read_all(reading_fd)) < 1 << 20


def test_a_reader_that_is_gone_is_no_error() -> None:
    reading_fd, writing_fd = os.pipe()
    os.close(reading_fd)

    Output(writing_fd).write(LINE)

    os.close(writing_fd)
