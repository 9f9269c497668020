"""Test following a log that grows."""

import json
import time
from pathlib import Path

import trio

from engine.drivers.logs.follow import read_log
from engine.ports.streams import LogOptions


def record(log: str) -> str:
    return (
        json.dumps({"log": log, "stream": "stdout", "time": "2026-11-20T10:00:00.000000000Z"})
        + "\n"
    )


def append(path: Path, log: str) -> None:
    with path.open("a") as file:
        file.write(record(log))


def followed(path: Path, until_ns: int | None = None) -> list[bytes]:
    """Return what a follower gets of three lines, the last one written as the container ends."""
    blocks: list[bytes] = []

    async def follow(ended: trio.Event, seen: trio.MemorySendChannel[bytes]) -> None:
        query = LogOptions(raw=True, until_ns=until_ns)
        async with seen:
            async for block in read_log(path, query, ended=ended):
                await seen.send(block)

    async def main() -> None:
        ended = trio.Event()
        seen, sight = trio.open_memory_channel[bytes](0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow, ended, seen)
            with trio.fail_after(5):
                blocks.append(await sight.receive())
                append(path, "second\n")
                blocks.append(await sight.receive())
                append(path, "last\n")
                ended.set()
                blocks.extend([block async for block in sight])

    append(path, "first\n")
    trio.run(main)
    return blocks


def test_a_follower_sees_every_line_until_the_container_has_ended(tmp_path: Path) -> None:
    assert b"".join(followed(tmp_path / "json.log")) == b"first\nsecond\nlast\n"


def test_a_moment_ends_following_too(tmp_path: Path) -> None:
    path = tmp_path / "json.log"
    append(path, "old\n")

    async def main() -> list[bytes]:
        query = LogOptions(raw=True, until_ns=time.time_ns() + 50_000_000)
        with trio.fail_after(5):
            return [block async for block in read_log(path, query, ended=trio.Event())]

    assert trio.run(main) == [b"old\n"]
