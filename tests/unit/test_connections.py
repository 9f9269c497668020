"""Test who owns a client's connection until a monitor has it."""

import socket
from collections.abc import Iterator
from typing import cast

import pytest

from engine.domain.ids import ExecId
from engine.drivers.runs.connections import Connections
from engine.drivers.runs.monitors import Monitors
from engine.ports.streams import Client, StreamOptions

E = ExecId("e" * 64)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, clients = socket.socketpair()
    with ours, clients:
        clients.setblocking(False)
        yield ours, clients


@pytest.fixture
def connections(pair: tuple[socket.socket, socket.socket]) -> Connections:
    made = Connections(cast("Monitors", None))  # no call reaches a monitor here
    made.offer_exec(E, StreamOptions(stdout=True), Client(connection=pair[0]))
    return made


def test_the_client_of_an_exec_that_will_not_start_sees_the_end(
    connections: Connections, pair: tuple[socket.socket, socket.socket]
) -> None:
    connections.withdraw_exec(E)

    assert pair[1].recv(1) == b""


def test_a_connection_that_is_being_handed_over_can_not_be_withdrawn(
    connections: Connections, pair: tuple[socket.socket, socket.socket]
) -> None:
    with connections.executing(E, tty=False) as (_, handed):
        connections.withdraw_exec(E)

        assert handed is pair[0]
        with pytest.raises(BlockingIOError):
            pair[1].recv(1)
