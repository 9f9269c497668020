"""Test waiting for a container: three conditions, each with policies and removals in between."""

import socket
import threading
from typing import Any

import pytest

from tests.harness.client import Api
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

ALWAYS = {"RestartPolicy": {"Name": "always"}, "NetworkMode": "none"}


class Waiting(threading.Thread):
    """A waiting client, from the head of the answer on."""

    def __init__(self, api: Api, container: str, condition: str) -> None:
        super().__init__()
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection.settimeout(20)
        self._connection.connect(str(api.socket_path))
        target = f"/containers/{container}/wait?condition={condition}"
        self._connection.sendall(
            f"POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode()
        )
        self.received = self._connection.recv(65536)
        self.start()

    def run(self) -> None:
        while block := self._connection.recv(65536):
            self.received += block
        self._connection.close()

    def result(self) -> str:
        self.join(20)
        assert not self.is_alive()
        return self.received.decode().split("\r\n\r\n", 1)[1]


def test_the_response_head_is_sent_before_any_output(daemon: DaemonUnderTest) -> None:
    daemon.api.run("web", "sleep", "1000")

    waiting = Waiting(daemon.api, "web", "not-running")

    assert waiting.received.startswith(b"HTTP/1.1 200")
    assert b"StatusCode" not in waiting.received
    daemon.api.kill("web")
    assert '"StatusCode":137' in waiting.result()


def test_the_next_exit_is_waited_for_though_it_starts_again_and_again(
    daemon: DaemonUnderTest,
) -> None:
    script = "while [ ! -e /go ]; do sleep 0.02; done; exit 5"
    daemon.api.run("web", "sh", "-c", script, HostConfig=ALWAYS)
    waiting = Waiting(daemon.api, "web", "next-exit")

    daemon.api.exec_output("web", "touch", "/go")

    assert '"StatusCode":5' in waiting.result()
    eventually(lambda: daemon.api.inspect("web")["RestartCount"] > 0, "it goes on")


def test_a_container_that_restarts_is_not_one_that_does_not_run(daemon: DaemonUnderTest) -> None:
    daemon.api.run("web", "sh", "-c", "exit 5", HostConfig=ALWAYS)
    waiting = Waiting(daemon.api, "web", "not-running")
    eventually(lambda: daemon.api.inspect("web")["RestartCount"] > 1, "it has ended and begun")
    assert b"StatusCode" not in waiting.received

    daemon.api.stop("web")

    assert '"StatusCode":5' in waiting.result()


@pytest.mark.parametrize("options", [{}, {"HostConfig": {"AutoRemove": True}}])
def test_a_removal_is_waited_for_to_its_end(
    options: dict[str, Any], daemon: DaemonUnderTest
) -> None:
    identity = daemon.api.run("web", "sleep", "1000", **options)
    waiting = Waiting(daemon.api, "web", "removed")

    daemon.api.kill("web")
    if not options:
        daemon.api.remove("web")

    assert '"StatusCode":137' in waiting.result()
    assert identity not in [each["Id"] for each in daemon.api.ps()]


def test_a_container_stopped_by_a_user_stays_stopped(daemon: DaemonUnderTest) -> None:
    """A policy applies again after the next start."""
    daemon.api.run("web", "sleep", "1000", HostConfig=ALWAYS)
    for verb in ("stop?t=0", "kill"):
        daemon.api.post(f"/containers/web/{verb}")
        assert daemon.api.status("web") == "exited"
        daemon.api.start("web")
        assert daemon.api.inspect("web")["RestartCount"] == 0

    daemon.api.exec_detached("web", "kill", "-9", "-1")
    daemon.api.post("/containers/web/restart", t=0)

    assert daemon.api.status("web") == "running"
