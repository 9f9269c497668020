"""Whom the resolver survives, and who replaces it."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
import trio

from engine.drivers.resolver.client import Resolver
from engine.drivers.resolver.records import Listener
from engine.errors import DriverError
from tests.harness.conditions import ended
from tests.resolver.resolver_fixture import (
    NET,
    Rig,
    descriptors,
    host,
    identity,
    running,
    told,
    until,
)


def _listener(sandbox: str) -> Listener:
    return Listener(sandbox=sandbox, networks=(NET,))


def test_a_resolver_that_is_killed_is_replaced_and_knows_everything(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as rig:
            one, two = rig.sandbox("one"), rig.sandbox("two")
            await told(rig, host("web", "10.0.0.2"), listeners=(_listener(one), _listener(two)))
            first = rig.pid

            os.kill(first, signal.SIGKILL)
            with trio.fail_after(10):
                await until(lambda: rig.resolver.pid not in (None, first))
                await rig.resolver.tell("db", (host("db", "10.0.0.3"),))

            for sandbox in (one, two):
                assert rig.dig(sandbox, "web").values == ["10.0.0.2"]
                assert rig.dig(sandbox, "db").values == ["10.0.0.3"]

    trio.run(body)


def test_it_answers_without_a_daemon_and_is_found_by_the_next_one(tmp_path: Path) -> None:
    async def body() -> None:
        rig = Rig(tmp_path)
        sandbox, gone = rig.sandbox("asker"), rig.sandbox("gone")
        async with trio.open_nursery() as nursery:
            await nursery.start(rig.resolver.run)
            records = (host("web", "10.0.0.2"), host("db", "10.0.0.3"))
            await told(rig, *records, listeners=(_listener(sandbox), _listener(gone)))
            pid = rig.pid
            nursery.cancel_scope.cancel()
        pidfd = os.pidfd_open(pid)

        assert rig.dig(sandbox, "web").values == ["10.0.0.2"]
        rig.resolver = Resolver(tmp_path)
        async with trio.open_nursery() as nursery:
            await nursery.start(rig.resolver.run)
            await told(rig, host("web", "10.0.0.9"), listeners=(_listener(sandbox),))
            assert rig.pid == pid
            assert rig.dig(sandbox, "web").values == ["10.0.0.9"]
            assert rig.dig(sandbox, "db").status == "SERVFAIL"
            assert rig.dig(gone, "web").status == "none"
            await rig.resolver.set_all((), ())
            nursery.cancel_scope.cancel()
        assert ended(pidfd)
        rig.close()

    trio.run(body)


def test_a_container_that_ends_is_out_of_the_answers_without_a_daemon(tmp_path: Path) -> None:
    async def body() -> None:
        rig = Rig(tmp_path)
        sandbox = rig.sandbox("asker")
        with subprocess.Popen(["sleep", "1000"]) as sleeper:  # noqa: ASYNC220
            async with trio.open_nursery() as nursery:
                await nursery.start(rig.resolver.run)
                await told(
                    rig,
                    host("web", "10.0.0.2", process=identity(sleeper.pid)),
                    host("db", "10.0.0.3", process=identity(os.getpid())),
                    listeners=(_listener(sandbox),),
                )
                pidfd = os.pidfd_open(rig.pid)
                nursery.cancel_scope.cancel()
            assert rig.dig(sandbox, "web").values == ["10.0.0.2"]
            sleeper.kill()
        with trio.fail_after(10):
            await until(lambda: rig.dig(sandbox, "web").status == "SERVFAIL")
        assert rig.dig(sandbox, "db").values == ["10.0.0.3"]

        rig.resolver = Resolver(tmp_path)
        async with trio.open_nursery() as nursery:
            await nursery.start(rig.resolver.run)
            await rig.resolver.set_all((), ())
            nursery.cancel_scope.cancel()
        assert ended(pidfd)
        rig.close()

    trio.run(body)


def test_one_of_another_edition_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        rig = Rig(tmp_path)
        sandbox = rig.sandbox("asker")
        async with trio.open_nursery() as nursery:
            await nursery.start(rig.resolver.run)
            await told(rig, host("web", "10.0.0.2"), listeners=(_listener(sandbox),))
            pidfd = os.pidfd_open(rig.pid)
            nursery.cancel_scope.cancel()
        monkeypatch.setattr("engine.drivers.resolver.process.edition", lambda: "another")
        rig.resolver = Resolver(tmp_path)
        async with trio.open_nursery() as nursery:
            await nursery.start(rig.resolver.run)
            await told(rig, host("web", "10.0.0.2"), listeners=(_listener(sandbox),))
            assert ended(pidfd)
            assert rig.dig(sandbox, "web").values == ["10.0.0.2"]
            await rig.resolver.set_all((), ())
            nursery.cancel_scope.cancel()
        rig.close()

    trio.run(body)


def test_a_stuck_resolver_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.drivers.resolver.process.ORDER_TIMEOUT_S", 0.3)

    async def body() -> None:
        async with running(tmp_path) as rig:
            sandbox = rig.sandbox("asker")
            await told(rig, host("web", "10.0.0.2"), listeners=(_listener(sandbox),))
            first = rig.pid

            os.kill(first, signal.SIGSTOP)
            await rig.resolver.tell("db", (host("db", "10.0.0.3"),))

            assert rig.pid != first
            assert rig.dig(sandbox, "db").values == ["10.0.0.3"]

    trio.run(body)


def test_sandboxes_that_come_and_go_leave_no_descriptor(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as rig:
            sandbox = rig.sandbox("asker")
            await told(rig, host("web", "10.0.0.2"))
            before = descriptors(rig.pid)
            for _ in range(20):
                await rig.resolver.serve(_listener(sandbox))
                await rig.resolver.serve(_listener(sandbox))
                await rig.resolver.tell(
                    "db", (host("db", "10.0.0.3", process=identity(os.getpid())),)
                )
                await rig.resolver.tell("db", ())
                await rig.resolver.forget(sandbox)

            assert descriptors(rig.pid) == before
            assert rig.dig(sandbox, "web").status == "none"

    trio.run(body)


def test_names_that_are_none_are_refused_and_hinder_nobody(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as rig:
            sandbox = rig.sandbox("asker")
            broken = host("bad", "10.0.0.9", names=("\udcff",))
            await told(rig, broken, host("web", "10.0.0.2"), listeners=(_listener(sandbox),))
            with pytest.raises(DriverError):
                await rig.resolver.tell("bad", (broken,))
            await rig.resolver.tell("bad", ())
            await rig.resolver.tell("db", (host("db", "10.0.0.3", names=("x" * 64, "db")),))

            assert rig.dig(sandbox, "web").values == ["10.0.0.2"]
            assert rig.dig(sandbox, "db").values == ["10.0.0.3"]

    trio.run(body)


def test_what_can_not_be_served_is_refused_and_hinders_nobody(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as rig:
            sandbox = rig.sandbox("asker")
            await told(rig, host("web", "10.0.0.2"), listeners=(_listener("absent"),))
            with pytest.raises(DriverError, match="No such file"):
                await rig.resolver.serve(_listener("missing"))
            with pytest.raises(DriverError, match="nonsense"):
                await rig.resolver.serve(
                    Listener(sandbox=sandbox, networks=(NET,), servers=("nonsense",))
                )
            await rig.resolver.serve(_listener(sandbox))
            assert rig.dig(sandbox, "web").values == ["10.0.0.2"]

    trio.run(body)
