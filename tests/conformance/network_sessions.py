"""What people do with networks, as scripts; addresses that must be the same are checked where they
are seen."""

import shlex
from typing import Any, Final

import docker

from tests.api.clients import Done
from tests.conformance.session_recorder import Session, Stage
from tests.harness.client import Json

IDLE: Final = """busybox sh -c "trap 'exit 7' TERM; while :; do sleep 0.1; done" """
ADDRESSES: Final = "{{range .NetworkSettings.Networks}}{{.IPAddress}}/{{.IPPrefixLen}} {{end}}"


def say(
    stage: Stage, line: str, code: int = 0, *, shown: bool = True, ordered: bool = True
) -> Done:
    """Docker's command as one types it."""
    return stage.docker(*shlex.split(line), code=code, shown=shown, ordered=ordered)


def run(stage: Stage, options: str, code: int = 0) -> None:
    """``docker run -d``, whose only word is an ID or a message that versions of Docker put
    differently."""
    say(stage, f"run -d {options} {IDLE}", code, shown=False)


def make(stage: Stage, options: str) -> None:
    say(stage, f"network create {options}", shown=False)


def families_of_networks(stage: Stage) -> None:
    make(stage, "--label tier=front front")
    make(stage, "--internal --subnet 10.81.0.0/24 back")
    say(stage, "network create front", 1)
    say(stage, "network ls --format '{{.Name}} {{.Driver}} {{.Scope}}'", ordered=False)
    for wanted in (
        *("name=fro", "label=tier", "label=tier=back", "driver=bridge", "driver=null"),
        *("type=custom", "type=builtin", "scope=local", "scope=swarm"),
    ):
        say(stage, f"network ls --filter {wanted} --format '{{{{.Name}}}}'", ordered=False)
    say(stage, "network ls --filter type=odd", 1)
    say(stage, "network inspect --format '{{.Internal}} {{.Labels}} {{.IPAM.Driver}}' back")
    say(stage, "network inspect nosuch", 1)
    run(stage, "--name web --network front --network-alias www")
    say(stage, f"create --name later --network back {IDLE}", shown=False)
    stage.http("GET", "/networks/front", status=200)
    stage.http("GET", "/containers/web/json", status=200)
    say(stage, "network connect --alias site back web")
    say(stage, "network connect front later")
    say(stage, "network connect back web", 1)
    say(stage, "start later")
    say(stage, "exec web sh -c 'ip -4 addr show eth1 | grep inet'")
    say(stage, "exec later sh -c 'ip -o link | grep -c eth'")
    say(stage, "exec later ping -c 1 -q -W 1 site", shown=False)
    say(stage, "exec later ping -c 1 -q -W 1 www", shown=False)
    stage.http("GET", "/networks/back", status=200)
    stage.http("GET", "/containers/later/json", status=200)
    say(stage, "ps --filter network=back --format '{{.Names}}'")
    say(stage, "network rm back", 1)
    say(stage, "network disconnect front later")
    say(stage, "network disconnect front later", 1)
    say(stage, "exec later sh -c 'ip -o link | grep -c eth'")
    say(stage, "network disconnect -f back web")
    say(stage, "stop -t 3 web")
    say(stage, "network disconnect back web", 1)
    say(stage, "stop -t 3 later")
    say(stage, "network disconnect front web")
    say(stage, "network prune -f", shown=False)
    say(stage, "network ls --filter type=custom --format '{{.Name}}'")
    say(stage, "rm web later")
    say(stage, "network rm front", 1)
    say(stage, "network rm bridge", 1)
    stage.events(ordered=False)


def addresses(stage: Stage) -> None:
    def runs(name: str, options: str, at: str) -> None:
        run(stage, f"--name {name} --network {options}")
        assert say(stage, f"inspect --format '{ADDRESSES}' {name}").line == f"{at} "

    make(stage, "--subnet 10.82.0.0/24 plain")
    runs("aa", "plain", at="10.82.0.2/24")
    runs("bb", "plain --ip 10.82.0.4", at="10.82.0.4/24")
    runs("cc", "plain", at="10.82.0.3/24")
    runs("dd", "plain", at="10.82.0.5/24")
    run(stage, "--name ee --network plain --ip 10.82.0.4", 125)
    run(stage, "--name ff --network plain --ip 10.83.0.4", 125)
    make(stage, "--subnet 10.84.0.0/16 --ip-range 10.84.7.0/30 --gateway 10.84.0.9 ranged")
    runs("gg", "ranged", at="10.84.7.0/16")
    runs("hh", "ranged", at="10.84.7.1/16")
    assert "via 10.84.0.9 " in say(stage, "exec hh ip route show default").out
    make(stage, "--subnet 10.85.0.0/29 --aux-address router=10.85.0.3 tiny")
    for name, number in (("ii", 2), ("jj", 4), ("kk", 5), ("ll", 6)):
        runs(name, "tiny", at=f"10.85.0.{number}/29")
    run(stage, "--name mm --network tiny", 125)
    say(stage, "rm -f jj")
    runs("nn", "tiny", at="10.85.0.4/29")
    stage.http("GET", "/networks/tiny", status=200)


def links_and_their_options(stage: Stage) -> None:
    make(stage, "mac")
    body: Json = {"Image": "busybox", "Cmd": ["sleep", "60"], "HostConfig": {"NetworkMode": "mac"}}
    body["MacAddress"] = "02:00:00:00:00:99"
    stage.http("POST", "/v1.41/containers/create", body, status=201, name="aa")
    say(stage, "start aa")
    shown = say(stage, "exec aa ip link show eth0", shown=False)
    assert "02:00:00:00:00:99" in shown.out
    mtu, bridge = "com.docker.network.driver.mtu=1400", "com.docker.network.bridge.name=wide0"
    make(stage, f"-o {mtu} -o {bridge} wide")
    shown = say(stage, "run --rm --network wide busybox ip link show eth0", shown=False)
    assert "mtu 1400" in shown.out
    say(stage, "network inspect --format '{{json .Options}}' wide")


def networks_refused(stage: Stage) -> None:
    def create(status: int, **body: Any) -> None:
        stage.http("POST", "/networks/create", {"Name": "pp", **body}, status=status)

    def connect(network: str, container: str, status: int) -> None:
        body = {"Container": container, "EndpointConfig": {}}
        stage.http("POST", f"/networks/{network}/connect", body, status=status)

    create(404, Driver="foo")
    create(403, Driver="host")
    create(403, Driver="null")
    make(stage, "--subnet 10.88.0.0/24 one")
    create(403, IPAM={"Config": [{"Subnet": "10.88.0.0/25"}]})
    run(stage, "--name aa --network one")
    run(stage, "--name bb --network host")
    run(stage, "--name cc --network none")
    connect("one", "aa", 403)
    connect("host", "aa", 400)
    connect("one", "bb", 400)
    connect("one", "cc", 400)
    connect("one", "nosuch", 404)
    connect("nosuch", "aa", 404)
    run(stage, "--network nosuch", 125)
    run(stage, "--network container:nosuch", 125)
    stage.http("POST", "/networks/one/disconnect", {"Container": "nosuch"}, status=404)
    stage.http("POST", "/networks/nosuch/disconnect", {"Container": "aa"}, status=404)
    stage.http("POST", "/networks/bridge/disconnect", {"Container": "aa"}, status=500)
    stage.http("POST", "/networks/host/disconnect", {"Container": "bb"}, status=400)
    stage.http("DELETE", "/networks/one", status=403)
    stage.http("DELETE", "/networks/host", status=403)
    stage.http("DELETE", "/networks/nosuch", status=404)


def ports(stage: Stage) -> None:
    published = "{{json .NetworkSettings.Ports}}"
    run(stage, "--name aa -p 8101:80 -p 127.0.0.1:8102:81/tcp -p 8103:82/udp -p 8110-8112:90-92")
    say(stage, "port aa", ordered=False)
    say(stage, "port aa 91")
    say(stage, "port aa 82/udp")
    say(stage, "port aa 99", 1)
    say(stage, "ps --filter name=aa --format '{{.Ports}}'")
    stage.http("GET", "/containers/aa/json", status=200)
    run(stage, "--name bb -p 8101:80", 125)
    say(stage, "rm -f bb", shown=False)
    run(stage, "--name bb -p 8101:80/udp")
    say(stage, "stop -t 3 aa")
    say(stage, f"inspect --format '{published}' aa")
    run(stage, "--name cc -p 127.0.0.1:8102:80")
    say(stage, "start aa", 1, shown=False)
    say(stage, "rm -f cc")
    say(stage, "start aa")
    for words in ("8101:80:90:100", "8101-8103:80-81", "99999:80", "80:80/foo", "300.1.1.1:80:80"):
        run(stage, f"-p {words}", 125)
    say(stage, f"create --name ee --expose 70-72 --expose 53/udp -P {IDLE}", shown=False)
    say(stage, "inspect --format '{{json .Config.ExposedPorts}}' ee")
    say(stage, "start ee")
    found = say(stage, "port ee", shown=False).out.splitlines()
    assert {line.split()[0] for line in found} == {"53/udp", "70/tcp", "71/tcp", "72/tcp"}
    assert all(int(line.rpartition(":")[2]) > 1023 for line in found)
    make(stage, "--internal inside")
    for network in ("none", "host", "inside"):
        run(stage, f"--name {network} --network {network} --expose 70 -p 8121:80")
        say(stage, f"inspect --format '{published}' {network}")
        say(stage, f"ps --filter name={network} --format '{{{{.Ports}}}}'")


def networks_by_program(stage: Stage) -> None:
    """docker-py's networks."""
    client = docker.DockerClient(base_url=f"unix://{stage.api.socket_path}", version="1.41")
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
        stage.keep(
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
        stage.keep("pruned", str(client.networks.prune(filters={"label": "a=b"})))
        stage.keep("left", str(client.networks.list(names=["mesh"])))
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
