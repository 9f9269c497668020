"""Run real daemons, in network and mount namespaces that end with the test process."""

import shutil
import socket
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.harness.daemon import DaemonUnderTest

STOPS_AT_ONCE: Final = ("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done")
"""A command that runs until it is stopped, and then stops without any grace period."""
LOG_SHOWN: Final = 8000
"""How many of the last characters of a daemon's log a failed test shows."""


@pytest.fixture(scope="session", autouse=True)
def leave_the_host(throwaway_namespaces: None) -> None:
    links = {name for _, name in socket.if_nameindex()}
    assert "eth0" not in links, "a network of one's own has no way out"


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a directory with a short name: the address of a socket in it has 108 bytes."""
    made = Path(tempfile.mkdtemp(prefix="sl-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def daemon(place: Path) -> Iterator[DaemonUnderTest]:
    """Run a daemon with an image, for tests that break it."""
    with DaemonUnderTest(place, forked=True) as made:
        yield made.start().import_busybox()


@pytest.fixture
def program(place: Path) -> Iterator[DaemonUnderTest]:
    """Run the same, started as users start it: by a new interpreter each time."""
    with DaemonUnderTest(place) as made:
        yield made.start().import_busybox()


@pytest.fixture
def pair(daemon: DaemonUnderTest) -> tuple[str, str]:
    """Run two containers on the default network."""
    return daemon.api.run("one", *STOPS_AT_ONCE), daemon.api.run("other", *STOPS_AT_ONCE)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the daemons' logs for a failed test."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for name, value in item.funcargs.items():
            if isinstance(value, DaemonUnderTest):
                report.sections.append((f"log of {name}", value.log[-LOG_SHOWN:]))
    return report
