"""The resolver opens sockets in namespaces and mounts pins: never in the machine's own."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def leave_the_host(throwaway_namespaces: None) -> None:
    pass
