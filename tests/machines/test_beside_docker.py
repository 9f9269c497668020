"""Test Docker on the same host, with its own bridges, proxies and rules: both engines keep
working.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from engine.cli.builtin_image import busybox_tar
from engine.domain import naming
from tests.api.clients import DOCKER, Client
from tests.conformance.reference import NoReference, reference_engine
from tests.harness.client import Json
from tests.harness.conditions import eventually
from tests.machines.conftest import CLIENT, HOST, PATIENCE_S, Machines

pytestmark = pytest.mark.root

BRIDGE_NETFILTER = Path("/proc/sys/net/bridge")
SERVES = ("sh", "-c", "echo theirs > /tmp/index.html; exec httpd -f -p 80 -h /tmp")


@pytest.fixture(scope="module")
def theirs(machines: Machines) -> Iterator[Client]:
    """Return Docker's command for Docker's engine, which runs a web server at port 9080."""
    place = Path(tempfile.mkdtemp(prefix="sl-"))
    before = {setting: setting.read_text() for setting in BRIDGE_NETFILTER.glob("*")}
    try:
        with reference_engine(place, beside=True) as api:
            api.post("/images/create", busybox_tar(), fromSrc="-", repo="busybox", tag="latest")
            docker = Client(DOCKER, api.socket_path)
            docker.ok("run", "-d", "--name", "web", "-p", "9080:80", "busybox", *SERVES)
            eventually(lambda: machines.client.fetches(HOST[4], 9080), "theirs serves")
            yield docker
            docker.ok("rm", "-f", "web")
    except NoReference as absence:
        pytest.skip(str(absence))
    finally:
        _forget_docker(machines)
        for setting, value in before.items():
            setting.write_text(value)
        shutil.rmtree(place, ignore_errors=True)


def _forget_docker(machines: Machines) -> None:
    """Remove Docker's bridge and rules, which it leaves behind, so that later tests don't depend on
    them.
    """
    subprocess.run(["ip", "link", "delete", "docker0"], check=False)
    ours = naming.firewall_table(machines.daemon.instance)
    tables = json.loads(machines.host("nft", "--json", "list", "tables"))["nftables"]
    for table in (each["table"] for each in tables if "table" in each):
        if table["name"] != ours:
            machines.host("nft", "delete", "table", table["family"], table["name"])


def strangers_rules(around: Machines) -> list[Json]:
    """Return all rules outside of our table, without packet counters."""
    listed = around.host("nft", "--json", "--stateless", "list", "ruleset")
    table = naming.firewall_table(around.daemon.instance)
    entries: list[Json] = json.loads(listed)["nftables"]
    return [
        entry
        for entry in entries
        if "metainfo" not in entry
        and all(table not in (each.get("table"), each.get("name")) for each in entry.values())
    ]


def both_work(around: Machines) -> bool:
    return (
        around.client.fetches(HOST[4], 9080, PATIENCE_S) == "theirs\n"
        and around.client.fetches(HOST[4], 8050, PATIENCE_S) == "ours\n"
    )


def test_ports_of_both_are_reached_whatever_ours_goes_through(
    around: Machines, theirs: Client
) -> None:
    around.serve("ours", "--network front -p 8050:80")
    assert both_work(around)

    around.daemon.kill()
    assert both_work(around)
    around.daemon.start()
    assert both_work(around)
    around.host("nft", "flush", "table", "inet", naming.firewall_table(around.daemon.instance))
    eventually(lambda: both_work(around), "ours is repaired")


def test_rules_of_other_programs_are_not_changed(around: Machines, theirs: Client) -> None:
    before = strangers_rules(around)
    assert before

    around.docker.ok("network", "create", "extra")
    around.serve("ours", "--network extra -p 8050:80")
    around.docker.ok("rm", "-f", "ours")
    around.docker.ok("network", "rm", "extra")
    around.daemon.restart()
    around.host("nft", "delete", "table", "inet", naming.firewall_table(around.daemon.instance))
    around.serve("ours", "--network front -p 8050:80")
    eventually(lambda: both_work(around), "ours is repaired")

    assert strangers_rules(around) == before


def test_containers_of_both_networks_reach_other_hosts(around: Machines, theirs: Client) -> None:
    around.run("ours", "--network front", "sleep", "1000")
    ping = ("ping", "-c", "1", "-W", "2", CLIENT[4])

    assert "1 packets received" in around.says("ours", *ping)
    assert "1 packets received" in theirs.ok("exec", "web", *ping)


def test_subnets_that_docker_has_are_not_chosen(around: Machines, theirs: Client) -> None:
    theirs.ok("network", "create", "taken")
    around.docker.ok("network", "create", "chosen")
    form = "{{range .IPAM.Config}}{{.Subnet}} {{end}}"
    taken, chosen = (
        [ip_network(each) for each in engine.ok("network", "inspect", "-f", form, name).split()]
        for engine, name in ((theirs, "taken"), (around.docker, "chosen"))
    )
    theirs.ok("network", "rm", "taken")
    around.docker.ok("network", "rm", "chosen")

    assert not any(one.overlaps(other) for one in taken for other in chosen)
