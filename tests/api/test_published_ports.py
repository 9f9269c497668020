"""Test ports: reached from the host's side, shown, taken once, given back; with both commands."""

import socket

import pytest

from tests.api.clients import Client
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

SERVES = ("sh", "-c", "echo served > /index.html; exec httpd -f -p 80 -h /")


def fetch(port: int, address: str = "127.0.0.1") -> bytes:
    """Return a web server's answer."""
    with socket.create_connection((address, port), timeout=2) as connection:
        connection.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
        answer = b""
        while block := connection.recv(4096):
            answer += block
    return answer.partition(b"\r\n\r\n")[2]


def test_a_published_port_is_reached_on_the_host(client: Client) -> None:
    client.ok("run", "-d", "--name", "web", "-p", "8080:80", "busybox", *SERVES)

    eventually(lambda: fetch(8080) == b"served\n", "it serves", catch=OSError)

    assert client.ok("port", "web").splitlines()[0] == "80/tcp -> 0.0.0.0:8080"
    assert client.ok("port", "web", "80").splitlines()[0] == "0.0.0.0:8080"
    assert "0.0.0.0:8080->80/tcp" in client.ok("ps", "--format", "{{.Ports}}")


def test_a_port_of_the_hosts_choice(client: Client) -> None:
    client.ok("run", "-d", "--name", "web", "-p", "127.0.0.1::80", "busybox", *SERVES)

    address, port = client.ok("port", "web", "80/tcp").split(":")

    assert address == "127.0.0.1"
    eventually(lambda: fetch(int(port)) == b"served\n", "it serves", catch=OSError)


def test_containers_reach_each_other_and_their_names_are_their_own(client: Client) -> None:
    client.ok("run", "-d", "--name", "web", "busybox", *SERVES)
    address = client.ok("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web")

    eventually(lambda: fetch(80, address) == b"served\n", "it serves", catch=OSError)

    assert (
        client.ok("run", "--rm", "busybox", "wget", "-qO-", f"http://{address}/index.html")
        == "served"
    )
    hosts = client.ok("run", "--rm", "-h", "box", "busybox", "cat", "/etc/hosts")
    assert any(line.split()[-1] == "box" for line in hosts.splitlines())


@pytest.mark.parametrize("options", [["--rm"], ["--name", "second"]])
def test_a_port_is_taken_once(options: list[str], client: Client, daemon: DaemonUnderTest) -> None:
    """A container that was to be removed after the run is removed now."""
    client.ok("run", "-d", "--name", "first", "-p", "8080:80", "busybox", "sleep", "1000")

    done = client("run", *options, "-p", "8080:80", "busybox", "true")

    assert done.code == 125
    assert "Bind for 0.0.0.0:8080 failed: port is already allocated" in done.err
    left = {each["Names"][0]: each["State"] for each in daemon.api.ps()}
    assert left == {"/first": "running"} | ({} if options == ["--rm"] else {"/second": "created"})


def test_a_port_of_another_program_is_not_taken(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        done = client("run", "--rm", "-p", f"127.0.0.1:{port}:80", "busybox", "true")

    assert done.code == 125
    assert f"{port}" in done.err
    assert "address already in use" in done.err


def test_a_port_is_free_again_when_its_container_has_ended(client: Client) -> None:
    for _ in range(2):
        client.ok("run", "--rm", "-p", "8080:80", "busybox", "true")
