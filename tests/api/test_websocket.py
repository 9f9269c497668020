"""Test attaching by WebSocket, with wsproto's client on the other side."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from tests.harness.client import Refused
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest
from tests.timeouts import patient

pytestmark = pytest.mark.root

KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT: Final = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""Both are RFC 6455's own example, section 1.3."""
ALL: Final = "stream=1&stdin=1&stdout=1&stderr=1"
HANDSHAKE: Final = {
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


class WebSocket:
    """One client."""

    def __init__(self, connection: socket.socket, unread: bytes) -> None:
        self.socket = connection
        self._frames = Connection(ConnectionType.CLIENT, trailing_data=unread)
        self._events: list[Event] = list(self._frames.events())

    def send(self, event: Event) -> None:
        self.socket.sendall(self._frames.send(event))

    def event(self) -> Event:
        while not self._events:
            received = self.socket.recv(65536)
            assert received, "cut short"
            self._frames.receive_data(received)
            self._events = list(self._frames.events())
        return self._events.pop(0)

    def messages_until(self, wanted: bytes) -> list[BytesMessage | TextMessage]:
        """Return messages whose text together is ``wanted``."""
        found: list[BytesMessage | TextMessage] = []
        text = b""
        while len(text) < len(wanted):
            event = self.event()
            assert isinstance(event, BytesMessage | TextMessage), event
            found.append(event)
            text += event.data.encode() if isinstance(event.data, str) else event.data
        assert text == wanted
        return found

    def close_code(self) -> int:
        """Return the code with which the other side closes."""
        event = self.event()
        assert isinstance(event, CloseConnection), event
        return event.code


@contextmanager
def websocket(
    daemon: DaemonUnderTest, name: str, query: str = ALL, version: str = "", **headers: str
) -> Iterator[WebSocket]:
    """Connect.

    Raises:
        Refused: the answer is not a WebSocket.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(patient(10))
        connection.connect(str(daemon.api.socket_path))
        sent = {"Host": "h", **HANDSHAKE, **headers}
        lines = [f"{header}: {value}" for header, value in sent.items() if value]
        target = f"{version}/containers/{name}/attach/ws?{query}"
        connection.sendall("\r\n".join([f"GET {target} HTTP/1.1", *lines, "", ""]).encode())
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
        head, _, unread = received.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            raise Refused(int(head.split()[1]), unread.decode())
        assert b"Sec-WebSocket-Accept: " + ACCEPT in head
        yield WebSocket(connection, unread)


def run_cat(daemon: DaemonUnderTest, name: str, **body: object) -> None:
    daemon.api.run(name, "cat", OpenStdin=True, **body)


def test_what_is_typed_comes_back_raw_and_binary(daemon: DaemonUnderTest) -> None:
    run_cat(daemon, "cats")
    with websocket(daemon, "cats") as client:
        client.send(BytesMessage(data=b"\x00\xff\n"))
        client.send(TextMessage(data="text\n"))

        messages = client.messages_until(b"\x00\xff\ntext\n")

        assert all(isinstance(message, BytesMessage) for message in messages)


def test_clients_before_1_28_get_text_and_all_streams(daemon: DaemonUnderTest) -> None:
    run_cat(daemon, "cats")
    with websocket(daemon, "cats", "stream=1", "/v1.27") as client:
        client.send(TextMessage(data="grüße\n"))

        messages = client.messages_until("grüße\n".encode())

        assert all(isinstance(message, TextMessage) for message in messages)


def test_only_the_streams_that_are_asked_for_are_sent(daemon: DaemonUnderTest) -> None:
    daemon.api.run(
        "both", "sh", "-c", "cat; echo out; echo err >&2", OpenStdin=True, StdinOnce=True
    )
    with (
        websocket(daemon, "both", "stream=1&stderr=1") as errors,
        websocket(daemon, "both", "stream=1&stdin=1&stdout=1") as output,
    ):
        output.send(BytesMessage(data=b"in\n"))
        output.messages_until(b"in\n")
        output.send(CloseConnection(code=1000))
        assert output.close_code() == 1000

        errors.messages_until(b"err\n")
        assert errors.close_code() == 1000


def test_the_end_of_the_container_closes_in_order(daemon: DaemonUnderTest) -> None:
    run_cat(daemon, "cats")
    with websocket(daemon, "cats") as client:
        daemon.api.kill("cats")

        assert client.close_code() == 1000


def test_a_close_and_a_vanished_client_detach_from_the_container(daemon: DaemonUnderTest) -> None:
    run_cat(daemon, "cats")
    with websocket(daemon, "cats") as client:
        client.send(BytesMessage(data=b"last words\n"))
        client.send(CloseConnection(code=1000))
    with websocket(daemon, "cats"):
        pass

    eventually(
        lambda: len(daemon.api.history("cats", type="container_attach_closed")) == 2,
        "both are detached",
    )
    assert daemon.api.status("cats") == "running"
    assert daemon.api.logs("cats") == b"last words\n"


def test_the_log_comes_first_if_asked_for(daemon: DaemonUnderTest) -> None:
    run_cat(daemon, "cats")
    with websocket(daemon, "cats") as client:
        client.send(BytesMessage(data=b"before\n"))
        client.messages_until(b"before\n")
    with websocket(daemon, "cats", f"{ALL}&logs=1") as client:
        client.send(BytesMessage(data=b"after\n"))
        client.messages_until(b"before\nafter\n")
    with websocket(daemon, "cats", "logs=1&stdout=1") as client:
        client.messages_until(b"before\nafter\n")
        assert client.close_code() == 1000


def test_a_long_log_fits_through(daemon: DaemonUnderTest) -> None:
    daemon.api.run("long", "sh", "-c", "seq 300000; sleep 1000")
    wanted = b"".join(b"%d\n" % number for number in range(1, 300_001))
    eventually(lambda: daemon.api.logs("long") == wanted, "it has said all")

    with websocket(daemon, "long", f"{ALL}&logs=1") as client:
        client.messages_until(wanted)


def test_detach_keys_end_it_on_a_terminal(daemon: DaemonUnderTest) -> None:
    run_cat(daemon, "terminal", Tty=True)
    with websocket(daemon, "terminal", f"{ALL}&detachKeys=ctrl-x,x") as client:
        client.send(BytesMessage(data=b"\x18x"))

        assert client.close_code() == 1000
    assert daemon.api.status("terminal") == "running"


def test_a_ping_is_answered(daemon: DaemonUnderTest) -> None:
    run_cat(daemon, "cats")
    with websocket(daemon, "cats") as client:
        client.send(Ping(payload=b"there?"))

        assert client.event() == Pong(payload=b"there?")


def test_frames_that_break_the_rules_are_refused_with_a_reason(daemon: DaemonUnderTest) -> None:
    run_cat(daemon, "cats")
    with websocket(daemon, "cats") as client:
        client.socket.sendall(b"\x82\x01x")  # not masked: section 5.1

        assert client.close_code() == 1002


@pytest.mark.parametrize(
    "headers",
    [
        {"Upgrade": ""},
        {"Connection": "keep-alive"},
        {"Sec-WebSocket-Version": "8"},
        {"Sec-WebSocket-Key": "short"},
        {"Origin": "https://elsewhere.example"},
    ],
)
def test_what_is_no_handshake_leaves_no_trace(
    headers: dict[str, str], daemon: DaemonUnderTest
) -> None:
    run_cat(daemon, "cats")

    with pytest.raises(Refused) as refused, websocket(daemon, "cats", **headers):
        pass

    assert refused.value.status == 400
    assert not daemon.api.history("cats", type="container_attach_opened")


def test_a_web_page_of_the_same_origin_may_attach(daemon: DaemonUnderTest) -> None:
    run_cat(daemon, "cats")
    with websocket(daemon, "cats", Host="localhost:2375", Origin="http://localhost:2375") as client:
        client.send(BytesMessage(data=b"x\n"))
        client.messages_until(b"x\n")


def test_a_container_that_is_not_there_is_not_found(daemon: DaemonUnderTest) -> None:
    with pytest.raises(Refused) as refused, websocket(daemon, "nobody"):
        pass

    assert refused.value.status == 404
