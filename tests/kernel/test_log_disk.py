"""Test the event log on a disk that is full or read-only: clear refusals, room for what is
essential, recovery without a restart.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from engine.domain.event import SUPERVISOR, Event, Origin
from engine.runtime import linux
from engine.store.codec import Codec
from engine.store.errors import StoreFull, StoreUnavailable
from engine.store.log import EventLog
from engine.store.records import Change, Recorded
from engine.store.reserve import RESERVE_BYTES, Reserve

ORIGIN = Origin(actor=SUPERVISOR)
DISK_BYTES = 8 << 20


class Noted(Event, frozen=True, kw_only=True):
    TYPE = "noted"

    text: str = "x" * 200


CODEC = Codec([Noted])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a small file system; the mount namespace is the tests' own."""
    linux.mount("tmpfs", str(tmp_path), "tmpfs", 0, f"size={DISK_BYTES}")
    yield tmp_path
    linux.umount2(str(tmp_path), linux.MNT_DETACH)


@pytest.fixture(params=[True, False], ids=["threaded", "inline"])
def log(disk: Path, request: pytest.FixtureRequest) -> Iterator[EventLog]:
    opened = EventLog.open(disk / "log.db", codec=CODEC, threaded=request.param)
    yield opened
    opened.close()


def append(log: EventLog, *, essential: bool = False) -> tuple[Recorded, ...]:
    change = Change("boat/a", log.version("boat/a") + 1, (Noted(),), ORIGIN, 0, b"{}")

    async def one() -> tuple[Recorded, ...]:
        return await log.append([change], essential=essential)

    return trio.run(one)


def fill(disk: Path) -> Path:
    """Fill the disk to the last byte."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 4096):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)
    return ballast


def append_until_full(log: EventLog) -> None:
    """Append until the space that is already allocated is used up."""
    with contextlib.suppress(StoreFull):
        for _ in range(10_000):
            append(log)


def test_a_full_disk_refuses_and_recovers_without_a_restart(log: EventLog, disk: Path) -> None:
    append(log)
    ballast = fill(disk)
    append_until_full(log)
    before = log.last_seq

    with pytest.raises(StoreFull, match="the disk is full"):
        append(log)

    assert log.last_seq == before
    ballast.unlink()
    assert append(log)[0].seq == before + 1
    assert log.verify_chain().problems == ()


def test_a_full_disk_has_room_for_what_is_essential(log: EventLog, disk: Path) -> None:
    fill(disk)
    append_until_full(log)
    before = log.last_seq

    for _ in range(200):
        append(log, essential=True)

    with pytest.raises(StoreFull):
        append(log)
    assert log.last_seq == before + 200
    assert log.verify_chain().problems == ()


def test_an_essential_append_is_kept_when_others_of_its_group_are_refused(
    log: EventLog, disk: Path
) -> None:
    append(log)
    fill(disk)
    append_until_full(log)

    async def together() -> None:
        version = log.version("boat/a")
        pending = [
            log.submit([Change("boat/b", 1, (Noted(),), ORIGIN, 0, b"{}")]),
            log.submit(
                [Change("boat/a", version + 1, (Noted(),), ORIGIN, 0, b"{}")], essential=True
            ),
            log.submit([Change("boat/c", 1, (Noted(),), ORIGIN, 0, b"{}")]),
        ]
        with pytest.raises(StoreFull):
            await pending[0].wait()
        await pending[1].wait()
        with pytest.raises(StoreFull):
            await pending[2].wait()

    trio.run(together)


def test_the_log_reserve_is_refilled_when_the_disk_has_room(log: EventLog, disk: Path) -> None:
    ballast = fill(disk)
    append_until_full(log)
    append(log, essential=True)
    reserve = disk / "log.db.reserve"
    assert reserve.stat().st_size < RESERVE_BYTES

    ballast.unlink()
    append(log)

    assert reserve.stat().st_size == RESERVE_BYTES
    assert reserve.stat().st_blocks * 512 >= RESERVE_BYTES


def test_an_engine_starts_on_a_full_disk(disk: Path) -> None:
    """Otherwise the containers that fill it could not be stopped."""
    log = EventLog.open(disk / "log.db", codec=CODEC)
    append(log)
    log.close()
    fill(disk)

    log = EventLog.open(disk / "log.db", codec=CODEC)

    assert append(log, essential=True)[0].seq == 2
    log.close()


def test_a_reserve_that_was_removed_is_made_again(disk: Path) -> None:
    reserve = Reserve(disk / "reserve")
    (disk / "reserve").unlink()

    assert reserve.spend() is False
    assert reserve.refill()
    assert (disk / "reserve").stat().st_size == RESERVE_BYTES


def test_a_read_only_disk_refuses_to_open_and_recovers(disk: Path) -> None:
    path = disk / "log.db"
    EventLog.open(path, codec=CODEC).close()
    linux.mount("", str(disk), "", linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY)
    with pytest.raises(StoreUnavailable, match=r"read-only|can't be opened"):
        EventLog.open(path, codec=CODEC)

    linux.mount("", str(disk), "", linux.MS_REMOUNT | linux.MS_BIND)

    log = EventLog.open(path, codec=CODEC)
    assert append(log)[0].seq == 1
    log.close()
