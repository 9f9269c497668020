"""Fault tests run real daemons, in a network and mounts that die with the test process."""

import shutil
import socket
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.harness.daemon import DaemonUnderTest

STOPS_AT_ONCE: Final = ("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done")
"""A command that runs until it is told to stop, and then stops without any grace."""
LOG_SHOWN: Final = 8000
"""Characters of a daemon's log, its end, that a failed test shows."""


@pytest.fixture(scope="session", autouse=True)
def leave_the_host(throwaway_namespaces: None) -> None:
    links = {name for _, name in socket.if_nameindex()}
    assert "eth0" not in links, "a network of one's own has no way out"


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a short name: the sockets in it have 108 bytes for theirs."""
    made = Path(tempfile.mkdtemp(prefix="sl-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def daemon(place: Path) -> Iterator[DaemonUnderTest]:
    """A daemon that runs and has an image, to be broken."""
    with DaemonUnderTest(place, forked=True) as made:
        yield made.start().import_busybox()


@pytest.fixture
def program(place: Path) -> Iterator[DaemonUnderTest]:
    """The same, started as people start it: by a new interpreter each time."""
    with DaemonUnderTest(place) as made:
        yield made.start().import_busybox()


@pytest.fixture
def pair(daemon: DaemonUnderTest) -> tuple[str, str]:
    """Two containers on the default network."""
    return daemon.api.run("one", *STOPS_AT_ONCE), daemon.api.run("other", *STOPS_AT_ONCE)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows what its daemons said."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for name, value in item.funcargs.items():
            if isinstance(value, DaemonUnderTest):
                report.sections.append((f"log of {name}", value.log[-LOG_SHOWN:]))
    return report
