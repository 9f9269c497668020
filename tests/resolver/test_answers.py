"""Test the resolver's answers with ordinary DNS clients."""

import random
import socket
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Final

import trio

from engine.drivers.resolver.records import Listener
from engine.resolver import wire
from engine.resolver.forwarding import FORWARDS_OF_ONE_MAX
from tests.harness.conditions import eventually
from tests.resolver.resolver_fixture import (
    NET,
    OTHER_NET,
    FakeServer,
    ResolverUnderTest,
    address_answer,
    configure,
    host,
    question,
    running,
    server,
)

BURST: Final = 16
"""A number of datagrams that fits into any socket's buffer."""


async def _two_networks(dns: ResolverUnderTest) -> str:
    sandbox = dns.sandbox("asker", redirect=True)
    await configure(
        dns,
        host("web", "10.0.0.2", "fd00::2", names=("web", "0123456789ab", "Shop")),
        host("db", "10.0.0.3", names=("db", "store")),
        host("db2", "10.0.0.4", names=("db2", "store")),
        host("far", "10.9.0.2", network=OTHER_NET, network_name="back"),
        host("hidden", "10.8.0.2", network="z" * 64, network_name="secret"),
        listeners=(Listener(sandbox=sandbox, networks=(NET, OTHER_NET), links=(("cache", "db"),)),),
    )
    return sandbox


def test_names_are_answered_as_docker_answers_them(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as dns:
            sandbox = await _two_networks(dns)
            dig = dns.dig

            web = dig(sandbox, "web")
            assert (web.status, web.values) == ("NOERROR", ["10.0.0.2"])
            assert web.records[0][1] == "600"
            assert web.flags == ["qr", "rd", "ra"]
            assert dig(sandbox, "WEB.Front").values == ["10.0.0.2"]
            assert dig(sandbox, "sHOP").values == ["10.0.0.2"]
            assert dig(sandbox, "0123456789ab").values == ["10.0.0.2"]
            assert dig(sandbox, "far.back").values == ["10.9.0.2"]
            assert dig(sandbox, "web", "AAAA").values == ["fd00::2"]
            assert dig(sandbox, "cache").values == ["10.0.0.3"]
            assert dig(sandbox, "cache.front").values == ["10.0.0.3"]
            for known in (("db", "AAAA"), ("db", "MX"), ("db", "TXT"), ("db", "TYPE65280")):
                nothing = dig(sandbox, *known)
                assert (nothing.status, nothing.values) == ("NOERROR", [])
            assert dig(sandbox, "-x", "10.0.0.2").values == ["web.front."]
            assert dig(sandbox, "-x", "fd00::2").values == ["web.front."]
            for unknown in ("hidden", "far.front", "hidden.secret", "nobody"):
                assert dig(sandbox, unknown).status == "SERVFAIL"
            assert dig(sandbox, "-x", "10.8.0.2").status == "SERVFAIL"

    trio.run(body)


def test_busybox_finds_a_neighbour_at_the_usual_port(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as dns:
            sandbox = await _two_networks(dns)

            said = dns.inside(sandbox, "busybox", "nslookup", "web", "127.0.0.11")

            assert "10.0.0.2" in said
            assert "fd00::2" in said

    trio.run(body)


def test_each_address_of_an_alias_comes_first_equally_often(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as dns:
            sandbox = dns.sandbox("asker")
            addresses = [f"10.0.0.{n}" for n in range(2, 7)]
            records = [host(f"c{n}", each, names=("all",)) for n, each in enumerate(addresses)]
            await configure(dns, *records, listeners=(Listener(sandbox=sandbox, networks=(NET,)),))
            first: Counter[bytes] = Counter()
            asked = question("all")

            with dns.socket(sandbox) as asker:
                for _ in range(200):
                    asker.send(asked)
                    answer = asker.recv(4096)
                    assert sorted(_addresses(answer, len(asked))) == addresses
                    first[answer[len(asked) + 12 : len(asked) + 16]] += 1

            assert sorted(first.values()) == [40] * 5

    trio.run(body)


def test_an_answer_too_long_for_a_datagram_comes_whole_over_tcp(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as dns:
            sandbox = dns.sandbox("asker")
            records = [host(f"c{n}", f"10.0.1.{n}", names=("all",)) for n in range(120)]
            await configure(dns, *records, listeners=(Listener(sandbox=sandbox, networks=(NET,)),))

            cut = dns.dig(sandbox, "all", "+ignore", "+noedns")
            whole = dns.dig(sandbox, "all")
            large = dns.dig(sandbox, "all", "+ignore", "+bufsize=4096")

            assert "tc" in cut.flags
            assert cut.values == []
            assert len(whole.values) == 120
            assert len(large.values) == 120
            assert "tc" not in large.flags

    trio.run(body)


def test_other_names_are_forwarded_unchanged(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as dns:
            sandbox = dns.sandbox("asker")
            with server(dns, sandbox, lambda packet: address_answer(packet, "192.0.2.1")) as other:
                listener = Listener(
                    sandbox=sandbox, networks=(NET,), servers=(other.name,), from_host=False
                )
                await configure(dns, host("web", "10.0.0.2"), listeners=(listener,))

                assert dns.dig(sandbox, "example.org").values == ["192.0.2.1"]
                assert dns.dig(sandbox, "single", "+tcp").values == ["192.0.2.1"]
                assert dns.dig(sandbox, "web").values == ["10.0.0.2"]
                assert dns.dig(sandbox, "web", "AAAA").values == []

                assert len(other.asked) == 1
                assert b"\x07example\x03org\x00" in other.asked[0]
                assert b"\x00\x00\x29" in other.asked[0]  # EDNS as it came
                assert len(other.asked_by_tcp) == 1

    trio.run(body)


def test_the_next_server_is_asked_when_one_fails_or_is_silent(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as dns:
            sandbox = dns.sandbox("asker")
            with (
                server(dns, sandbox, lambda _: None) as silent,
                server(
                    dns, sandbox, lambda packet: address_answer(packet, "", code=wire.SERVFAIL)
                ) as failing,
                server(dns, sandbox, lambda packet: address_answer(packet, "192.0.2.1")) as good,
            ):
                servers = (silent.name, failing.name, good.name)
                listener = Listener(
                    sandbox=sandbox, networks=(NET,), servers=servers, from_host=False
                )
                await configure(dns, listeners=(listener,))

                assert dns.dig(sandbox, "example.org").values == ["192.0.2.1"]
                await dns.resolver.serve(
                    Listener(
                        sandbox=sandbox,
                        networks=(NET,),
                        servers=("127.0.0.1:9", failing.name),
                        from_host=False,
                    )
                )
                assert dns.dig(sandbox, "example.org").status == "SERVFAIL"
                assert len(silent.asked) == 1

    trio.run(body)


def test_a_silent_server_delays_no_other_query(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as dns:
            sandbox = dns.sandbox("asker")
            with server(
                dns,
                sandbox,
                lambda packet: None if b"slow" in packet else address_answer(packet, "192.0.2.1"),
            ) as other:
                listener = Listener(
                    sandbox=sandbox, networks=(NET,), servers=(other.name,), from_host=False
                )
                await configure(dns, listeners=(listener,))
                with dns.socket(sandbox) as asker:
                    for number in range(100):
                        asker.send(question("slow", number=number))
                    for number in range(100, 200):
                        asker.send(question("fast", number=number))
                        got = asker.recv(512)
                        assert (int.from_bytes(got[:2], "big"), wire.code_of(got)) == (number, 0)
                assert len(other.asked) == 200
                assert len(set(other.ports)) > 50
                assert len({packet[:2] for packet in other.asked}) > 100

    trio.run(body)


def has_asked(server: FakeServer, number: int) -> bool:
    return len(server.asked) > number


def test_what_one_sandbox_has_under_way_is_bounded(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as dns:
            sandbox = dns.sandbox("asker")
            with server(dns, sandbox, lambda _: None) as silent:
                listener = Listener(
                    sandbox=sandbox, networks=(NET,), servers=(silent.name,), from_host=False
                )
                await configure(dns, host("web", "10.0.0.2"), listeners=(listener,))
                with dns.socket(sandbox) as asker:
                    for number in range(FORWARDS_OF_ONE_MAX):
                        asker.send(question("slow", number=number))
                        if number % BURST == 0:  # a socket's buffer has room for this many
                            eventually(partial(has_asked, silent, number), "it was asked")
                    eventually(partial(has_asked, silent, number), "it was asked")
                    asker.send(question("slow", number=FORWARDS_OF_ONE_MAX))
                    refused = asker.recv(512)

                    assert int.from_bytes(refused[:2], "big") == FORWARDS_OF_ONE_MAX
                    assert wire.code_of(refused) == wire.SERVFAIL
                    assert dns.dig(sandbox, "web").values == ["10.0.0.2"]
                await dns.resolver.forget(sandbox)

    trio.run(body)


def test_an_answer_to_another_query_is_ignored(tmp_path: Path) -> None:
    def forged(packet: bytes) -> bytes:
        if b"number" in packet:
            packet = bytes((packet[0] ^ 1,)) + packet[1:]
        return address_answer(packet.replace(b"question", b"another1"), "192.0.2.66")

    async def body() -> None:
        async with running(tmp_path) as dns:
            sandbox = dns.sandbox("asker")
            with (
                server(dns, sandbox, forged) as liar,
                server(dns, sandbox, lambda packet: address_answer(packet, "192.0.2.1")) as good,
            ):
                listener = Listener(
                    sandbox=sandbox,
                    networks=(NET,),
                    servers=(liar.name, good.name),
                    from_host=False,
                )
                await configure(dns, listeners=(listener,))

                assert dns.dig(sandbox, "number").values == ["192.0.2.1"]
                assert dns.dig(sandbox, "question").values == ["192.0.2.1"]

    trio.run(body)


def test_a_server_on_the_hosts_loopback_is_asked_from_there_and_none_when_internal(
    tmp_path: Path,
) -> None:
    async def body() -> None:
        async with running(tmp_path) as dns:
            sandbox = dns.sandbox("asker")
            with server(dns, None, lambda packet: address_answer(packet, "192.0.2.1")) as here:
                listener = Listener(sandbox=sandbox, networks=(NET,), servers=(here.name,))
                await configure(dns, listeners=(listener,))
                assert dns.dig(sandbox, "example.org").values == ["192.0.2.1"]

                internal = Listener(
                    sandbox=sandbox, networks=(NET,), servers=(here.name,), forward=False
                )
                await dns.resolver.serve(internal)
                assert dns.dig(sandbox, "example.org").status == "SERVFAIL"
                assert len(here.asked) == 1

    trio.run(body)


def test_a_thousand_malformed_messages_leave_it_answering(tmp_path: Path) -> None:
    async def body() -> None:
        dice = random.Random(1035)
        sound = question("web")
        async with running(tmp_path) as dns:
            sandbox = dns.sandbox("asker")
            listener = Listener(sandbox=sandbox, networks=(NET,))
            await configure(dns, host("web", "10.0.0.2"), listeners=(listener,))
            pid = dns.pid
            for _ in range(1000):
                packet = bytearray(sound + dice.randbytes(dice.randrange(40)))
                for _ in range(dice.randrange(1, 6)):
                    packet[dice.randrange(len(packet))] = dice.randrange(256)
                del packet[dice.randrange(len(packet) + 1) :]
                with dns.socket(sandbox) as asker:
                    asker.send(bytes(packet))
            for _ in range(20):
                with dns.socket(sandbox, socket.SOCK_STREAM) as asker:
                    asker.send(dice.randbytes(dice.randrange(1, 600)))

            assert dns.dig(sandbox, "web").values == ["10.0.0.2"]
            assert dns.dig(sandbox, "web", "+tcp").values == ["10.0.0.2"]
            assert dns.dig(sandbox, "web", "+edns=1", "+noednsneg").status == "BADVERS"
            assert dns.dig(sandbox, "web", "+opcode=status").status == "NOTIMP"
            assert dns.pid == pid

    trio.run(body)


def test_a_tcp_connection_may_carry_many_queries_at_once(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as dns:
            sandbox = dns.sandbox("asker")
            listener = Listener(sandbox=sandbox, networks=(NET,))
            await configure(dns, host("web", "10.0.0.2"), listeners=(listener,))
            with dns.socket(sandbox, socket.SOCK_STREAM) as asker:
                asked = question("web")
                asker.sendall((len(asked).to_bytes(2, "big") + asked) * 100)
                asker.shutdown(socket.SHUT_WR)
                got = b""
                while part := asker.recv(65536):
                    got += part

            assert len(got) == 100 * (2 + len(asked) + 16)

    trio.run(body)


def _addresses(answer: bytes, start: int) -> list[str]:
    records = (answer[at + 12 : at + 16] for at in range(start, len(answer), 16))
    return [socket.inet_ntoa(record) for record in records]
