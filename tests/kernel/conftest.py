"""Move kernel tests into namespaces of their own: they make links, mounts and firewall rules."""

import socket

import pytest


@pytest.fixture(scope="session", autouse=True)
def leave_the_host(throwaway_namespaces: None) -> None:
    links = {name for _, name in socket.if_nameindex()}
    assert links == {"lo"}, f"a network of one's own has no {links - {'lo'}}"
