"""Run a resolver with its driver, sandboxes to ask from, and a server that it may ask."""

import contextlib
import re
import socket
import struct
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import trio

from engine.domain.container.events import ProcessIdentity
from engine.drivers.networks import netns
from engine.drivers.processes.identity import boot_id
from engine.drivers.resolver.client import Resolver
from engine.drivers.resolver.records import HostNames, Listener
from engine.resolver import wire
from engine.resolver.listeners import ADDRESS, PORT
from tests.timeouts import patient

NET: Final = "n" * 64
OTHER_NET: Final = "m" * 64
REDIRECT: Final = (
    "table ip dns { chain out { type nat hook output priority -100; "
    "ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:61053; "
    "ip daddr 127.0.0.11 tcp dport 53 dnat to 127.0.0.11:61053; }; }"
)


class ResolverUnderTest:
    """An EXEC_ROOT with sandboxes and a driver."""

    def __init__(self, exec_root: Path) -> None:
        self.exec_root = exec_root
        self.resolver = Resolver(exec_root)
        self.sandboxes: list[str] = []

    def path(self, sandbox: str) -> Path:
        return self.exec_root / "netns" / sandbox

    def sandbox(self, name: str, *, redirect: bool = False) -> str:
        def make() -> None:
            netns.leave()
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            if redirect:
                subprocess.run(["nft", REDIRECT], check=True)
            netns.pin(self.path(name))

        netns.on_own_thread(make)
        self.sandboxes.append(name)
        return name

    def inside(self, sandbox: str, *command: str) -> str:
        full = ["nsenter", f"--net={self.path(sandbox)}", *command]
        return subprocess.run(full, capture_output=True, text=True, timeout=patient(20)).stdout

    def dig(self, sandbox: str, *words: str) -> "DigAnswer":
        line = ["dig", f"@{ADDRESS}", "-p", str(PORT), "+tries=1", "+timeout=10", *words]
        return DigAnswer(self.inside(sandbox, *line))

    def socket(self, sandbox: str, kind: int = socket.SOCK_DGRAM) -> socket.socket:
        def make() -> socket.socket:
            netns.enter(self.path(sandbox))
            return socket.socket(socket.AF_INET, kind)

        made = netns.on_own_thread(make)
        made.settimeout(patient(10))
        made.connect((ADDRESS, PORT))
        return made

    @property
    def pid(self) -> int:
        assert self.resolver.pid is not None
        return self.resolver.pid

    def close(self) -> None:
        for sandbox in self.sandboxes:
            netns.unpin(self.path(sandbox))


class DigAnswer:
    """The output of dig."""

    def __init__(self, text: str) -> None:
        self.text = text
        found = re.search(r"status: (\w+)", text)
        self.status = found[1] if found else "none"
        flags = re.search(r";; flags: ([a-z ]*);", text)
        self.flags = flags[1].split() if flags else []
        answers = text.partition(";; ANSWER SECTION:\n")[2].partition("\n\n")[0]
        self.records = [line.split() for line in answers.splitlines()]
        self.values = [record[4] for record in self.records]


@contextlib.asynccontextmanager
async def running(exec_root: Path) -> AsyncIterator[ResolverUnderTest]:
    """Run a driver; at the end the resolver's process ends too, because it is idle."""
    dns = ResolverUnderTest(exec_root)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(dns.resolver.run)
            try:
                with trio.fail_after(patient(60)):
                    yield dns
            finally:
                with trio.move_on_after(patient(5), shield=True):
                    await dns.resolver.set_all((), ())
                nursery.cancel_scope.cancel()
    finally:
        dns.close()


async def configure(
    dns: ResolverUnderTest, *records: HostNames, listeners: tuple[Listener, ...] = ()
) -> None:
    await dns.resolver.set_all(listeners, records)


def host(
    owner: str,
    *addresses: str,
    names: tuple[str, ...] = (),
    network: str = NET,
    network_name: str = "front",
    process: ProcessIdentity | None = None,
) -> HostNames:
    return HostNames(
        owner=owner,
        network=network,
        network_name=network_name,
        names=names or (owner,),
        addresses=tuple(map(ip_address, addresses)),
        process=process,
    )


def identity(pid: int) -> ProcessIdentity:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return ProcessIdentity(pid=pid, start_ticks=int(fields[19]), boot_id=boot_id())


def question(name: str, kind: int = wire.A, number: int = 1) -> bytes:
    travelling = wire.name(name)
    assert travelling is not None
    return (
        struct.pack("!6H", number, wire.RD, 1, 0, 0, 0) + travelling + struct.pack("!2H", kind, 1)
    )


Answerer = Callable[[bytes], bytes | None]


def address_answer(packet: bytes, address: str, flags: int = 0, code: int = 0) -> bytes:
    """Return a server's answer: one address, whatever the question."""
    end = wire.skip_question(packet)
    count = 0 if code or not address else 1
    header = packet[:2] + struct.pack("!5H", wire.QR | wire.RA | flags | code, 1, count, 0, 0)
    record = wire.record(wire.A, 60, socket.inet_aton(address)) if count else b""
    return header + packet[12:end] + record


class FakeServer:
    """A name server inside a sandbox, or here if there is none; keeps the questions. UDP and
    TCP.
    """

    def __init__(
        self, dns: ResolverUnderTest, sandbox: str | None, address: str, answer: Answerer
    ) -> None:
        self.asked: list[bytes] = []
        self.asked_by_tcp: list[bytes] = []
        self.ports: list[int] = []
        self._answer = answer

        def make() -> tuple[socket.socket, socket.socket]:
            if sandbox is not None:
                netns.enter(dns.path(sandbox))
            return socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()

        self._udp, self._tcp = netns.on_own_thread(make)
        self._udp.bind((address, 0))
        self.port = self._udp.getsockname()[1]
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._tcp.bind((address, self.port))
        self._tcp.listen()
        self.name = f"{address}:{self.port}"
        self._threads = [
            threading.Thread(target=self._datagrams),
            threading.Thread(target=self._streams),
        ]
        for thread in self._threads:
            thread.start()

    def _datagrams(self) -> None:
        while True:
            packet, peer = self._udp.recvfrom(65535)
            if not packet:
                return
            self.asked.append(packet)
            self.ports.append(peer[1])
            if (answer := self._answer(packet)) is not None:
                self._udp.sendto(answer, peer)

    def _streams(self) -> None:
        while True:
            connection, _ = self._tcp.accept()
            with connection:
                head = connection.recv(2)
                if len(head) < 2:
                    return
                packet = connection.recv(int.from_bytes(head, "big"))
                self.asked_by_tcp.append(packet)
                if (answer := self._answer(packet)) is not None:
                    connection.sendall(len(answer).to_bytes(2, "big") + answer)

    def close(self, dns: ResolverUnderTest, sandbox: str | None) -> None:
        """End the threads with an empty message each."""

        def poke() -> None:
            if sandbox is not None:
                netns.enter(dns.path(sandbox))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"", self._udp.getsockname())
            socket.create_connection(self._tcp.getsockname()).close()

        netns.on_own_thread(poke)
        for thread in self._threads:
            thread.join()
        self._udp.close()
        self._tcp.close()


@contextlib.contextmanager
def server(
    dns: ResolverUnderTest, sandbox: str | None, answer: Answerer, address: str = "127.0.0.1"
) -> Iterator[FakeServer]:
    made = FakeServer(dns, sandbox, address, answer)
    try:
        yield made
    finally:
        made.close(dns, sandbox)


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110  (there is no event for it)
        await trio.sleep(0.01)


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def elapsed_s(since: float) -> float:
    return time.monotonic() - since
