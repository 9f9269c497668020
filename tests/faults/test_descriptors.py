"""Test limits of descriptors.

The daemon's own is raised, containers keep theirs, and a lack of descriptors only delays requests.
"""

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.faults.conftest import STOPS_AT_ONCE
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

SOFT: Final = 300
FEW: Final = 120
"""As both limits: enough for a daemon that has one client."""


class Limited(DaemonUnderTest):
    """A daemon that is started with these limits of descriptors; the test keeps its own."""

    limits: tuple[int, int]

    def command(self) -> list[str]:
        soft, hard = self.limits
        return ["prlimit", f"--nofile={soft}:{hard}", *super().command()]


@pytest.fixture
def limited(request: pytest.FixtureRequest, place: Path) -> Iterator[Limited]:
    with Limited(place) as made:
        made.limits = request.param
        yield made.start().import_busybox()


@pytest.mark.parametrize("limited", [(SOFT, 4096)], indirect=True)
def test_the_daemon_s_limit_is_raised_and_containers_keep_the_one_it_was_started_with(
    limited: Limited,
) -> None:
    plain = limited.api.run("plain", *STOPS_AT_ONCE)
    nofile = {"Ulimits": [{"Name": "nofile", "Soft": 400, "Hard": 500}]}
    asked = limited.api.run("asked", *STOPS_AT_ONCE, HostConfig=nofile)

    assert resource.prlimit(limited.pid, resource.RLIMIT_NOFILE) == (4096, 4096)
    for container, limits in ((plain, (SOFT, 4096)), (asked, (400, 500))):
        pid = limited.api.inspect(container)["State"]["Pid"]
        assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == limits
    assert limited.api.exec_output(plain, "sh", "-c", "ulimit -n")[1] == b"300\n"


@pytest.mark.parametrize("limited", [(FEW, FEW)], indirect=True)
def test_a_daemon_without_descriptors_goes_on_when_there_are_some_again(
    limited: Limited,
) -> None:
    kept = limited.api.run("kept", *STOPS_AT_ONCE)
    before = descriptors(limited.pid)

    with ExitStack() as clients:
        for _ in range(2 * FEW):
            connection = clients.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            connection.settimeout(10)
            try:
                connection.connect(str(limited.api.socket_path))
            except (BlockingIOError, TimeoutError):  # the backlog is full
                break
        eventually(lambda: descriptors(limited.pid) >= FEW - 1, "there are none left")

    eventually(lambda: limited.api.request("GET", "/_ping").status == 200, "it answers")
    assert limited.api.status(kept) == "running"
    limited.api.run("another", *STOPS_AT_ONCE)
    eventually(lambda: descriptors(limited.pid) <= before + 2, "they are given back")
    limited.assert_settled()


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
