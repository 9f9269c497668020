"""Test a full disk, and a locked, read-only or corrupt database: callers get a clear message, and
running containers are not affected.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import pytest

from engine.domain import naming
from engine.domain.ids import ContainerId
from tests.faults.conftest import STOPS_AT_ONCE
from tests.harness.client import Refused
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

DISK: Final = "24m"
PAGE_BYTES: Final = 4096


@pytest.fixture
def small_disk(place: Path) -> Iterator[DaemonUnderTest]:
    """Run a daemon whose data root is a small file system of its own."""
    disk = place / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", disk], check=True)
    with DaemonUnderTest(place / "d", data_root=disk / "data") as daemon:
        yield daemon.start().import_busybox()
    subprocess.run(["umount", disk], check=True)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Fill the disk to the last byte."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for block in (1 << 20, PAGE_BYTES):
            try:
                while file.write(bytes(block)):
                    pass
            except OSError:
                continue
    yield
    filler.unlink()


def refusal(act: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as caught:
        act()
    return caught.value


def fill_the_log(daemon: DaemonUnderTest) -> Refused:
    """Create containers until the journal, which is reused, has no room either."""
    for number in range(2000):
        try:
            daemon.api.create(f"ballast-{number}", "true")
        except Refused as refused:
            return refused
    raise AssertionError("the disk is never full")


def test_a_full_disk_refuses_new_containers_and_allows_removals(
    small_disk: DaemonUnderTest,
) -> None:
    daemon = small_disk
    kept = daemon.api.run("kept", *STOPS_AT_ONCE)
    gone = daemon.api.run("gone", *STOPS_AT_ONCE)
    with filled(daemon.data_root.parent):
        refused = fill_the_log(daemon)
        known = {each["Id"] for each in daemon.api.ps()}

        assert refused.status == 503
        assert "the disk is full" in refused.message
        assert refusal(lambda: daemon.api.create("more", "true")).status == 503
        assert daemon.api.status(kept) == "running"
        daemon.api.stop(gone)
        daemon.api.remove(gone)
        assert {each["Id"] for each in daemon.api.ps()} == known - {gone}
        daemon.assert_settled()

    daemon.api.run("afterwards", *STOPS_AT_ONCE)
    assert daemon.api.verify()["ok"]
    daemon.assert_settled()


def test_a_start_that_finds_no_room_leaves_nothing_half_done(small_disk: DaemonUnderTest) -> None:
    daemon = small_disk
    waiting = daemon.api.create("waiting", *STOPS_AT_ONCE)
    with filled(daemon.data_root.parent):
        refused = refusal(lambda: daemon.api.start(waiting))

        assert refused.status in (400, 500, 503)
        assert "no space left" in refused.message.lower() or "full" in refused.message
        assert daemon.api.status(waiting) in ("created", "exited")
        daemon.assert_settled()

    daemon.api.start(waiting)
    assert daemon.api.status(waiting) == "running"


def test_a_daemon_that_dies_on_a_full_disk_starts_on_it(small_disk: DaemonUnderTest) -> None:
    daemon = small_disk
    kept = daemon.api.run("kept", *STOPS_AT_ONCE)
    with filled(daemon.data_root.parent):
        fill_the_log(daemon)

        daemon.restart()

        assert daemon.api.status(kept) == "running"
        daemon.api.stop(kept)
        daemon.api.remove(kept)
    daemon.assert_settled()


@contextmanager
def locked(daemon: DaemonUnderTest) -> Iterator[None]:
    """Keep the database open for writing."""
    database = naming.database(daemon.data_root)
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def test_a_locked_database_is_reported_and_waited_for(daemon: DaemonUnderTest) -> None:
    running = daemon.api.run("running", *STOPS_AT_ONCE)
    with locked(daemon):
        for act in (
            lambda: daemon.api.create("new", "true"),
            lambda: daemon.api.stop(running),
            lambda: daemon.api.remove(running),
        ):
            refused = refusal(act)
            assert refused.status == 503
            assert "locked by another process" in refused.message
        assert [each["State"] for each in daemon.api.ps()] == ["running"]

    daemon.api.create("new", "true")
    daemon.api.stop(running)
    assert daemon.api.verify()["ok"]
    daemon.assert_settled()


def test_an_exit_while_the_database_is_locked_is_recorded_afterwards(
    daemon: DaemonUnderTest,
) -> None:
    identity = daemon.api.run("short", *STOPS_AT_ONCE)
    with locked(daemon):
        os.kill(daemon.api.inspect(identity)["State"]["Pid"], signal.SIGKILL)
        eventually(lambda: identity not in daemon.inventory().processes, "it is dead")

    eventually(lambda: daemon.api.status(identity) == "exited", "the exit is known")
    assert daemon.api.inspect(identity)["State"]["ExitCode"] == 137
    daemon.assert_settled()


def test_a_read_only_data_root_is_refused_at_the_start(daemon: DaemonUnderTest) -> None:
    identity = daemon.api.run("running", *STOPS_AT_ONCE)
    daemon.terminate()
    root = daemon.data_root
    subprocess.run(["mount", "--bind", root, root], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", root], check=True)
    try:
        words = refused_at_start(daemon)
    finally:
        subprocess.run(["umount", root], check=True)

    assert "read-only" in words.lower()
    assert "Traceback" not in words
    assert identity in daemon.inventory().processes
    daemon.start()
    assert daemon.api.status(identity) == "running"


def refused_at_start(daemon: DaemonUnderTest) -> str:
    """Return the message of a daemon that does not start."""
    attempt = subprocess.run(
        daemon.command(), capture_output=True, text=True, timeout=30, check=False
    )
    assert attempt.returncode == 1, attempt
    return attempt.stderr


def cut_short(database: Path) -> None:
    os.truncate(database, database.stat().st_size // 2)


def header_overwritten(database: Path) -> None:
    _overwrite(database, 0)


def tree_overwritten(database: Path) -> None:
    """Overwrite every page but the first, which has the header."""
    for page in range(1, database.stat().st_size // PAGE_BYTES):
        _overwrite(database, page * PAGE_BYTES)


def emptied(database: Path) -> None:
    """Empty the database but not its journal, which is then all that is left."""
    os.truncate(database, 0)
    database.with_name(database.name + "-wal").write_bytes(bytes(PAGE_BYTES))


def _overwrite(database: Path, at: int) -> None:
    with database.open("r+b") as file:
        file.seek(at)
        block = file.read(64)
        file.seek(at)
        file.write(bytes(byte ^ 0xFF for byte in block))


@pytest.mark.parametrize("damage", [cut_short, header_overwritten, tree_overwritten, emptied])
def test_a_corrupt_database_is_refused_and_left_as_it_is(
    daemon: DaemonUnderTest, place: Path, damage: Callable[[Path], None]
) -> None:
    identity = daemon.api.run("running", *STOPS_AT_ONCE)
    init = daemon.api.inspect(identity)["State"]["Pid"]
    assert daemon.terminate() == 0
    database = naming.database(daemon.data_root)
    fold_journal(database)
    sound = contents(database)
    damage(database)
    damaged = contents(database)

    words = refused_at_start(daemon)

    assert "event log" in words
    assert (
        "corrupt" in words
        or "not a database" in words
        or "not one of ours" in words
        or "empty" in words
    )
    assert "Traceback" not in words
    assert contents(database) == damaged
    assert init in daemon.inventory().processes[identity]
    for name in damaged:
        (database.parent / name).unlink()
    for name, content in sound.items():
        (database.parent / name).write_bytes(content)
    daemon.start()
    assert daemon.api.inspect(identity)["State"]["Pid"] == init
    daemon.assert_settled()


def fold_journal(database: Path) -> None:
    """Move everything into the one file that will be damaged: SQLite repairs a page of which the
    journal has a copy.
    """
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def contents(database: Path) -> dict[str, bytes]:
    """Return the database with its journal, byte by byte.

    Without the journal's index and an empty journal: SQLite makes both when it only reads.
    """
    files = {each.name: each.read_bytes() for each in database.parent.glob("shipslog.db*")}
    return {
        name: content for name, content in files.items() if content and not name.endswith("-shm")
    }


def test_a_changed_row_is_found_by_the_audit(daemon: DaemonUnderTest) -> None:
    daemon.api.create("witness", "true")
    assert daemon.api.verify()["ok"]
    daemon.terminate()
    with closing(sqlite3.connect(naming.database(daemon.data_root))) as forger:
        guards = forger.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (guard,) in guards:
            forger.execute(f"DROP TRIGGER {guard}")
        forger.execute(
            "UPDATE events SET data = replace(data, 'witness', 'nobody') WHERE type = 'container_created'"
        )
        forger.commit()

    daemon.start()

    verdict = daemon.api.verify()
    (created,) = daemon.api.history(type="container_created")
    assert verdict["ok"] is False
    assert verdict["first_bad_seq"] == created["seq"]


def test_a_backup_taken_while_it_runs_is_a_database_to_start_from(
    daemon: DaemonUnderTest, place: Path
) -> None:
    identity = daemon.api.run("running", *STOPS_AT_ONCE)
    database, backup = naming.database(daemon.data_root), place / "backup.db"
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    daemon.kill()
    for each in database.parent.glob("shipslog.db*"):
        each.unlink()
    shutil.copy(backup, database)

    daemon.start()

    assert daemon.api.status(identity) == "running"
    assert daemon.api.verify()["ok"]
    daemon.assert_settled()


def test_a_container_whose_files_are_held_busy_is_removed_and_its_files_go_when_they_can(
    daemon: DaemonUnderTest,
) -> None:
    """If the removal failed instead, the name would stay taken until a restart."""
    container = daemon.api.run("held", *STOPS_AT_ONCE)
    directory = naming.container_directory(daemon.data_root, ContainerId(container))
    held = directory / "held"
    held.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", held], check=True)

    daemon.api.remove("held")
    again = daemon.api.create("held", "true")
    trash = daemon.data_root / "trash"
    (still,) = trash.rglob("held")
    eventually(
        lambda: "removed_directory_not_deleted" in daemon.log, "the file in the way is logged"
    )
    subprocess.run(["umount", still], check=True)

    eventually(lambda: not list(trash.iterdir()), "the trash is emptied without a restart")
    assert daemon.api.inspect("held")["Id"] == again
