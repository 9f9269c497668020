"""Make a small world of network namespaces for tests: a host, containers, and an outside machine
without a route back.

    container .2 ─┐
    container .3 ─┴─ bridge 172.17.0.1/16 · host · wan 192.0.2.1 ────── 192.0.2.2 outside

The host is the network namespace of the test's own thread, made for the test; other places are
paths of pinned namespaces. A socket belongs to the namespace in which it was made, so one made by a
thread inside can be used from here: packets really travel, and no process is started for them.
"""

import json
import os
import select
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from engine.domain import naming
from engine.domain.container.attachment import mac_address
from engine.domain.ids import InstanceId, SandboxId
from engine.drivers.networks import link_kinds, netns, rtnetlink
from engine.drivers.networks.bridge import Bridge
from engine.drivers.networks.firewall import Firewall
from engine.drivers.networks.netlink import NetlinkSocket
from engine.drivers.networks.sandbox import Endpoint, Sandbox
from engine.drivers.networks.sandbox_driver import NetworkDriver
from engine.drivers.networks.watch import Watch
from engine.runtime import linux

INSTANCE: Final = InstanceId("c0ffee" + "0" * 26)
BRIDGE: Final = Bridge("sltest0", (IPv4Interface("172.17.0.1/16"),))
OTHER_BRIDGE: Final = Bridge("sltest1", (IPv4Interface("172.18.0.1/16"),))
WAN: Final = IPv4Interface("192.0.2.1/24")
OUTSIDE: Final = IPv4Interface("192.0.2.2/24")
PATIENCE_S: Final = 5.0
"""Longer than any expected event takes."""
SILENCE_S: Final = 0.15
"""How long a test waits for packets that must not come; they would take microseconds."""

T = TypeVar("T")


def sandbox(number: int, bridge: Bridge = BRIDGE) -> Sandbox:
    """Return the sandbox with the ``number``-th address of a bridge's subnet."""
    address = IPv4Interface(
        (bridge.addresses[0].network[number], bridge.addresses[0].network.prefixlen)
    )
    endpoint = Endpoint(
        bridge=bridge.name,
        slot=0,
        addresses=(address,),
        mac=mac_address(str(address)),
        icc=bridge.icc,
        gateways=(bridge.addresses[0].ip,),
    )
    name = f"{number:04x}{bridge.addresses[0].packed[1]:03x}".ljust(16, "e")
    return Sandbox(SandboxId(name), (endpoint,))


def in_place(place: Path | None, function: Callable[[], T]) -> T:
    """Call ``function`` there; ``None`` is the host."""
    if place is None:
        return function()

    def visit() -> T:
        netns.enter(place)
        return function()

    return netns.on_own_thread(visit)


def witness(place: Path | None, *question: str) -> list[dict[str, Any]]:
    """Return iproute2's view of the network there: it shares no code with the engine."""
    command = ("ip", "-json", "-details", *question)
    answer = in_place(
        place, lambda: subprocess.run(command, capture_output=True, text=True, check=True)
    )
    found: list[dict[str, Any]] = json.loads(answer.stdout or "[]")
    return found


def bind(
    place: Path | None, port: int, address: str = "0.0.0.0", kind: int = socket.SOCK_STREAM
) -> socket.socket:
    """Listen there."""
    server = in_place(place, lambda: socket.socket(socket.AF_INET, kind))
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, port))
    server.settimeout(PATIENCE_S)
    if kind == socket.SOCK_STREAM:
        server.listen()
    return server


def talk(server: socket.socket, place: Path | None, address: str, port: int) -> str:
    """Call ``address`` from ``place``, exchange a word each way; return the caller's address as the
    server sees it.
    """
    with in_place(place, lambda: socket.socket(socket.AF_INET, server.type)) as client:
        client.settimeout(PATIENCE_S)
        client.connect((address, port))
        if server.type == socket.SOCK_DGRAM:
            client.send(b"ping")
            word, caller = server.recvfrom(16)
            server.sendto(b"pong", caller)
            assert (word, client.recv(16)) == (b"ping", b"pong")
            return str(caller[0])
        line, caller = server.accept()
        with line:
            line.settimeout(PATIENCE_S)
            client.sendall(b"ping")
            assert line.recv(16) == b"ping"
            line.sendall(b"pong")
            assert client.recv(16) == b"pong"
        return str(caller[0])


def can_call(place: Path | None, address: str, port: int) -> bool:
    """True if a connection is accepted."""
    with in_place(place, lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as client:
        client.settimeout(SILENCE_S)
        try:
            client.connect((address, port))
        except OSError:
            return False
        return True


def wait_until(true: Callable[[], bool], watch: Watch) -> None:
    """Wait for a condition in the kernel, checking again after each notice of a change."""
    poll = select.poll()
    poll.register(watch.fileno(), select.POLLIN)
    while not true():
        assert poll.poll(PATIENCE_S * 1000), "nothing happens any more"
        watch.drain()


@dataclass
class World:
    """The objects of a test: host, driver, places."""

    exec_root: Path
    network: NetworkDriver
    firewall: Firewall
    kernel: NetlinkSocket

    def container(self, number: int, bridge: Bridge = BRIDGE) -> Path:
        """Return the place of a prepared container."""
        wanted = sandbox(number, bridge)
        self.network.prepare_sandbox(wanted)
        return self.place(wanted)

    def faults(self, wanted: Sandbox) -> tuple[str, ...]:
        """Return what is wrong with a sandbox, inside and outside, in words."""
        find, looks = partial(rtnetlink.find_link, self.network._kernel), self.network._looks
        looks._look(find, (wanted,), {wanted.id})
        return looks._looks[wanted.id].faults

    def place(self, wanted: Sandbox) -> Path:
        """Return the path where a sandbox is pinned."""
        return naming.sandbox_path(self.exec_root, wanted.id)

    def outside(self) -> Path:
        """Return another machine, on the host's uplink."""
        place = self.exec_root / "outside"

        def settle() -> None:
            netns.leave()
            own_fd = netns.open_own()
            pair = link_kinds.create_veth("wan", "eth0", mac_address(str(OUTSIDE.ip)), own_fd, 1500)
            self.kernel.transact([pair])
            os.close(own_fd)
            with NetlinkSocket() as inside:
                _address(inside, "eth0", OUTSIDE)
            netns.pin(place)

        netns.on_own_thread(settle)
        _address(self.kernel, "wan", WAN)
        return place

    def links(self) -> set[str]:
        """Return the names of the host's links."""
        return {link.name for link in rtnetlink.links(self.kernel)}

    def mounts(self) -> list[str]:
        """Return the mounts below the exec root."""
        lines = Path("/proc/thread-self/mountinfo").read_text().splitlines()
        return [line for line in lines if str(self.exec_root) in line]


def _address(kernel: NetlinkSocket, name: str, address: IPv4Interface) -> None:
    link = rtnetlink.find_link(kernel, name)
    assert link is not None
    kernel.transact(
        [
            rtnetlink.change_link(link.index, up=True),
            rtnetlink.add_address(link.index, address),
        ]
    )


def add_default_route(place: Path, gateway: IPv4Address) -> None:
    """Give a machine a default gateway."""

    def add() -> None:
        with NetlinkSocket() as inside:
            link = rtnetlink.find_link(inside, "eth0")
            assert link is not None
            inside.transact([rtnetlink.replace_default_route(link.index, gateway)])

    in_place(place, add)


@contextmanager
def new_world(exec_root: Path) -> Iterator[World]:
    """Make a host with nothing but ``lo``, and check that nothing of it stays mounted."""
    if os.geteuid() != 0:
        pytest.skip("making network namespaces needs root")
    linux.unshare(linux.CLONE_NEWNET | linux.CLONE_NEWNS)
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    with NetlinkSocket() as kernel:
        kernel.transact([rtnetlink.change_link(rtnetlink.LOOPBACK_INDEX, up=True)])
        world = World(exec_root, NetworkDriver(INSTANCE, exec_root), Firewall(INSTANCE), kernel)
        yield world
        world.network.remove_sandboxes(world.network.owned_sandboxes())
        world.network.close()
        world.firewall.close()
    netns.unpin(exec_root / "outside")
    assert world.mounts() == []
