"""Kernel tests make links, mounts and firewall rules: never in the machine's own namespaces."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def leave_the_host(throwaway_namespaces: None) -> None:
    here, machine = (Path(f"/proc/{process}/ns/net").readlink() for process in ("self", "1"))
    assert here != machine, "kernel tests would change the machine's own network"
