"""Contracts: each test runs against a port's simulation and against its real driver."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a short name: the sockets in it have 108 bytes for theirs."""
    made = Path(tempfile.mkdtemp(prefix="sl-"))
    yield made
    shutil.rmtree(made)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what leaves the host first: threads of trio's that idle for ten seconds stay behind in
    the old mounts."""
    items.sort(key=lambda item: not _leaves_the_host(item))


def _leaves_the_host(item: pytest.Item) -> bool:
    return HERE in item.path.parents and item.get_closest_marker("root") is not None
