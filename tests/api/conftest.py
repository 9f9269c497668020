"""What the tests with a real daemon share: a daemon for each module, and an empty one for each
test."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.clients import BOTH, DOCKER, SHIPSLOG, Client
from tests.harness.daemon import DaemonUnderTest


@pytest.fixture(scope="module")
def module_daemon(throwaway_namespaces: None) -> Iterator[DaemonUnderTest]:
    """A daemon with the image ``busybox``; when its tests are over, it has left nothing in the
    kernel."""
    place = Path(tempfile.mkdtemp(prefix="sl-"))  # a socket's path has 108 bytes
    try:
        with DaemonUnderTest(place) as daemon:
            yield daemon.start().import_busybox()
            daemon.assert_nothing_leaked()
    finally:
        shutil.rmtree(place)


@pytest.fixture
def daemon(module_daemon: DaemonUnderTest) -> Iterator[DaemonUnderTest]:
    """The module's daemon; what a test made is removed after it, and kernel and log must agree on
    that."""
    yield module_daemon
    for container in module_daemon.api.ps():
        module_daemon.api.remove(container["Id"])
    module_daemon.assert_settled()


@pytest.fixture(params=BOTH)
def client(request: pytest.FixtureRequest, daemon: DaemonUnderTest) -> Client:
    """Docker's command, then ours."""
    return Client(request.param, daemon.api.socket_path)


@pytest.fixture
def docker(daemon: DaemonUnderTest) -> Client:
    return Client(DOCKER, daemon.api.socket_path)


@pytest.fixture
def shipslog(daemon: DaemonUnderTest) -> Client:
    return Client(SHIPSLOG, daemon.api.socket_path)
