"""Run a daemon for each module, with an image."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.daemon import DaemonUnderTest


@pytest.fixture(scope="module")
def engine(throwaway_namespaces: None) -> Iterator[DaemonUnderTest]:
    """Yield a daemon; check at the end that it has left nothing in the kernel."""
    place = Path(tempfile.mkdtemp(prefix="sl-"))  # a socket's path has 108 bytes
    try:
        with DaemonUnderTest(place) as daemon:
            yield daemon.start().import_busybox()
            daemon.assert_nothing_leaked()
    finally:
        shutil.rmtree(place)
