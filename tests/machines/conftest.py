"""Make the host, its neighbours, and a daemon with four networks, once for all tests of a
module.
"""

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from engine.domain import naming
from engine.domain.ids import SandboxId
from engine.runtime import linux
from tests.api.clients import DOCKER, Client
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest
from tests.kernel.network_world import in_place

HOST: Final = {4: "192.0.2.1", 6: "2001:db8::1"}
CLIENT: Final = {4: "192.0.2.2", 6: "2001:db8::2"}
DEAD_SERVER: Final = "198.51.100.54"
NAME_SERVER: Final = "198.51.100.53"
OTHER_NAME_SERVER: Final = "198.51.100.55"
LONG_TEXT: Final = "far and wide " * 15
NETWORKS: Final = {
    "front": ("--ipv6", "--subnet", "10.71.0.0/24", "--subnet", "fd00:71::/64"),
    "back": ("--ipv6", "--subnet", "10.72.0.0/24", "--subnet", "fd00:72::/64"),
    "inner": ("--internal", "--ipv6", "--subnet", "10.73.0.0/24", "--subnet", "fd00:73::/64"),
    "apart": ("--subnet", "10.74.0.0/24", "-o", "com.docker.network.bridge.enable_icc=false"),
}
PATIENCE_S: Final = "5"
SILENCE_S: Final = "0.3"
"""How long a test waits for packets that must not come; they would take microseconds."""


class Machine:
    """A network namespace; without a process of its own it is the host."""

    def __init__(self, process: "subprocess.Popen[bytes] | None" = None, pin: str = "") -> None:
        self._process = process
        self._at = f"/proc/{process.pid}/ns/net" if process else pin

    def words(self, *command: str) -> list[str]:
        return ["nsenter", f"--net={self._at}", *command] if self._at else [*command]

    def __call__(self, *command: str) -> str:
        """Run a program there, which must succeed; return its output."""
        done = subprocess.run(self.words(*command), check=False, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done}"
        return done.stdout

    def ip(self, line: str) -> None:
        """Run ip(8) there."""
        self("ip", *line.split())

    def started(self, *command: str) -> "subprocess.Popen[bytes]":
        """Start a program there."""
        return subprocess.Popen(
            self.words(*command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )

    def listen(self, port: int) -> socket.socket:
        """Listen there, for callers of both IP versions."""
        make = partial(
            socket.create_server, ("::", port), family=socket.AF_INET6, dualstack_ipv6=True
        )
        server = in_place(self._place, make)
        server.settimeout(float(PATIENCE_S))
        return server

    def call(self, host: str, port: int) -> socket.socket:
        """Connect from there."""
        return in_place(
            self._place, partial(socket.create_connection, (host, port), float(PATIENCE_S))
        )

    @property
    def _place(self) -> Path | None:
        return Path(self._at) if self._at else None

    def fetches(self, host: str, port: int, patience_s: str = SILENCE_S) -> str:
        """Return what curl gets; empty if there is no answer."""
        where = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
        command = self.words("curl", "--silent", "--max-time", patience_s, where)
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout


@dataclass
class Machines:
    """All machines, and the engine."""

    daemon: DaemonUnderTest
    docker: Client
    host: Machine
    client: Machine
    names: Machine

    def run(self, name: str, options: str, *command: str) -> str:
        """Call ``docker run -d``; return the container's ID."""
        words = ("run", "-d", "--name", name, *options.split(), "busybox", *command)
        return self.docker.ok(*words)

    def serve(self, name: str, options: str, port: int = 80) -> str:
        """Run a container that answers with its own name, and logs the callers."""
        script = f"echo {name} > /tmp/index.html; exec httpd -f -vv -p {port} -h /tmp"
        identity = self.run(name, options, "sh", "-c", script)
        inside = self.inside(name)
        eventually(
            partial(inside.fetches, "127.0.0.1", port, PATIENCE_S), f"{name} serves on {port}"
        )
        return identity

    def inside(self, container: str) -> Machine:
        """Return a container's network, for programs that its image lacks."""
        sandbox = self.daemon.api.inspect(container)["NetworkSettings"]["SandboxID"]
        pin = naming.sandbox_path(self.daemon.exec_root, SandboxId(sandbox))
        return Machine(pin=str(pin))

    def says(self, container: str, *command: str) -> str:
        """Return the output of a program in the container, whatever its exit code."""
        return self.daemon.api.exec_output(container, *command)[1].decode()

    def address(self, container: str, network: str, version: int = 4) -> str:
        place = self.daemon.api.inspect(container)["NetworkSettings"]["Networks"][network]
        return str(place["IPAddress" if version == 4 else "GlobalIPv6Address"])


def _machine() -> Machine:
    process = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    own = Path("/proc/self/ns/net").readlink()
    there = Path(f"/proc/{process.pid}/ns/net")
    eventually(lambda: there.readlink() != own, "it has left")
    machine = Machine(process)
    machine.ip("link set lo up")
    return machine


def _cable(host: Machine, machine: Machine, pid: int, name: str) -> None:
    """Link the host with a machine, whose end is ``eth0``."""
    host.ip(f"link add {name} type veth peer name eth0 netns {pid}")
    host.ip(f"link set {name} up")
    machine.ip("link set eth0 up")


@pytest.fixture(scope="module")
def machines(throwaway_namespaces: None) -> Iterator[Machines]:
    place = Path(tempfile.mkdtemp(prefix="sl-"))
    processes: list[subprocess.Popen[bytes]] = []
    try:
        host = Machine()
        client, names = _machine(), _machine()
        processes += [each._process for each in (client, names) if each._process]
        _cable(host, client, processes[0].pid, "wan")
        for where, machine, ends in ((host, "wan", HOST), (client, "eth0", CLIENT)):
            where.ip(f"address add {ends[4]}/24 dev {machine}")
            where.ip(f"address add {ends[6]}/64 dev {machine} nodad")
        client.ip(f"route add default via {HOST[4]}")
        client.ip(f"-6 route add default via {HOST[6]}")
        host.ip("link add lab type bridge")
        host.ip("link set lab up")
        host.ip("address add 198.51.100.1/24 dev lab")
        _cable(host, names, processes[1].pid, "lab0")
        host.ip("link set lab0 master lab")
        names.ip(f"address add {NAME_SERVER}/24 dev eth0")
        names.ip(f"address add {OTHER_NAME_SERVER}/24 dev eth0")
        names.ip("route add default via 198.51.100.1")
        processes += _name_servers(names)
        resolv_conf = place / "resolv.conf"
        resolv_conf.write_text(f"nameserver {DEAD_SERVER}\nnameserver {NAME_SERVER}\n")
        linux.mount(str(resolv_conf), "/etc/resolv.conf", flags=linux.MS_BIND)
        try:
            with DaemonUnderTest(place) as daemon:
                docker = Client(DOCKER, daemon.start().import_busybox().api.socket_path)
                for network, options in NETWORKS.items():
                    docker.ok("network", "create", *options, network)
                yield Machines(daemon, docker, host, client, names)
                docker.ok("network", "rm", *NETWORKS)
                daemon.assert_nothing_leaked()
        finally:
            linux.umount2("/etc/resolv.conf", linux.MNT_DETACH)
    finally:
        for process in processes:
            process.kill()
            process.wait()
        subprocess.run(["ip", "link", "delete", "wan"], check=False)
        subprocess.run(["ip", "link", "delete", "lab"], check=False)
        shutil.rmtree(place)


def _name_servers(names: Machine) -> list["subprocess.Popen[bytes]"]:
    servers = [
        names.started(
            *("dnsmasq", "--no-daemon", "--no-resolv", "--no-hosts", "--conf-file=/dev/null"),
            *(
                "--edns-packet-max=4096",
                "--bind-interfaces",
                f"--listen-address={address}",
                "--except-interface=lo",
            ),
            *(f"--host-record=far.example,{answer},2001:db8:7::7", "--auth-ttl=1"),
            *(f"--txt-record=long.example,{number} {LONG_TEXT}" for number in range(8)),
        )
        for address, answer in ((NAME_SERVER, "203.0.113.7"), (OTHER_NAME_SERVER, "203.0.113.8"))
    ]
    for address in (NAME_SERVER, OTHER_NAME_SERVER):
        asks = ("dig", "+tries=1", "+time=1", f"@{address}", "far.example")
        eventually(partial(names, *asks), "it answers", catch=AssertionError)
    return servers


@pytest.fixture
def around(machines: Machines) -> Iterator[Machines]:
    """Yield the machines; the containers of a test are removed after it."""
    yield machines
    for container in machines.daemon.api.ps():
        machines.daemon.api.remove(container["Id"])
    machines.daemon.assert_settled()
