"""Test ``--network container:…``: several containers in one network namespace, whose owner may stop
and start.
"""

from pathlib import Path

import pytest

from tests.api.clients import Client
from tests.harness.client import Refused
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

WEB = ("sh", "-c", "echo ahoy > /tmp/index.html; exec httpd -f -p 80 -h /tmp")
FOREVER = ("sleep", "1000")


@pytest.fixture
def pair(daemon: DaemonUnderTest) -> tuple[str, str]:
    """Run a web server with a published port, and a container in its network."""
    bound = {"PortBindings": {"80/tcp": [{"HostPort": "8087"}]}}
    owner = daemon.api.run("owner", *WEB, HostConfig=bound)
    return owner, share(daemon, "sharer", "owner")


def share(daemon: DaemonUnderTest, name: str, owner: str) -> str:
    return daemon.api.run(name, *FOREVER, HostConfig={"NetworkMode": f"container:{owner}"})


def output(daemon: DaemonUnderTest, container: str, *command: str) -> str:
    code, out = daemon.api.exec_output(container, *command)
    assert code == 0, out
    return out.decode()


def test_it_has_the_owners_interfaces_files_and_ports(
    daemon: DaemonUnderTest, pair: tuple[str, str]
) -> None:
    owner, sharer = pair

    for question in (("ip", "address"), ("cat", "/etc/hosts"), ("hostname",)):
        assert output(daemon, sharer, *question) == output(daemon, owner, *question)
    eventually(
        lambda: (
            daemon.api.exec_output(sharer, "wget", "-qO-", "http://127.0.0.1/") == (0, b"ahoy\n")
        ),
        "localhost is the owner's",
    )
    shown = daemon.api.inspect(sharer)
    assert shown["HostConfig"]["NetworkMode"] == f"container:{owner}"
    assert shown["NetworkSettings"]["Networks"] == {}
    assert shown["NetworkSettings"]["Ports"] == {}


def test_a_namespace_may_be_shared_by_several_containers(
    daemon: DaemonUnderTest, pair: tuple[str, str]
) -> None:
    third = share(daemon, "third", "sharer")

    assert output(daemon, third, "ip", "address") == output(daemon, pair[0], "ip", "address")


def test_a_sharer_of_a_container_on_the_hosts_network_is_on_it_too(
    daemon: DaemonUnderTest,
) -> None:
    daemon.api.run("onhost", *FOREVER, HostConfig={"NetworkMode": "host"})
    sharer = share(daemon, "sharer", "onhost")

    namespace = output(daemon, sharer, "readlink", "/proc/self/ns/net").strip()
    assert namespace == str(Path("/proc/self/ns/net").readlink())
    assert daemon.bridge in output(daemon, sharer, "ip", "link")


def test_the_owner_may_restart_and_its_sharer_joins_anew_when_it_does(
    daemon: DaemonUnderTest, pair: tuple[str, str]
) -> None:
    owner, sharer = pair
    for container in (owner, sharer):
        daemon.api.post(f"/containers/{container}/restart", t=0)

    assert output(daemon, sharer, "ip", "address") == output(daemon, owner, "ip", "address")
    daemon.restart()
    assert output(daemon, sharer, "ip", "address") == output(daemon, owner, "ip", "address")


def test_a_start_without_the_owner_is_refused_with_a_reason(
    daemon: DaemonUnderTest, docker: Client, pair: tuple[str, str]
) -> None:
    owner, sharer = pair
    daemon.api.kill(owner)
    assert output(daemon, sharer, "true") == "", "it runs on"
    daemon.api.kill(sharer)
    words = f"cannot join network of a non running container: {owner}"

    with pytest.raises(Refused, match=words):
        daemon.api.start(sharer)
    done = docker("restart", "-t", "0", "sharer")
    assert (done.code, words in done.err) == (1, True)

    daemon.api.start(owner)
    daemon.api.start(sharer)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--hostname", "x"], "conflicting options: hostname and the network mode"),
        (["-p", "80"], "conflicting options: port publishing and the container type network mode"),
        (["--dns", "1.1.1.1"], "conflicting options: dns and the network mode"),
        (["--add-host", "a:1.1.1.1"], "conflicting options: custom host-to-IP mapping"),
        (["--expose", "80"], "conflicting options: port exposing and the container type"),
    ],
)
def test_what_the_owner_decides_cannot_be_asked_for(
    docker: Client, pair: tuple[str, str], options: list[str], words: str
) -> None:
    done = docker("create", "--network", "container:owner", *options, "busybox", "true")

    assert words in done.err
    assert pair


def test_what_is_not_there_cannot_be_shared(docker: Client) -> None:
    done = docker("run", "--rm", "--network", "container:nobody", "busybox", "true")

    assert done.code == 125
    assert "No such container: nobody" in done.err
