"""Test networks of containers while the daemon dies: requests and names are answered, and no
address or port is given out twice.
"""

import http.client
import os
import random
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.domain import naming
from engine.domain.ids import SandboxId
from tests.faults.conftest import STOPS_AT_ONCE
from tests.harness.client import Refused
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest
from tests.kernel.network_world import in_place

pytestmark = pytest.mark.root

RESTARTS = 20
OTHERS = ("aa", "bb", "cc")
PAUSE_S = 1 / 200
PATIENCE_S = 5.0
WEB = ("sh", "-c", "echo ahoy > /tmp/index.html; exec httpd -f -p 80 -h /tmp")
RESOLVER = ("127.0.0.11", 53)


def question(name: str) -> bytes:
    """Build a question for an IPv4 address, RFC 1035, section 4."""
    labels = b"".join(bytes([len(each)]) + each.encode() for each in name.split("."))
    header = struct.pack(">HHHHHH", random.randrange(1 << 16), 0x0100, 1, 0, 0, 0)
    return header + labels + b"\0" + struct.pack(">HH", 1, 1)


@dataclass
class Caller:
    """A client that repeats a request, and counts answers."""

    ask: Callable[[], None]
    answered: int = 0
    failures: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.over.wait(PAUSE_S):
            try:
                self.ask()
                self.answered += 1
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failures.append(repr(error))


@contextmanager
def calling(*asks: Callable[[], None]) -> Iterator[list[Caller]]:
    callers = [Caller(ask) for ask in asks]
    threads = [threading.Thread(target=caller.run) for caller in callers]
    for thread in threads:
        thread.start()
    try:
        yield callers
    finally:
        for caller, thread in zip(callers, threads, strict=True):
            caller.over.set()
            thread.join()


def fetch(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/index.html")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"ahoy\n")
    finally:
        connection.close()


def can_fetch(port: int) -> bool:
    try:
        fetch(port)
    except (OSError, http.client.HTTPException):
        return False
    return True


def place_of(daemon: DaemonUnderTest, container: str) -> Path:
    sandbox = daemon.api.inspect(container)["NetworkSettings"]["SandboxID"]
    return naming.sandbox_path(daemon.exec_root, SandboxId(sandbox))


def asking(place: Path) -> socket.socket:
    client = in_place(place, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    client.settimeout(PATIENCE_S)
    client.connect(RESOLVER)
    return client


def answers(client: socket.socket, name: str) -> int:
    """Return how many addresses the resolver knows."""
    asked = question(name)
    client.send(asked)
    while (answer := client.recv(512))[:2] != asked[:2]:
        pass
    count: int = struct.unpack_from(">HHHHHH", answer)[3]
    return count


def address_of(daemon: DaemonUnderTest, container: str, network: str) -> str:
    return str(daemon.api.inspect(container)["NetworkSettings"]["Networks"][network]["IPAddress"])


def test_requests_and_questions_are_answered_however_often_the_daemon_is_killed(
    daemon: DaemonUnderTest,
) -> None:
    api = daemon.api
    api.post("/networks/create", {"Name": "front"})
    front = {"NetworkMode": "front"}
    api.run("web", *WEB, HostConfig={**front, "PortBindings": {"80/tcp": [{"HostPort": "8085"}]}})
    api.run("client", *STOPS_AT_ONCE, HostConfig=front)
    eventually(lambda: can_fetch(8085), "it serves")

    with asking(place_of(daemon, "client")) as client:

        def ask() -> None:
            assert answers(client, "web") == 1

        with calling(lambda: fetch(8085), ask) as callers:
            for _ in range(RESTARTS):
                daemon.kill()
                daemon.start()

    for caller in callers:
        assert caller.failures == []
        assert caller.answered > RESTARTS
    daemon.assert_settled()


def test_who_ends_while_the_daemon_is_down_is_out_of_the_names_at_once(
    daemon: DaemonUnderTest,
) -> None:
    api = daemon.api
    api.post("/networks/create", {"Name": "front"})
    for name in ("one", "two", "asker"):
        place = {"EndpointsConfig": {"front": {"Aliases": ["both"]}}} if name != "asker" else {}
        api.run(name, *STOPS_AT_ONCE, HostConfig={"NetworkMode": "front"}, NetworkingConfig=place)
    init = api.inspect("one")["State"]["Pid"]
    with asking(place_of(daemon, "asker")) as client:
        assert answers(client, "both") == 2
        daemon.kill()

        os.kill(init, signal.SIGKILL)

        eventually(lambda: answers(client, "both") == 1, "it is out of the names", within_s=1)
        assert answers(client, "two") == 1
    daemon.start()
    daemon.assert_settled()


def test_a_fixed_address_is_safe_from_others_however_often_the_daemon_is_killed(
    daemon: DaemonUnderTest,
) -> None:
    api = daemon.api
    pool = {"Config": [{"Subnet": "10.77.0.0/28", "Gateway": "10.77.0.1"}]}
    api.post("/networks/create", {"Name": "small", "IPAM": pool})
    fixed = {"EndpointsConfig": {"small": {"IPAMConfig": {"IPv4Address": "10.77.0.3"}}}}
    settings = {"NetworkMode": "small"}
    api.create("fixed", *STOPS_AT_ONCE, HostConfig=settings, NetworkingConfig=fixed)
    for name in OTHERS:
        api.create(name, *STOPS_AT_ONCE, HostConfig=settings)
    order = random.Random(7)
    for _ in range(5):
        names = [*OTHERS, "fixed"]
        order.shuffle(names)
        for name in names:
            api.start(name)
        addresses = {name: address_of(daemon, name, "small") for name in names}
        assert addresses["fixed"] == "10.77.0.3"
        assert sorted(addresses.values()) == [f"10.77.0.{number}" for number in (2, 3, 4, 5)]
        daemon.kill()
        daemon.start()
        for name in names:
            api.kill(name)
    daemon.assert_settled()


@pytest.mark.parametrize("point", ["before_PublishPorts", "after_PublishPorts", "before_Launch"])
def test_a_port_of_an_interrupted_start_belongs_to_it_or_is_free(
    daemon: DaemonUnderTest, point: str
) -> None:
    bound = {"PortBindings": {"80/tcp": [{"HostPort": "8086"}]}}
    for name in ("one", "two"):
        daemon.api.create(name, *STOPS_AT_ONCE, HostConfig=bound)
    daemon.terminate()
    daemon.start(f"{point}=die")
    with pytest.raises((OSError, http.client.HTTPException)):
        daemon.api.start("one")
    eventually(lambda: daemon.has_died, "it has died")
    daemon.wait_for_death()
    daemon.start()

    eventually(lambda: daemon.api.status("one") == "running", "the start is finished")
    with pytest.raises(Refused, match="port is already allocated"):
        daemon.api.start("two")
    daemon.api.remove("one")
    daemon.api.start("two")
    daemon.assert_settled()


def test_a_hundred_published_ports_add_no_process(daemon: DaemonUnderTest) -> None:
    def processes() -> int:
        inventory = daemon.inventory()
        held = [pid for pids in inventory.monitors.values() for pid in pids]
        roots = {daemon.pid, *held, *inventory.resolvers, *inventory.others}
        return len(with_descendants(roots))

    bindings = {f"{port}/tcp": [{"HostPort": str(20000 + port)}] for port in range(1, 101)}
    daemon.api.run("plain", *STOPS_AT_ONCE)
    before = processes()
    daemon.api.run("other", *STOPS_AT_ONCE)
    one_more = processes() - before

    daemon.api.run("ports", *STOPS_AT_ONCE, HostConfig={"PortBindings": bindings})

    assert processes() - before == 2 * one_more


def with_descendants(roots: set[int]) -> set[int]:
    """Return processes with all of their descendants."""
    found, newest = set(roots), set(roots)
    while newest:
        texts = [
            each.read_text()
            for pid in newest
            for each in Path(f"/proc/{pid}/task").glob("*/children")
        ]
        newest = {int(pid) for text in texts for pid in text.split()} - found
        found |= newest
    return found
