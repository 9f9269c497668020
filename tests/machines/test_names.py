"""Test names: each other's, and the world's through the host's servers, of which the first is
dead.
"""

import re
from collections import Counter

import pytest

from tests.harness.conditions import eventually
from tests.machines.conftest import LONG_TEXT, OTHER_NAME_SERVER, Machine, Machines

pytestmark = pytest.mark.root

WAITING = ("sleep", "1000")
FAR = {4: "203.0.113.7", 6: "2001:db8:7::7"}


def dig(machine: Machine, *words: str) -> str:
    return machine("dig", "@127.0.0.11", "+tries=1", "+time=8", *words)


def test_neighbours_are_found_by_every_name_they_have(around: Machines) -> None:
    identity = around.run("web", "--network front --network-alias www", *WAITING)
    around.run("asker", "--network front", *WAITING)
    around.run("stranger", "--network back", *WAITING)
    address, address6 = (around.address("web", "front", version) for version in (4, 6))

    for name in ("web", "www", identity[:12], "web.front"):
        answer = around.says("asker", "nslookup", name)
        assert f"Address: {address}\n" in answer, name
        assert f"Address: {address6}\n" in answer, name
    assert dig(around.inside("asker"), "+short", "-x", address) == "web.front.\n"
    assert dig(around.inside("asker"), "+short", "-x", address6) == "web.front.\n"
    assert address not in around.says("stranger", "nslookup", "web")


@pytest.mark.parametrize("network", ["front", "bridge"])
def test_other_names_resolve_although_the_first_server_is_down(
    around: Machines, network: str
) -> None:
    around.run("asker", f"--network {network}", *WAITING)

    answer = around.says("asker", "nslookup", "far.example")

    assert f"Address: {FAR[4]}\n" in answer
    assert f"Address: {FAR[6]}\n" in answer


def test_a_long_answer_comes_by_tcp_or_in_a_datagram_of_the_size_that_the_asker_can_take(
    around: Machines,
) -> None:
    around.run("asker", "--network front", *WAITING)
    asker, long = around.inside("asker"), ("TXT", "long.example")

    truncated = dig(asker, *long, "+noedns", "+ignore")
    by_edns = dig(asker, *long, "+bufsize=4096", "+ignore")
    by_tcp = dig(asker, *long, "+tcp")

    assert re.search(r"flags:[^;]* tc", truncated)
    assert not re.search(r"flags:[^;]* tc", by_edns)
    assert by_edns.count(LONG_TEXT) == by_tcp.count(LONG_TEXT) == 8


def test_a_container_may_have_servers_and_domains_of_its_own(around: Machines) -> None:
    options = f"--network front --dns {OTHER_NAME_SERVER} --dns-search example --dns-opt ndots:1"
    around.run("asker", options, *WAITING)

    assert around.says("asker", "cat", "/etc/resolv.conf") == (
        "search example\nnameserver 127.0.0.11\noptions ndots:1\n"
    )
    assert "Address: 203.0.113.8\n" in around.says("asker", "nslookup", "far.example")
    assert around.says("asker", "ping", "-c", "1", "-W", "1", "far").startswith(
        "PING far (203.0.113.8)"
    )


def test_callers_are_spread_over_those_who_share_an_alias(around: Machines) -> None:
    for number in range(3):
        around.serve(f"web{number}", "--network front --network-alias web")
    around.run("asker", "--network front", *WAITING)
    asker = around.inside("asker")

    firsts = Counter(dig(asker, "+short", "A", "web").splitlines()[0] for _ in range(30))

    assert sorted(firsts.values()) == [10, 10, 10]
    around.docker.ok("stop", "-t", "0", "web1")
    eventually(
        lambda: len(dig(asker, "+short", "A", "web").splitlines()) == 2,
        "who has ended is out of the answers",
        within_s=1.0,
    )


def test_names_are_answered_while_the_daemon_is_down(around: Machines) -> None:
    around.run("web", "--network front", *WAITING)
    around.run("asker", "--network front", *WAITING)
    asker, address = around.inside("asker"), around.address("web", "front")

    around.daemon.kill()

    assert dig(asker, "+short", "A", "web").strip() == address
    assert dig(asker, "+short", "A", "far.example").strip() == FAR[4]
    around.daemon.start()


def test_a_link_in_a_network_of_ones_own_is_one_more_name_for_its_owner_alone(
    around: Machines,
) -> None:
    around.run("web", "--network front", *WAITING)
    around.run("linked", "--network front --link web:site", *WAITING)
    around.run("other", "--network front", *WAITING)

    assert dig(around.inside("linked"), "+short", "A", "site").strip() == around.address(
        "web", "front"
    )
    assert dig(around.inside("other"), "+short", "A", "site") == ""
