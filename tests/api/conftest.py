"""Provide a daemon for each module, emptied for each test."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.clients import BOTH, DOCKER, SHIPSLOG, Client
from tests.harness.daemon import DaemonUnderTest


@pytest.fixture(scope="module")
def module_daemon(throwaway_namespaces: None) -> Iterator[DaemonUnderTest]:
    """Run a daemon with the image ``busybox``; check after its tests that it has left nothing in
    the kernel.
    """
    place = Path(tempfile.mkdtemp(prefix="sl-"))  # a socket's path has 108 bytes
    try:
        with DaemonUnderTest(place) as daemon:
            yield daemon.start().import_busybox()
            daemon.assert_nothing_leaked()
    finally:
        shutil.rmtree(place)


@pytest.fixture
def daemon(module_daemon: DaemonUnderTest) -> Iterator[DaemonUnderTest]:
    """Return the module's daemon; a test's objects are removed after it, and kernel and log must
    agree on that.
    """
    yield module_daemon
    for container in module_daemon.api.ps():
        module_daemon.api.remove(container["Id"])
    module_daemon.assert_settled()


@pytest.fixture(params=BOTH)
def client(request: pytest.FixtureRequest, daemon: DaemonUnderTest) -> Client:
    """Return Docker's command, then ours."""
    return Client(request.param, daemon.api.socket_path)


@pytest.fixture
def docker(daemon: DaemonUnderTest) -> Client:
    return Client(DOCKER, daemon.api.socket_path)


@pytest.fixture
def shipslog(daemon: DaemonUnderTest) -> Client:
    return Client(SHIPSLOG, daemon.api.socket_path)
