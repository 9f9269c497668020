"""What tells that directories, mounts or cgroups have changed: every change is heard once, and
nothing is heard where nothing has changed."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from engine.drivers.effects.watches import DirectoryWatch, MountWatch
from engine.runtime import linux

pytestmark = pytest.mark.root

Change = Callable[[Path], object]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with one file."""
    made = tmp_path / "place"
    made.mkdir()
    (made / "hosts").touch()
    return made


@pytest.fixture
def watch(place: Path) -> Iterator[DirectoryWatch]:
    """A watch of that directory that has heard nothing yet."""
    with closing(DirectoryWatch()) as made:
        made.watch([str(place)])
        assert not made.has_changes()
        yield made


CHANGES: Final[dict[str, Change]] = {
    "file made": lambda place: (place / "new").touch(),
    "directory made": lambda place: (place / "new").mkdir(),
    "file deleted": lambda place: (place / "hosts").unlink(),
    "file renamed": lambda place: (place / "hosts").rename(place / "other"),
    "file moved away": lambda place: (place / "hosts").rename(place.parent / "other"),
    "moved away itself": lambda place: place.rename(place.parent / "elsewhere"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_entries_is_heard_once(
    watch: DirectoryWatch, place: Path, change: Change
) -> None:
    change(place)

    assert watch.has_changes()
    assert not watch.has_changes()


def test_writing_to_a_file_is_no_change_of_entries(watch: DirectoryWatch, place: Path) -> None:
    (place / "hosts").write_text("127.0.0.1 localhost")

    assert not watch.has_changes()


def test_a_directory_that_comes_later_is_heard_of(tmp_path: Path) -> None:
    late = tmp_path / "late"
    with closing(DirectoryWatch()) as watch:
        watch.watch([str(late)])
        assert not watch.has_changes()
        late.mkdir()

        assert watch.has_changes()

        watch.watch([str(late)])
        assert not watch.has_changes()
        (late / "entry").mkdir()
        assert watch.has_changes()


def test_a_file_for_a_directory_counts_as_absent(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with closing(DirectoryWatch()) as watch:
        watch.watch([str(tmp_path / "file")])

        assert not watch.has_changes()


def test_what_took_the_place_of_a_directory_is_watched(watch: DirectoryWatch, place: Path) -> None:
    place.rename(place.parent / "elsewhere")
    place.mkdir()
    watch.watch([str(place)])
    watch.has_changes()

    (place.parent / "elsewhere" / "entry").touch()
    assert not watch.has_changes(), "it is nobody's any more"

    (place / "entry").touch()
    assert watch.has_changes()


def test_what_is_not_watched_any_more_says_nothing(watch: DirectoryWatch, place: Path) -> None:
    watch.watch([])
    watch.has_changes()

    (place / "entry").touch()

    assert not watch.has_changes()


def test_without_a_watch_everything_counts_as_changed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(linux, "inotify_add_watch", refuse)
    with closing(DirectoryWatch()) as watch:
        watch.watch([str(place)])

        assert watch.has_changes()
        assert watch.has_changes()


def test_mounts_are_heard_of_once(tmp_path: Path) -> None:
    with closing(MountWatch()) as watch:
        assert watch.has_changes(), "what happened before was not heard"
        assert not watch.has_changes()

        linux.mount("none", str(tmp_path), "tmpfs")
        assert watch.has_changes()
        assert not watch.has_changes()

        subprocess.run(["umount", tmp_path], check=True)
        assert watch.has_changes()
        assert not watch.has_changes()
