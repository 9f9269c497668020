"""Test a database with content that we did not write: refused or reported, and never touched."""

import hashlib
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from engine.domain.event import SUPERVISOR, Event, Origin
from engine.store import database, migrate, schema
from engine.store.codec import Codec
from engine.store.errors import StoreCorrupt
from engine.store.log import EventLog
from engine.store.records import Change, VerifyReport

ORIGIN = Origin(actor=SUPERVISOR)
EVENTS = 300


class Noted(Event, frozen=True, kw_only=True):
    TYPE = "noted"

    text: str


CODEC = Codec([Noted])


def opened(path: Path) -> EventLog:
    return EventLog.open(path, codec=CODEC, threaded=False)


def filled(path: Path, *, close: bool = True) -> EventLog:
    log = opened(path)
    changes = [
        Change(f"boat/{n % 7}", n // 7 + 1, (Noted(text=f"note {n}"),), ORIGIN, n, b"{}")
        for n in range(EVENTS)
    ]
    trio.run(log.append, changes)
    if close:
        log.close()
    return log


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shipslog.db"


def contents(path: Path) -> dict[str, str]:
    """Return the hash of every file with content, but for the ``-shm``: that is only an index,
    which SQLite makes anew.
    """
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in path.parent.iterdir()
        if file.is_file() and file.stat().st_size and not file.name.endswith("-shm")
    }


def tamper(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as connection:
        for trigger in ("update", "delete", "elsewhere"):
            connection.execute(f"DROP TRIGGER events_refuse_{trigger}")
        for statement in statements:
            connection.execute(statement)
    connection.close()


def verify(path: Path) -> VerifyReport:
    log = opened(path)
    report = log.verify_chain()
    log.close()
    return report


def smash_header(path: Path) -> None:
    path.write_bytes(b"Dear diary, " * 1000)


def smash_middle(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096 + 8)
        file.write(b"\xff" * 4096)


def smash_first_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 900)


def smash_head(path: Path) -> None:
    tamper(path, "UPDATE head SET seq = 5")


def smash_newer(path: Path) -> None:
    tamper(path, "UPDATE alembic_version SET version_num = '9999'")


def smash_owner(path: Path) -> None:
    tamper(path, "PRAGMA application_id = 7")


@pytest.mark.parametrize(
    ("smash", "words"),
    [
        (smash_header, "not a database"),
        (smash_middle, "corrupt"),
        (smash_first_page, "corrupt|not a database"),
        (smash_head, "the head says 5, but the events go to 300"),
        (smash_newer, "written by a newer Shipslog"),
        (smash_owner, "not one of ours"),
    ],
)
def test_an_unsound_database_is_refused_and_left_alone(
    path: Path, smash: Callable[[Path], None], words: str
) -> None:
    filled(path)
    smash(path)
    before = contents(path)

    with pytest.raises(StoreCorrupt, match=words):
        opened(path)

    assert contents(path) == before


def killed_copy(log: EventLog) -> Path:
    """Copy the files of an open log, as a killed engine leaves them: the newest events are in the
    journal only.
    """
    directory = log.path.parent / "killed"
    shutil.copytree(log.path.parent, directory, ignore=lambda *_: ["killed"])
    log.close()
    return directory / log.path.name


def test_the_journal_of_an_unsound_database_is_left_alone_too(path: Path) -> None:
    filled(path)
    log = opened(path)
    trio.run(log.append, [Change("boat/new", 1, (Noted(text="newest"),), ORIGIN, 0, b"{}")])
    copy = killed_copy(log)
    smash_middle(copy)
    before = contents(copy)
    assert f"{path.name}-wal" in before

    with pytest.raises(StoreCorrupt):
        opened(copy)

    assert contents(copy) == before


@pytest.mark.parametrize("remains", [True, False], ids=["emptied", "deleted"])
def test_a_lost_database_is_not_begun_anew_over_its_journal(path: Path, remains: bool) -> None:
    copy = killed_copy(filled(path, close=False))
    copy.write_bytes(b"") if remains else copy.unlink()
    before = contents(copy)

    with pytest.raises(StoreCorrupt, match="empty or gone"):
        opened(copy)

    assert contents(copy) == before


def test_what_a_killed_engine_left_is_recovered_from_the_journal(
    path: Path, tmp_path: Path
) -> None:
    log = filled(path, close=False)
    killed = tmp_path / "killed"
    shutil.copytree(tmp_path, killed, ignore=lambda *_: ["killed"])
    log.close()

    recovered = opened(killed / path.name)

    assert recovered.last_seq == EVENTS
    assert recovered.verify_chain() == VerifyReport(EVENTS, None, ())
    recovered.close()


@pytest.mark.parametrize(
    ("statement", "first_bad", "words"),
    [
        (
            'UPDATE events SET data = \'{"text":"x"}\' WHERE seq = 20',
            20,
            "event 20 of boat/5 has been",
        ),
        ('UPDATE events SET actor = \'{"kind":"user"}\' WHERE seq = 20', 20, "event 20 "),
        ("UPDATE events SET at_ns = at_ns + 1 WHERE seq = 20", 20, "event 20 "),
        ("UPDATE events SET hash = zeroblob(32) WHERE seq = 20", 20, "event 20 "),
        ("UPDATE events SET data = x'00ff' WHERE seq = 20", 20, "event 20 "),
        ("DELETE FROM events WHERE seq = 20", 20, "event 20 is missing"),
        ("DELETE FROM events WHERE seq BETWEEN 1 AND 9", 1, "events 1 to 9 are missing"),
        ("DELETE FROM events WHERE seq > 250", 251, "events 251 to 300 are missing"),
        ("DELETE FROM events", 1, "events 1 to 300 are missing"),
        ("UPDATE head SET hash = zeroblob(32)", 300, "the head has another hash"),
    ],
)
def test_an_audit_finds_what_was_changed_or_removed(
    path: Path, statement: str, first_bad: int, words: str
) -> None:
    filled(path)
    tamper(path, statement)

    report = verify(path)

    assert report.first_bad_seq == first_bad
    assert words in report.problems[0]


def test_an_audit_finds_two_events_that_changed_places(path: Path) -> None:
    filled(path)
    tamper(
        path,
        "UPDATE events SET seq = 1000 WHERE seq = 20",
        "UPDATE events SET seq = 20 WHERE seq = 21",
        "UPDATE events SET seq = 21 WHERE seq = 1000",
    )

    assert verify(path).first_bad_seq == 20


def test_an_audit_of_a_sound_log_finds_nothing(path: Path) -> None:
    filled(path)

    assert verify(path) == VerifyReport(EVENTS, None, ())


def test_any_flipped_bit_of_an_event_is_found(path: Path, tmp_path: Path) -> None:
    filled(path)
    whole = path.read_bytes()
    notes = [whole.index(f"note {n}".encode()) for n in range(100, EVENTS)]
    dice = random.Random(7)

    for place in dice.sample(notes, 20):
        flipped = bytearray(whole)
        flipped[place + dice.randrange(8)] ^= 1 << dice.randrange(7)
        copy = tmp_path / "flipped.db"
        copy.write_bytes(flipped)

        assert verify(copy).first_bad_seq is not None


def test_the_tables_are_those_that_the_migrations_make(path: Path) -> None:
    filled(path)
    engine = database.reader_engine(path)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), schema.metadata)
    engine.dispose()

    assert differences == []


def test_the_newest_migration_is_the_one_that_the_engine_knows() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.scripts()))

    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD_REVISION]


@pytest.fixture
def next_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an engine with one migration more, and return the migration's file."""
    scripts = tmp_path / "migrations"
    shutil.copytree(migrate.scripts(), scripts)
    migration = scripts / "versions" / "0002_next.py"
    migration.write_text(
        "from alembic import op\n"
        "revision, down_revision = '0002', '0001'\n"
        "def upgrade():\n"
        "    op.execute('CREATE TABLE added (x)')\n"
    )
    monkeypatch.setattr(migrate, "scripts", lambda: scripts)
    monkeypatch.setattr(migrate, "HEAD_REVISION", "0002")
    return migration


def tables(path: Path) -> set[str]:
    with sqlite3.connect(path) as connection:
        found = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        names = {name for (name,) in found}
    connection.close()
    return names


def test_a_pending_migration_runs_at_open_after_a_copy(path: Path, next_release: Path) -> None:
    with pytest.MonkeyPatch.context() as before:
        before.setattr(migrate, "HEAD_REVISION", "0001")
        next_release.rename(next_release.with_suffix(".later"))
        filled(path)
        next_release.with_suffix(".later").rename(next_release)

    log = opened(path)

    assert log.verify_chain() == VerifyReport(EVENTS, None, ())
    log.close()
    assert "added" in tables(path)
    copy = migrate.backup_path(path, "0001")
    assert "added" not in tables(copy)
    assert copy.stat().st_mode & 0o077 == 0


def test_a_migration_that_fails_leaves_the_old_schema(path: Path, next_release: Path) -> None:
    with pytest.MonkeyPatch.context() as before:
        before.setattr(migrate, "HEAD_REVISION", "0001")
        next_release.rename(next_release.with_suffix(".later"))
        filled(path)
        next_release.with_suffix(".later").rename(next_release)
    with next_release.open("a") as script:
        script.write("    raise OSError(5, 'the power went')\n")

    with pytest.raises(Exception, match="the power went"):
        opened(path)

    assert "added" not in tables(path)
    assert verify_with_release_0001(path) == VerifyReport(EVENTS, None, ())


def verify_with_release_0001(path: Path) -> VerifyReport:
    with pytest.MonkeyPatch.context() as before:
        before.setattr(migrate, "HEAD_REVISION", "0001")
        return verify(path)


def test_only_the_owner_may_read_the_log(path: Path) -> None:
    log = filled(path, close=False)

    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    log.close()

    assert set(modes.values()) == {0o600}
