"""The end of a process is heard of until nobody asks about it any more."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.domain.container.events import ProcessIdentity
from engine.drivers.processes.end_watch import EndWatch
from engine.drivers.processes.identity import boot_id
from engine.runtime.process_stat import process_stat

Started = tuple[subprocess.Popen[bytes], ProcessIdentity]


@pytest.fixture
def started() -> Iterator[list[Started]]:
    """Two processes."""
    made = [subprocess.Popen(["sleep", "1000"]) for _ in range(2)]
    yield [(each, identity(each.pid)) for each in made]
    for each in made:
        each.kill()
        each.wait()


def identity(pid: int) -> ProcessIdentity:
    stat = process_stat(pid)
    assert stat is not None
    return ProcessIdentity(pid=pid, start_ticks=stat.start_ticks, boot_id=boot_id())


def test_an_end_is_heard_of(started: list[Started]) -> None:
    (one, first), (_, second) = started
    with closing(EndWatch()) as watch:
        watch.watch([first, second])
        assert not watch.has_changes()

        one.kill()
        one.wait()

        assert watch.has_changes()
        watch.watch([second])
        assert not watch.has_changes()


def test_a_process_that_is_not_watched_any_more_may_end(started: list[Started]) -> None:
    (one, first), (_, second) = started
    with closing(EndWatch()) as watch:
        watch.watch([first, second])
        watch.watch([second])

        one.kill()
        one.wait()

        assert not watch.has_changes()


def test_no_descriptor_is_left(started: list[Started]) -> None:
    before = descriptors()
    with closing(EndWatch()) as watch:
        watch.watch([each for _, each in started])
        assert descriptors() > before

    assert descriptors() == before


def descriptors() -> set[str]:
    """Numbers of this process's open files; the listing itself has the lowest that is free."""
    return {each.name for each in Path("/proc/self/fd").iterdir()}


def test_without_descriptors_the_answer_is_yes(
    started: list[Started], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_pid: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with closing(EndWatch()) as watch, monkeypatch.context() as full:
        full.setattr(os, "pidfd_open", refuse)
        watch.watch([each for _, each in started])
        assert watch.has_changes()

        full.undo()
        watch.watch([each for _, each in started])
        assert not watch.has_changes()
