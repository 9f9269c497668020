"""Test published ports: which machines reach them, from where, and under which address."""

import json
import re
import socket
import subprocess
from contextlib import closing
from functools import partial
from typing import Any, Final

import pytest

from tests.harness.conditions import eventually
from tests.machines.conftest import CLIENT, HOST, PATIENCE_S, Machines

pytestmark = pytest.mark.root

THREE_SERVERS: Final = (
    "echo web > /tmp/index.html; "
    "for port in 90 91; do httpd -p $port -h /tmp; done; exec httpd -f -p 92 -h /tmp"
)
both_versions = pytest.mark.parametrize("version", [4, 6])


@both_versions
def test_a_port_is_reached_from_everywhere_and_the_callers_address_is_kept(
    around: Machines, version: int
) -> None:
    around.serve("web", "--network front -p 8080:80")
    around.run("other", "--network back", "sleep", "1000")
    gateway = {4: "10.71.0.1", 6: "fd00:71::1"}[version]

    assert around.client.fetches(HOST[version], 8080, PATIENCE_S) == "web\n"
    assert f"{CLIENT[version]}]:" in around.docker("logs", "web").err.replace("::ffff:", "")
    for address in (HOST[version], gateway, *(["127.0.0.1"] if version == 4 else [])):
        assert around.host.fetches(address, 8080, PATIENCE_S) == "web\n", address
    for caller in ("web", "other"):
        answer = around.inside(caller).fetches(HOST[version], 8080, PATIENCE_S)
        assert answer == "web\n", f"{caller} by the host's address"


def test_a_port_at_localhost_is_the_hosts_alone(around: Machines) -> None:
    around.serve("web", "--network front -p 127.0.0.1:8081:80")

    assert around.host.fetches("127.0.0.1", 8081, PATIENCE_S) == "web\n"
    assert around.client.fetches(HOST[4], 8081) == ""
    assert around.host.fetches(HOST[4], 8081) == ""


def test_a_port_at_one_address_is_not_at_others(around: Machines) -> None:
    around.serve("web", f"--network front -p {HOST[4]}:8082:80 -p [{HOST[6]}]:8083:80")

    assert around.client.fetches(HOST[4], 8082, PATIENCE_S) == "web\n"
    assert around.client.fetches(HOST[6], 8083, PATIENCE_S) == "web\n"
    assert around.host.fetches("127.0.0.1", 8082) == ""
    assert around.client.fetches(HOST[4], 8083) == ""


def test_ranges_and_the_engines_choice(around: Machines) -> None:
    around.run("range", "--network front -p 8110-8112:90-92", "sh", "-c", THREE_SERVERS)
    around.run("chosen", "--network front -p 92 --expose 91 -P", "sh", "-c", THREE_SERVERS)
    chosen = re.findall(r"0\.0\.0\.0:(\d+)", around.docker.ok("port", "chosen"))

    assert len(set(chosen)) == 2
    for port in (8110, 8111, 8112, *map(int, chosen)):
        answers = partial(around.client.fetches, HOST[4], port)
        assert eventually(answers, f"{port} leads somewhere") == "web\n"


def test_a_freed_port_leads_to_its_next_owner_at_once(around: Machines) -> None:
    """Also for a client that keeps calling from one port of its own."""
    for number in range(5):
        around.serve(f"web{number}", "--network front -p 8090:80")
        assert around.client.fetches(HOST[4], 8090, PATIENCE_S) == f"web{number}\n"
        around.docker.ok("rm", "-f", f"web{number}")
        assert around.client.fetches(HOST[4], 8090) == ""


def test_a_network_may_choose_the_address_of_published_ports(around: Machines) -> None:
    option = f"com.docker.network.bridge.host_binding_ipv4={HOST[4]}"
    around.docker.ok("network", "create", "-o", option, "bound")
    around.serve("web", "--network bound -p 8095:80")

    assert around.client.fetches(HOST[4], 8095, PATIENCE_S) == "web\n"
    assert around.host.fetches("127.0.0.1", 8095) == ""
    assert around.docker.ok("port", "web") == f"80/tcp -> {HOST[4]}:8095"
    around.docker.ok("rm", "-f", "web")
    around.docker.ok("network", "rm", "bound")


@both_versions
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_data_flows_through_a_port(around: Machines, version: int, protocol: str) -> None:
    """iperf3 uses TCP to negotiate, then either protocol."""
    around.run("meter", "--network front -p 5201:5201 -p 5201:5201/udp", "sleep", "1000")
    options = ("--udp", "--bitrate", "50M") if protocol == "udp" else ()

    def measured() -> dict[str, Any]:
        server = around.inside("meter").started("iperf3", "--server", "--one-off")
        try:
            words = ("iperf3", "--json", "--client", HOST[version], "--time", "1", *options)
            report = json.loads(around.client(*words))
        finally:
            server.kill()
            server.wait()
        assert "error" not in report, report
        found: dict[str, Any] = report["end"]["sum" if protocol == "udp" else "sum_received"]
        return found

    received = eventually(measured, "iperf3 has measured", catch=AssertionError)
    assert received["bytes"] > 1_000_000
    assert received.get("lost_percent", 0.0) < 5.0


def kernel_has_sctp() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET, socket.IPPROTO_SCTP).close()
    except OSError:
        return False
    return True


def test_a_port_of_sctp_is_published_like_the_others(around: Machines) -> None:
    """If the kernel lacks the protocol, the error says so."""
    words = ("run", "-d", "--name", "web", "--network", "front", "-p", "8096:80/sctp", "busybox")
    done = around.docker(*words, "sleep", "1000")

    if not kernel_has_sctp():
        assert (done.code, around.daemon.api.status("web")) == (125, "created")
        assert re.search(r"8096:0\.0\.0\.0:80/sctp: (protocol|socket type) not supported", done.err)
        return
    assert around.docker.ok("port", "web").splitlines()[0] == "80/sctp -> 0.0.0.0:8096"
    listed = subprocess.run(["nft", "list", "ruleset"], check=True, capture_output=True, text=True)
    target = around.address("web", "front")
    assert re.search(rf"sctp \. 8096 : {re.escape(target)} \. 80", listed.stdout)


def test_a_port_of_a_container_on_an_internal_network_is_not_published(
    around: Machines,
) -> None:
    around.serve("web", "--network inner -p 8097:80")

    assert around.docker.ok("port", "web") == ""
    assert around.host.fetches("127.0.0.1", 8097) == ""
    assert around.client.fetches(HOST[4], 8097) == ""


def test_a_connection_goes_on_while_the_daemon_is_killed(around: Machines) -> None:
    around.run("echo", "--network front -p 8098:80", "nc", "-ll", "-p", "80", "-e", "cat")
    caller = eventually(lambda: around.client.call(HOST[4], 8098), "it answers", catch=OSError)
    with closing(caller):
        for moment in (lambda: None, around.daemon.kill, around.daemon.start):
            moment()
            caller.sendall(b"ahoy")
            assert caller.recv(4) == b"ahoy"
