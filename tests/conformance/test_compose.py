"""Test docker-compose, an independent client: it creates a project, scales, stops, restarts and
removes it, as with Docker.
"""

import os
import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.conformance.test_sessions import reference
from tests.harness.client import Api
from tests.harness.daemon import DaemonUnderTest
from tests.timeouts import patient

__all__ = ["reference"]

pytestmark = pytest.mark.root

PROJECT: Final = """
version: "2.4"
services:
  web:
    image: busybox
    command: sh -c 'echo ahoy > /tmp/index.html; exec httpd -f -p 80 -h /tmp'
    stop_signal: KILL
    ports: ["8080:80", "127.0.0.1:8081:81/tcp"]
    networks:
      front: {aliases: [www]}
      back: {ipv4_address: 10.5.0.10}
  client:
    image: busybox
    command: sleep 1000
    stop_signal: KILL
    depends_on: [web]
    links: ["web:site"]
    networks: [front]
  other:
    image: busybox
    command: sleep 1000
    stop_signal: KILL
    networks: [back]
  side:
    image: busybox
    command: sleep 1000
    stop_signal: KILL
    network_mode: "service:web"
networks:
  front: {labels: {of: front}}
  back:
    ipam: {config: [{subnet: 10.5.0.0/24, gateway: 10.5.0.1}]}
"""
SESSION: Final = (
    "up -d",
    "ps --services --filter status=running",
    "exec -T client wget -qO- http://www/index.html",
    "exec -T client wget -qO- http://site/index.html",
    "exec -T other wget -qO- http://web/index.html",
    "exec -T side wget -qO- http://127.0.0.1/index.html",
    "exec -T other ping -c 1 -W 1 client",
    "exec -T other sh -c 'ip addr show eth0 | grep inet'",
    "exec -T other ip route",
    "exec -T web cat /etc/resolv.conf",
    "port web 80",
    "up -d --scale client=3",
    "exec -T web sh -c 'nslookup client | grep -c ^Address'",
    "restart client",
    "exec -T client wget -qO- http://www/index.html",
    "stop",
    "ps --services --filter status=running",
    "start",
    "exec -T client wget -qO- http://www/index.html",
    "rm --force --stop other",
    "down",
    "ps --quiet",
)
COMMAND_S: Final = 60.0
_NO_NUMBER: Final = re.compile(r"\b[0-9a-f]{12,64}\b|\beth0@if\d+|^\d+: ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Step:
    """The outcome of a command."""

    command: str
    code: int
    out: str
    networks: dict[str, object]
    """The project's networks after it."""


def compose(api: Api, directory: Path, command: str) -> tuple[int, str]:
    """Return exit code and standard output, without what differs from one run to the next."""
    done = subprocess.run(
        ["sh", "-c", f"exec docker-compose --project-name harbour {command}"],
        cwd=directory,
        env={**os.environ, "DOCKER_HOST": f"unix://{api.socket_path}", "HOME": str(directory)},
        capture_output=True,
        text=True,
        timeout=patient(COMMAND_S),
        check=False,
    )
    return done.returncode, _NO_NUMBER.sub("…", done.stdout)


def networks(api: Api) -> dict[str, object]:
    """Return the project's networks, without what the engine chose."""
    found: dict[str, object] = {}
    for network in api.get("/networks"):
        shown = api.get(f"/networks/{network['Id']}")
        if shown["Name"].startswith("harbour_"):
            members = sorted(each["Name"] for each in shown["Containers"].values())
            found[shown["Name"]] = (shown["Driver"], shown["Internal"], shown["Labels"], members)
    return found


@cache
def outcomes_of(api: Api, directory: Path) -> tuple[Step, ...]:
    """Return the outcome of each command; nothing is left at the end."""
    (directory / "docker-compose.yml").write_text(PROJECT)
    try:
        return tuple(
            Step(command, *compose(api, directory, command), networks(api)) for command in SESSION
        )
    finally:
        compose(api, directory, "down --timeout 0")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("project")


def test_a_project_comes_up_scales_and_goes_down(engine: DaemonUnderTest, directory: Path) -> None:
    steps = outcomes_of(engine.api, directory)
    last = {step.command: step for step in steps}

    answered = [step for step in steps if "wget -qO- " in step.command]
    assert {(step.code, step.out) for step in answered} == {(0, "ahoy\n")}
    assert last["exec -T other ping -c 1 -W 1 client"].code == 1, "networks are apart"
    assert last["exec -T web sh -c 'nslookup client | grep -c ^Address'"].out == "4\n"
    assert last["down"].networks == {}
    assert engine.api.ps() == []


def test_a_compose_project_gives_dockers_output(
    engine: DaemonUnderTest, reference: Api, directory: Path
) -> None:
    ours, theirs = outcomes_of(engine.api, directory), outcomes_of(reference, directory)

    for one, other in zip(ours, theirs, strict=True):
        assert one == other
