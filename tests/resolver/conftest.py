"""Move the tests into namespaces of their own: the resolver opens sockets in namespaces and mounts
pins.
"""

import pytest


@pytest.fixture(scope="session", autouse=True)
def leave_the_host(throwaway_namespaces: None) -> None:
    pass
