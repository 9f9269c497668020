"""Test ``stats``: what containers use, once and repeatedly."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import pytest

from tests.api.clients import Client
from tests.harness.client import _UnixConnection
from tests.harness.daemon import DaemonUnderTest
from tests.timeouts import patient

pytestmark = pytest.mark.root

SPIN = ("sh", "-c", "while :; do :; done")
NEVER = "0001-01-01T00:00:00Z"


def stats(daemon: DaemonUnderTest, reference: str, **query: int) -> Any:
    return daemon.api.get(f"/containers/{reference}/stats", **query)


@contextmanager
def stream(daemon: DaemonUnderTest, reference: str) -> Iterator[IO[bytes]]:
    connection = _UnixConnection(daemon.api.socket_path, patient(20))
    try:
        connection.request("GET", f"/containers/{reference}/stats")
        yield connection.getresponse()
    finally:
        connection.close()


def test_two_looks_are_taken_unless_one_is_enough(daemon: DaemonUnderTest) -> None:
    daemon.api.run("busy", *SPIN)

    both = stats(daemon, "busy", stream=0)
    one = stats(daemon, "busy", **{"stream": 0, "one-shot": 1})

    now, before = both["cpu_stats"], both["precpu_stats"]
    spent_ns = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    passed_ns = now["system_cpu_usage"] - before["system_cpu_usage"]
    assert 0 < spent_ns <= passed_ns
    assert one["preread"] == NEVER
    assert one["cpu_stats"]["cpu_usage"]["total_usage"] >= now["cpu_usage"]["total_usage"]
    assert one["precpu_stats"]["cpu_usage"]["total_usage"] == 0


def test_limits_and_interfaces_are_the_containers_own(daemon: DaemonUnderTest) -> None:
    limited = {"Memory": 32 << 20, "PidsLimit": 17}
    daemon.api.run("limited", "sleep", "1000", HostConfig=limited)
    daemon.api.run("hosts", "sleep", "1000", HostConfig={"NetworkMode": "host"})

    found = stats(daemon, "limited", **{"stream": 0, "one-shot": 1})

    assert found["memory_stats"]["limit"] == 32 << 20
    assert found["pids_stats"] == {"current": 1, "limit": 17}
    assert list(found["networks"]) == ["eth0"]
    assert "networks" not in stats(daemon, "hosts", **{"stream": 0, "one-shot": 1})


def test_a_stream_outlasts_the_runs_of_a_container_and_ends_with_it(
    daemon: DaemonUnderTest,
) -> None:
    daemon.api.create("late", "sleep", "1000")

    with stream(daemon, "late") as lines:
        first = json.loads(lines.readline())
        daemon.api.start("late")
        while (running := json.loads(lines.readline()))["read"] == NEVER:
            pass
        following = json.loads(lines.readline())
        daemon.api.remove("late")
        *_, last = (None, *lines)

    assert first["read"] == NEVER
    assert running["preread"] == NEVER
    assert following["preread"] == running["read"]
    assert last is None or json.loads(last)["name"] == "/late"


def test_what_does_not_run_is_all_zero_at_once(daemon: DaemonUnderTest) -> None:
    daemon.api.create("idle", "true")

    assert stats(daemon, "idle", stream=0)["read"] == NEVER


def test_a_stream_of_one_look_is_refused(daemon: DaemonUnderTest) -> None:
    daemon.api.create("idle", "true")

    reply = daemon.api.request("GET", "/containers/idle/stats?one-shot=1")

    assert (reply.status, reply.message) == (400, "cannot have stream=true and one-shot=true")
    assert daemon.api.request("GET", "/containers/nobody/stats").status == 404


def test_dockers_table_has_them_all(docker: Client, daemon: DaemonUnderTest) -> None:
    daemon.api.run("up", "sleep", "1000", HostConfig={"Memory": 32 << 20})
    daemon.api.create("down", "true")

    form = "{{.Name}} {{.MemUsage}} {{.PIDs}}"
    running = docker.ok("stats", "--no-stream", "--format", form)
    listed = docker.ok("stats", "--all", "--no-stream", "--format", "{{.Name}} {{.PIDs}}")

    name, _, _, limit, pids = running.split()
    assert (name, limit, pids) == ("up", "32MiB", "1")
    assert set(listed.splitlines()) == {"up 1", "down 0"}
