"""Define sessions with networks, as scripts; addresses that must be the same are checked where they
are seen.
"""

import shlex
from typing import Any, Final

import docker

from tests.api.clients import Done
from tests.conformance.session_recorder import Session, SessionRecorder
from tests.harness.client import Json

IDLE: Final = """busybox sh -c "trap 'exit 7' TERM; while :; do sleep 0.1; done" """
ADDRESSES: Final = "{{range .NetworkSettings.Networks}}{{.IPAddress}}/{{.IPPrefixLen}} {{end}}"


def say(
    recorder: SessionRecorder, line: str, code: int = 0, *, shown: bool = True, ordered: bool = True
) -> Done:
    """Run Docker's command, as typed at a prompt."""
    return recorder.docker(*shlex.split(line), code=code, shown=shown, ordered=ordered)


def run(recorder: SessionRecorder, options: str, code: int = 0) -> None:
    """Run ``docker run -d``, whose output is an ID, or a message that differs between versions of
    Docker.
    """
    say(recorder, f"run -d {options} {IDLE}", code, shown=False)


def make(recorder: SessionRecorder, options: str) -> None:
    say(recorder, f"network create {options}", shown=False)


def families_of_networks(recorder: SessionRecorder) -> None:
    make(recorder, "--label tier=front front")
    make(recorder, "--internal --subnet 10.81.0.0/24 back")
    say(recorder, "network create front", 1)
    say(recorder, "network ls --format '{{.Name}} {{.Driver}} {{.Scope}}'", ordered=False)
    for wanted in (
        *("name=fro", "label=tier", "label=tier=back", "driver=bridge", "driver=null"),
        *("type=custom", "type=builtin", "scope=local", "scope=swarm"),
    ):
        say(recorder, f"network ls --filter {wanted} --format '{{{{.Name}}}}'", ordered=False)
    say(recorder, "network ls --filter type=odd", 1)
    say(recorder, "network inspect --format '{{.Internal}} {{.Labels}} {{.IPAM.Driver}}' back")
    say(recorder, "network inspect nosuch", 1)
    run(recorder, "--name web --network front --network-alias www")
    say(recorder, f"create --name later --network back {IDLE}", shown=False)
    recorder.http("GET", "/networks/front", status=200)
    recorder.http("GET", "/containers/web/json", status=200)
    say(recorder, "network connect --alias site back web")
    say(recorder, "network connect front later")
    say(recorder, "network connect back web", 1)
    say(recorder, "start later")
    say(recorder, "exec web sh -c 'ip -4 addr show eth1 | grep inet'")
    say(recorder, "exec later sh -c 'ip -o link | grep -c eth'")
    say(recorder, "exec later ping -c 1 -q -W 1 site", shown=False)
    say(recorder, "exec later ping -c 1 -q -W 1 www", shown=False)
    recorder.http("GET", "/networks/back", status=200)
    recorder.http("GET", "/containers/later/json", status=200)
    say(recorder, "ps --filter network=back --format '{{.Names}}'")
    say(recorder, "network rm back", 1)
    say(recorder, "network disconnect front later")
    say(recorder, "network disconnect front later", 1)
    say(recorder, "exec later sh -c 'ip -o link | grep -c eth'")
    say(recorder, "network disconnect -f back web")
    say(recorder, "stop -t 3 web")
    say(recorder, "network disconnect back web", 1)
    say(recorder, "stop -t 3 later")
    say(recorder, "network disconnect front web")
    say(recorder, "network prune -f", shown=False)
    say(recorder, "network ls --filter type=custom --format '{{.Name}}'")
    say(recorder, "rm web later")
    say(recorder, "network rm front", 1)
    say(recorder, "network rm bridge", 1)
    recorder.events(ordered=False)


def addresses(recorder: SessionRecorder) -> None:
    def runs(name: str, options: str, at: str) -> None:
        run(recorder, f"--name {name} --network {options}")
        assert say(recorder, f"inspect --format '{ADDRESSES}' {name}").line == f"{at} "

    make(recorder, "--subnet 10.82.0.0/24 plain")
    runs("aa", "plain", at="10.82.0.2/24")
    runs("bb", "plain --ip 10.82.0.4", at="10.82.0.4/24")
    runs("cc", "plain", at="10.82.0.3/24")
    runs("dd", "plain", at="10.82.0.5/24")
    run(recorder, "--name ee --network plain --ip 10.82.0.4", 125)
    run(recorder, "--name ff --network plain --ip 10.83.0.4", 125)
    make(recorder, "--subnet 10.84.0.0/16 --ip-range 10.84.7.0/30 --gateway 10.84.0.9 ranged")
    runs("gg", "ranged", at="10.84.7.0/16")
    runs("hh", "ranged", at="10.84.7.1/16")
    assert "via 10.84.0.9 " in say(recorder, "exec hh ip route show default").out
    make(recorder, "--subnet 10.85.0.0/29 --aux-address router=10.85.0.3 tiny")
    for name, number in (("ii", 2), ("jj", 4), ("kk", 5), ("ll", 6)):
        runs(name, "tiny", at=f"10.85.0.{number}/29")
    run(recorder, "--name mm --network tiny", 125)
    say(recorder, "rm -f jj")
    runs("nn", "tiny", at="10.85.0.4/29")
    recorder.http("GET", "/networks/tiny", status=200)


def links_and_their_options(recorder: SessionRecorder) -> None:
    make(recorder, "mac")
    body: Json = {"Image": "busybox", "Cmd": ["sleep", "60"], "HostConfig": {"NetworkMode": "mac"}}
    body["MacAddress"] = "02:00:00:00:00:99"
    recorder.http("POST", "/v1.41/containers/create", body, status=201, name="aa")
    say(recorder, "start aa")
    shown = say(recorder, "exec aa ip link show eth0", shown=False)
    assert "02:00:00:00:00:99" in shown.out
    mtu, bridge = "com.docker.network.driver.mtu=1400", "com.docker.network.bridge.name=wide0"
    make(recorder, f"-o {mtu} -o {bridge} wide")
    shown = say(recorder, "run --rm --network wide busybox ip link show eth0", shown=False)
    assert "mtu 1400" in shown.out
    say(recorder, "network inspect --format '{{json .Options}}' wide")


def networks_refused(recorder: SessionRecorder) -> None:
    def create(status: int, **body: Any) -> None:
        recorder.http("POST", "/networks/create", {"Name": "pp", **body}, status=status)

    def connect(network: str, container: str, status: int) -> None:
        body = {"Container": container, "EndpointConfig": {}}
        recorder.http("POST", f"/networks/{network}/connect", body, status=status)

    create(404, Driver="foo")
    create(403, Driver="host")
    create(403, Driver="null")
    make(recorder, "--subnet 10.88.0.0/24 one")
    create(403, IPAM={"Config": [{"Subnet": "10.88.0.0/25"}]})
    run(recorder, "--name aa --network one")
    run(recorder, "--name bb --network host")
    run(recorder, "--name cc --network none")
    connect("one", "aa", 403)
    connect("host", "aa", 400)
    connect("one", "bb", 400)
    connect("one", "cc", 400)
    connect("one", "nosuch", 404)
    connect("nosuch", "aa", 404)
    run(recorder, "--network nosuch", 125)
    run(recorder, "--network container:nosuch", 125)
    recorder.http("POST", "/networks/one/disconnect", {"Container": "nosuch"}, status=404)
    recorder.http("POST", "/networks/nosuch/disconnect", {"Container": "aa"}, status=404)
    recorder.http("POST", "/networks/bridge/disconnect", {"Container": "aa"}, status=500)
    recorder.http("POST", "/networks/host/disconnect", {"Container": "bb"}, status=400)
    recorder.http("DELETE", "/networks/one", status=403)
    recorder.http("DELETE", "/networks/host", status=403)
    recorder.http("DELETE", "/networks/nosuch", status=404)


def ports(recorder: SessionRecorder) -> None:
    published = "{{json .NetworkSettings.Ports}}"
    run(recorder, "--name aa -p 8101:80 -p 127.0.0.1:8102:81/tcp -p 8103:82/udp -p 8110-8112:90-92")
    say(recorder, "port aa", ordered=False)
    say(recorder, "port aa 91")
    say(recorder, "port aa 82/udp")
    say(recorder, "port aa 99", 1)
    say(recorder, "ps --filter name=aa --format '{{.Ports}}'")
    recorder.http("GET", "/containers/aa/json", status=200)
    run(recorder, "--name bb -p 8101:80", 125)
    say(recorder, "rm -f bb", shown=False)
    run(recorder, "--name bb -p 8101:80/udp")
    say(recorder, "stop -t 3 aa")
    say(recorder, f"inspect --format '{published}' aa")
    run(recorder, "--name cc -p 127.0.0.1:8102:80")
    say(recorder, "start aa", 1, shown=False)
    say(recorder, "rm -f cc")
    say(recorder, "start aa")
    for words in ("8101:80:90:100", "8101-8103:80-81", "99999:80", "80:80/foo", "300.1.1.1:80:80"):
        run(recorder, f"-p {words}", 125)
    say(recorder, f"create --name ee --expose 70-72 --expose 53/udp -P {IDLE}", shown=False)
    say(recorder, "inspect --format '{{json .Config.ExposedPorts}}' ee")
    say(recorder, "start ee")
    found = say(recorder, "port ee", shown=False).out.splitlines()
    assert {line.split()[0] for line in found} == {"53/udp", "70/tcp", "71/tcp", "72/tcp"}
    assert all(int(line.rpartition(":")[2]) > 1023 for line in found)
    make(recorder, "--internal inside")
    for network in ("none", "host", "inside"):
        run(recorder, f"--name {network} --network {network} --expose 70 -p 8121:80")
        say(recorder, f"inspect --format '{published}' {network}")
        say(recorder, f"ps --filter name={network} --format '{{{{.Ports}}}}'")


def networks_by_program(recorder: SessionRecorder) -> None:
    """Use docker-py's networks."""
    client = docker.DockerClient(base_url=f"unix://{recorder.api.socket_path}", version="1.41")
    idle = ["sleep", "60"]
    try:
        pool = docker.types.IPAMPool("10.89.0.0/24", "10.89.0.64/26", "10.89.0.254")
        ipam = docker.types.IPAMConfig(pool_configs=[pool])
        network = client.networks.create("mesh", "bridge", ipam=ipam, labels={"a": "b"})
        first = client.containers.run("busybox", idle, name="aa", detach=True, network="mesh")
        second = client.containers.create("busybox", idle, name="bb")
        network.connect(second, aliases=["two"], ipv4_address="10.89.0.9")
        second.start()
        for each in (network, first, second):
            each.reload()
        places = [each.attrs["NetworkSettings"]["Networks"]["mesh"] for each in (first, second)]
        assert [each["IPAddress"] for each in places] == ["10.89.0.64", "10.89.0.9"]
        assert "two" in places[1]["Aliases"]
        recorder.keep(
            "a network of docker-py's",
            f"{network.name} {network.attrs['Labels']} {network.attrs['IPAM']['Config']}",
            f"containers {sorted(each.name for each in network.containers)}",
            f"by name {[each.name for each in client.networks.list(names=['mesh'])]}",
            f"by label {[each.name for each in client.networks.list(filters={'label': 'a=b'})]}",
            f"by ID {client.networks.get(network.id).name}",
        )
        network.disconnect(second)
        for each in (first, second):
            each.remove(force=True)
        recorder.keep("pruned", str(client.networks.prune(filters={"label": "a=b"})))
        recorder.keep("left", str(client.networks.list(names=["mesh"])))
    finally:
        client.close()


NETWORK_SESSIONS: Final[tuple[Session, ...]] = (
    families_of_networks,
    addresses,
    links_and_their_options,
    networks_refused,
    ports,
    networks_by_program,
)
