"""Test a log in several files: which files the writer makes, and how readers find their way through
them.
"""

import gzip
import json
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import trio

from engine.drivers.logs.files import close_parts, open_parts
from engine.drivers.logs.follow import read_log
from engine.drivers.logs.query import LogReader
from engine.ports.streams import LogOptions
from engine.runtime.log_rotation import FILE_MODE, Rotation
from engine.runtime.logfile import LogFile

FILE_BYTES = 2000
LINES = 300


class SpareTime:
    """The time that a monitor would have between two events."""

    def __init__(self) -> None:
        self._due: Callable[[], None] | None = None

    def later(self, callback: Callable[[], None]) -> None:
        self._due = callback

    def use(self, slices: int | None = None) -> None:
        for _ in range(slices) if slices is not None else count():
            due, self._due = self._due, None
            if due is None:
                return
            due()


def dropped(count_bytes: int) -> None:
    raise AssertionError(f"{count_bytes} bytes found no room")


class Log:
    """A writer and its files."""

    def __init__(self, path: Path, files_max: int, spare_time: SpareTime | None = None) -> None:
        self.path = path
        self.files_max = files_max
        self.spare_time = spare_time
        self.written = 0
        self._file = self._open()

    def _open(self) -> LogFile:
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE_MODE)
        later = self.spare_time.later if self.spare_time else None
        rotation = Rotation(str(self.path), FILE_BYTES, self.files_max, later)
        return LogFile(fd, dropped, rotation=rotation)

    def restart(self) -> None:
        """Replace the writer, as if the monitor had been killed and another one started."""
        self._file = self._open()

    def write(self, lines: int) -> None:
        for number in range(self.written, self.written + lines):
            self._file.write("stdout", text(number))
        self.written += lines

    def names(self) -> set[str]:
        return {entry.name.removeprefix(self.path.name) for entry in self.path.parent.iterdir()}


def text(number: int) -> bytes:
    return b"line %05d\n" % number


def all_text(first: int, last: int) -> bytes:
    return b"".join(map(text, range(first, last)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x-json.log"


def read(path: Path, **query: object) -> bytes:
    reader = LogReader(path, LogOptions(raw=True, **query))  # type: ignore[arg-type]
    try:
        return b"".join(reader.blocks())
    finally:
        reader.close()


def test_a_file_is_put_aside_when_it_is_full_and_the_oldest_goes(path: Path) -> None:
    log = Log(path, 3)
    log.write(LINES)

    assert log.names() == {"", ".1", ".2"}
    sizes = [path.with_name(path.name + suffix).stat().st_size for suffix in (".1", ".2")]
    record = len(path.with_name(path.name + ".1").read_bytes().splitlines()[0]) + 1
    assert all(FILE_BYTES <= size < FILE_BYTES + record for size in sizes)


def test_what_is_left_of_a_log_is_read_over_all_its_files(path: Path) -> None:
    log = Log(path, 4)
    log.write(LINES)
    kept = read(path)

    assert kept == all_text(LINES - len(kept.splitlines()), LINES)
    assert len(kept) > 3 * FILE_BYTES / 100 * len(text(0))


@pytest.mark.parametrize("tail", [0, 1, 7, 30, 60, 10_000])
def test_the_last_lines_may_be_in_several_files(path: Path, tail: int) -> None:
    log = Log(path, 4)
    log.write(LINES)
    kept = len(read(path).splitlines())

    assert read(path, tail=tail) == all_text(LINES - min(tail, kept), LINES)


def test_a_block_larger_than_a_file_is_cut_between_records(path: Path) -> None:
    log = Log(path, 50)
    log._file.write("stdout", all_text(0, LINES))

    assert read(path) == all_text(0, LINES)
    assert len(log.names()) > 5
    for name in path.parent.iterdir():
        assert all(json.loads(line)["log"] for line in name.read_bytes().splitlines())


def test_with_a_single_file_a_reader_finishes_the_old_one(path: Path) -> None:
    log = Log(path, 1)
    log.write(10)
    reader = LogReader(path, LogOptions(raw=True))
    first = next(reader.blocks())
    log.write(20)
    rest = b"".join(reader.blocks())
    reader.close()

    assert log.names() == {""}
    assert first + rest == all_text(0, 30)


@pytest.mark.parametrize("slices", [0, 1, 3, None])
def test_files_put_aside_are_compressed_in_spare_time(path: Path, slices: int | None) -> None:
    spare_time = SpareTime()
    log = Log(path, 8, spare_time)
    for _ in range(LINES // 10):
        log.write(10)
        spare_time.use(slices)
    spare_time.use()

    packed = [name for name in log.names() if name.endswith(".gz")]
    assert len(packed) == 7
    assert log.names() == {"", *packed}
    content = gzip.decompress(path.with_name(path.name + ".1.gz").read_bytes())
    assert json.loads(content.splitlines()[0])["stream"] == "stdout"
    kept = read(path)
    assert kept == all_text(LINES - len(kept.splitlines()), LINES)
    assert read(path, tail=100) == all_text(LINES - 100, LINES)


@pytest.mark.parametrize("step", range(12))
def test_a_writer_killed_at_any_step_loses_nothing_that_it_wrote(
    path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rename, unlink and open of a rotation is the last one; then another monitor goes on."""
    spare_time = SpareTime()
    log = Log(path, 30, spare_time)
    log.write(60)
    steps = count()

    class Killed(BaseException):
        pass

    def until_killed(call: Callable[..., object]) -> Callable[..., object]:
        def guarded(*args: object, **options: object) -> object:
            if next(steps) == step:
                raise Killed
            return call(*args, **options)

        return guarded

    with monkeypatch.context() as patched:
        for name in ("rename", "unlink", "open"):
            patched.setattr(os, name, until_killed(getattr(os, name)))
        try:
            while True:
                log.write(1)
                spare_time.use(1)
        except Killed:
            pass
    before = read(path)
    log.restart()
    log.written = len(before.splitlines())
    log.write(40)
    spare_time.use()

    assert before == all_text(0, len(before.splitlines()))
    assert read(path) == all_text(0, log.written)


@pytest.mark.parametrize("files_max", [1, 2, 5])
@pytest.mark.parametrize("pack", [False, True])
def test_a_follower_that_keeps_up_gets_every_byte_once(
    path: Path, files_max: int, pack: bool
) -> None:
    spare_time = SpareTime() if pack else None
    log = Log(path, files_max, spare_time)

    async def main() -> bytes:
        ended = trio.Event()
        got = b""
        async with trio.open_nursery() as nursery:
            sending, seen = trio.open_memory_channel[bytes](0)

            async def follow() -> None:
                async with sending:
                    async for block in read_log(path, LogOptions(raw=True), ended=ended):
                        await sending.send(block)

            log.write(1)
            nursery.start_soon(follow)
            with trio.fail_after(20):
                while log.written < LINES:
                    while len(got) < log.written * len(text(0)):
                        got += await seen.receive()
                    log.write(13)
                    if spare_time:
                        spare_time.use(1)
                ended.set()
                async for block in seen:
                    got += block
        return got

    assert trio.run(main) == all_text(0, log.written)


def test_no_file_is_left_open(path: Path) -> None:
    log = Log(path, 5)
    log.write(LINES)
    before = len(list(Path("/proc/self/fd").iterdir()))
    read(path, tail=3)
    read(path)
    close_parts(open_parts(path))

    assert len(list(Path("/proc/self/fd").iterdir())) == before
