"""Fault tests run real daemons, in a network and mounts that die with the test process."""

import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.harness.daemon import DaemonUnderTest

STOPS_AT_ONCE: Final = ("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done")
"""A command that runs until it is told to stop, and then stops without any grace."""


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
    with DaemonUnderTest(place) as made:
        yield made.start().import_busybox()
