"""Test the resolver's life: which processes it survives, and when it is replaced."""

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
    ResolverUnderTest,
    configure,
    descriptors,
    host,
    identity,
    running,
    until,
)


def _listener(sandbox: str) -> Listener:
    return Listener(sandbox=sandbox, networks=(NET,))


def test_a_killed_resolver_is_replaced_and_gets_all_names(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as dns:
            one, two = dns.sandbox("one"), dns.sandbox("two")
            await configure(
                dns, host("web", "10.0.0.2"), listeners=(_listener(one), _listener(two))
            )
            first = dns.pid

            os.kill(first, signal.SIGKILL)
            with trio.fail_after(10):
                await until(lambda: dns.resolver.pid not in (None, first))
                await dns.resolver.set_records("db", (host("db", "10.0.0.3"),))

            for sandbox in (one, two):
                assert dns.dig(sandbox, "web").values == ["10.0.0.2"]
                assert dns.dig(sandbox, "db").values == ["10.0.0.3"]

    trio.run(body)


def test_it_answers_without_a_daemon_and_is_found_by_the_next_one(tmp_path: Path) -> None:
    async def body() -> None:
        dns = ResolverUnderTest(tmp_path)
        sandbox, gone = dns.sandbox("asker"), dns.sandbox("gone")
        async with trio.open_nursery() as nursery:
            await nursery.start(dns.resolver.run)
            records = (host("web", "10.0.0.2"), host("db", "10.0.0.3"))
            await configure(dns, *records, listeners=(_listener(sandbox), _listener(gone)))
            pid = dns.pid
            nursery.cancel_scope.cancel()
        pidfd = os.pidfd_open(pid)

        assert dns.dig(sandbox, "web").values == ["10.0.0.2"]
        dns.resolver = Resolver(tmp_path)
        async with trio.open_nursery() as nursery:
            await nursery.start(dns.resolver.run)
            await configure(dns, host("web", "10.0.0.9"), listeners=(_listener(sandbox),))
            assert dns.pid == pid
            assert dns.dig(sandbox, "web").values == ["10.0.0.9"]
            assert dns.dig(sandbox, "db").status == "SERVFAIL"
            assert dns.dig(gone, "web").status == "none"
            await dns.resolver.set_all((), ())
            nursery.cancel_scope.cancel()
        assert ended(pidfd)
        dns.close()

    trio.run(body)


def test_a_container_that_ends_is_out_of_the_answers_without_a_daemon(tmp_path: Path) -> None:
    async def body() -> None:
        dns = ResolverUnderTest(tmp_path)
        sandbox = dns.sandbox("asker")
        with subprocess.Popen(["sleep", "1000"]) as sleeper:  # noqa: ASYNC220
            async with trio.open_nursery() as nursery:
                await nursery.start(dns.resolver.run)
                await configure(
                    dns,
                    host("web", "10.0.0.2", process=identity(sleeper.pid)),
                    host("db", "10.0.0.3", process=identity(os.getpid())),
                    listeners=(_listener(sandbox),),
                )
                pidfd = os.pidfd_open(dns.pid)
                nursery.cancel_scope.cancel()
            assert dns.dig(sandbox, "web").values == ["10.0.0.2"]
            sleeper.kill()
        with trio.fail_after(10):
            await until(lambda: dns.dig(sandbox, "web").status == "SERVFAIL")
        assert dns.dig(sandbox, "db").values == ["10.0.0.3"]

        dns.resolver = Resolver(tmp_path)
        async with trio.open_nursery() as nursery:
            await nursery.start(dns.resolver.run)
            await dns.resolver.set_all((), ())
            nursery.cancel_scope.cancel()
        assert ended(pidfd)
        dns.close()

    trio.run(body)


def test_one_of_another_edition_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        dns = ResolverUnderTest(tmp_path)
        sandbox = dns.sandbox("asker")
        async with trio.open_nursery() as nursery:
            await nursery.start(dns.resolver.run)
            await configure(dns, host("web", "10.0.0.2"), listeners=(_listener(sandbox),))
            pidfd = os.pidfd_open(dns.pid)
            nursery.cancel_scope.cancel()
        monkeypatch.setattr("engine.drivers.resolver.process.edition", lambda: "another")
        dns.resolver = Resolver(tmp_path)
        async with trio.open_nursery() as nursery:
            await nursery.start(dns.resolver.run)
            await configure(dns, host("web", "10.0.0.2"), listeners=(_listener(sandbox),))
            assert ended(pidfd)
            assert dns.dig(sandbox, "web").values == ["10.0.0.2"]
            await dns.resolver.set_all((), ())
            nursery.cancel_scope.cancel()
        dns.close()

    trio.run(body)


def test_a_stuck_resolver_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.drivers.resolver.process.ORDER_TIMEOUT_S", 0.3)

    async def body() -> None:
        async with running(tmp_path) as dns:
            sandbox = dns.sandbox("asker")
            await configure(dns, host("web", "10.0.0.2"), listeners=(_listener(sandbox),))
            first = dns.pid

            os.kill(first, signal.SIGSTOP)
            await dns.resolver.set_records("db", (host("db", "10.0.0.3"),))

            assert dns.pid != first
            assert dns.dig(sandbox, "db").values == ["10.0.0.3"]

    trio.run(body)


def test_sandboxes_that_come_and_go_leave_no_descriptor(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as dns:
            sandbox = dns.sandbox("asker")
            await configure(dns, host("web", "10.0.0.2"))
            before = descriptors(dns.pid)
            for _ in range(20):
                await dns.resolver.serve(_listener(sandbox))
                await dns.resolver.serve(_listener(sandbox))
                await dns.resolver.set_records(
                    "db", (host("db", "10.0.0.3", process=identity(os.getpid())),)
                )
                await dns.resolver.set_records("db", ())
                await dns.resolver.forget(sandbox)

            assert descriptors(dns.pid) == before
            assert dns.dig(sandbox, "web").status == "none"

    trio.run(body)


def test_malformed_names_are_refused_and_affect_no_other(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as dns:
            sandbox = dns.sandbox("asker")
            broken = host("bad", "10.0.0.9", names=("\udcff",))
            await configure(dns, broken, host("web", "10.0.0.2"), listeners=(_listener(sandbox),))
            with pytest.raises(DriverError):
                await dns.resolver.set_records("bad", (broken,))
            await dns.resolver.set_records("bad", ())
            await dns.resolver.set_records("db", (host("db", "10.0.0.3", names=("x" * 64, "db")),))

            assert dns.dig(sandbox, "web").values == ["10.0.0.2"]
            assert dns.dig(sandbox, "db").values == ["10.0.0.3"]

    trio.run(body)


def test_an_invalid_listener_is_refused_and_affects_no_other(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as dns:
            sandbox = dns.sandbox("asker")
            await configure(dns, host("web", "10.0.0.2"), listeners=(_listener("absent"),))
            with pytest.raises(DriverError, match="No such file"):
                await dns.resolver.serve(_listener("missing"))
            with pytest.raises(DriverError, match="nonsense"):
                await dns.resolver.serve(
                    Listener(sandbox=sandbox, networks=(NET,), servers=("nonsense",))
                )
            await dns.resolver.serve(_listener(sandbox))
            assert dns.dig(sandbox, "web").values == ["10.0.0.2"]

    trio.run(body)
