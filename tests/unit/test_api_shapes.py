"""Test answers to clients against the fields that the v1.51 document lists."""

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from engine.api.containers.show import (
    JsonContext,
    docker_phase,
    inspect_json,
    status_text,
    summary_json,
)
from engine.api.images.show import image_history_json, image_inspect_json, image_summary_json
from engine.api.networks.show import network_json
from engine.api.times import Moment
from engine.domain.container.attachment import Endpoint
from engine.domain.container.events import ProcessIdentity
from engine.domain.container.mounts import Bind
from engine.domain.container.phases import Phase
from engine.domain.container.spec import Membership, PortBinding, Spec
from engine.domain.container.state import Container
from engine.domain.ids import ChainId, ContainerId, DiffId, Digest, ExecId, ImageId, NetworkId
from engine.domain.image.config import HistoryEntry, ImageContents, ImageLayer
from engine.domain.image.state import Image
from engine.domain.image.state import Phase as ImagePhase
from engine.domain.network.state import DEFAULT_BRIDGE_OPTION, Network, Pool

SECOND = 10**9
ID = ContainerId("c" * 64)
IMAGE_ID = ImageId("sha256:" + "1" * 64)
NETWORK = Network(
    id=NetworkId("b" * 64),
    name="bridge",
    driver="bridge",
    created_ns=SECOND,
    bridge="br0",
    ipv4=Pool(subnet="172.17.0.0/16", gateway="172.17.0.1"),
    options={DEFAULT_BRIDGE_OPTION: "true"},
)
LAYERS = tuple(
    ImageLayer(
        diff_id=DiffId(f"sha256:{digit * 64}"), chain_id=ChainId(f"sha256:{digit * 64}"), blob=Digest(f"sha256:{digit * 64}"),
        blob_bytes=1, size_bytes=size,
    )
    for digit, size in (("2", 10), ("3", 20))
)  # fmt: skip
IMAGE = Image(
    phase=ImagePhase.PRESENT,
    references=("docker.io/library/busybox:latest", "registry.example/team/app:1"),
    contents=ImageContents(
        id=IMAGE_ID,
        config_bytes=1,
        created="2026-11-23T19:02:10.650552076Z",
        architecture="amd64",
        os="linux",
        layers=LAYERS,
        history=(
            HistoryEntry(created="2026-11-23T19:02:10Z", created_by="base"),
            HistoryEntry(created_by="ENV", empty_layer=True),
            HistoryEntry(created_by="top"),
        ),
    ),
)
SPEC = Spec(
    image="busybox",
    image_id=IMAGE_ID,
    command=("sh", "-c", "echo 'a b'"),
    labels={"a": "b"},
    exposed_ports=("80/tcp", "81/tcp"),
    binds=(Bind(source="/a", destination="/b", mode="ro", read_only=True),),
    ports=(PortBinding(container_port=80),),
)
CREATED = Container(
    id=ID,
    name="web",
    spec=SPEC,
    created_ns=100 * SECOND,
    networks=(Membership(name="bridge"),),
)
RUNNING = replace(
    CREATED,
    phase=Phase.RUNNING,
    run=1,
    process=ProcessIdentity(pid=42, start_ticks=1, boot_id="b"),
    endpoints=(
        Endpoint(
            network=NETWORK.id,
            name="bridge",
            address="172.17.0.2/16",
            gateway="172.17.0.1",
            mac="02:42:ac:11:00:02",
        ),
    ),
    ports=(PortBinding(container_port=80, host_port=8080),),
    started_ns=110 * SECOND,
    started_boot_ns=10 * SECOND,
)
EXITED = replace(RUNNING, phase=Phase.EXITED, process=None, exit_code=7, finished_ns=115 * SECOND)
CONTEXT = JsonContext(
    data_root=Path("/data"), exec_root=Path("/run"), networks={NETWORK.id: NETWORK}, images={IMAGE_ID: IMAGE},
    moment=Moment(wall_ns=120 * SECOND, boot_ns=310 * SECOND), link_names=lambda _: (),
)  # fmt: skip

SUMMARY_FIELDS = "Id Names Image ImageID Command Created Ports Labels State Status HostConfig NetworkSettings Mounts"
INSPECT_FIELDS = (
    "Id Created Path Args State Image ResolvConfPath HostnamePath HostsPath LogPath Name RestartCount Driver Platform MountLabel"
    " ProcessLabel AppArmorProfile ExecIDs HostConfig GraphDriver Mounts Config NetworkSettings"
)
STATE_FIELDS = (
    "Status Running Paused Restarting OOMKilled Dead Pid ExitCode Error StartedAt FinishedAt"
)
HOST_CONFIG_FIELDS = (
    "CpuShares Memory CgroupParent BlkioWeight BlkioWeightDevice BlkioDeviceReadBps BlkioDeviceWriteBps BlkioDeviceReadIOps"
    " BlkioDeviceWriteIOps CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime CpusetCpus CpusetMems Devices DeviceCgroupRules"
    " DeviceRequests MemoryReservation MemorySwap MemorySwappiness NanoCpus OomKillDisable PidsLimit Ulimits CpuCount CpuPercent"
    " IOMaximumIOps IOMaximumBandwidth Binds ContainerIDFile LogConfig NetworkMode PortBindings RestartPolicy AutoRemove"
    " VolumeDriver VolumesFrom ConsoleSize CapAdd CapDrop CgroupnsMode Dns DnsOptions DnsSearch ExtraHosts GroupAdd IpcMode Cgroup"
    " Links OomScoreAdj PidMode Privileged PublishAllPorts ReadonlyRootfs SecurityOpt UTSMode UsernsMode ShmSize Runtime Isolation"
    " MaskedPaths ReadonlyPaths"
)
CONFIG_FIELDS = (
    "Hostname Domainname User AttachStdin AttachStdout AttachStderr ExposedPorts Tty OpenStdin StdinOnce Env Cmd Image Volumes"
    " WorkingDir Entrypoint OnBuild Labels StopSignal"
)
NETWORK_SETTINGS_FIELDS = (
    "Bridge SandboxID HairpinMode LinkLocalIPv6Address LinkLocalIPv6PrefixLen Ports SandboxKey SecondaryIPAddresses"
    " SecondaryIPv6Addresses EndpointID Gateway GlobalIPv6Address GlobalIPv6PrefixLen IPAddress IPPrefixLen IPv6Gateway MacAddress"
    " Networks"
)
ENDPOINT_FIELDS = (
    "IPAMConfig Links MacAddress Aliases DriverOpts GwPriority NetworkID EndpointID Gateway IPAddress IPPrefixLen IPv6Gateway"
    " GlobalIPv6Address GlobalIPv6PrefixLen DNSNames"
)


def has_fields(shown: dict[str, Any], fields: str) -> bool:
    return set(shown) == set(fields.split())


def test_inspect_has_every_field_of_the_document() -> None:
    shown = inspect_json(RUNNING, CONTEXT, [ExecId("e" * 64)])

    assert has_fields(shown, INSPECT_FIELDS)
    assert has_fields(shown["State"], STATE_FIELDS)
    assert has_fields(shown["HostConfig"], HOST_CONFIG_FIELDS)
    assert has_fields(shown["Config"], CONFIG_FIELDS)
    assert has_fields(shown["NetworkSettings"], NETWORK_SETTINGS_FIELDS)
    assert has_fields(shown["NetworkSettings"]["Networks"]["bridge"], ENDPOINT_FIELDS)


def test_inspect_shows_the_container() -> None:
    shown = inspect_json(RUNNING, CONTEXT, [])

    assert (shown["Path"], shown["Args"]) == ("sh", ["-c", "echo 'a b'"])
    assert shown["State"]["Pid"] == 42
    assert shown["State"]["FinishedAt"] == "0001-01-01T00:00:00Z"
    assert shown["LogPath"] == f"/data/containers/{ID}/{ID}-json.log"
    assert shown["NetworkSettings"]["IPAddress"] == "172.17.0.2"
    assert shown["NetworkSettings"]["Ports"] == {
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}],
        "81/tcp": None,
    }
    assert shown["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostIp": "", "HostPort": ""}]}
    assert shown["HostConfig"]["Binds"] == ["/a:/b:ro"]
    assert (
        shown["GraphDriver"]["Data"]["LowerDir"]
        == f"/data/layers/{'3' * 24}:/data/layers/{'2' * 24}"
    )


def test_a_container_without_a_process_has_no_address_but_keeps_its_requests() -> None:
    shown = inspect_json(EXITED, CONTEXT, [])

    assert shown["State"]["Pid"] == 0
    assert shown["NetworkSettings"]["IPAddress"] == ""
    assert shown["NetworkSettings"]["Ports"] == {}
    assert shown["HostConfig"]["PortBindings"] == {"80/tcp": [{"HostIp": "", "HostPort": ""}]}


def test_the_list_has_dockers_fields() -> None:
    shown = summary_json(RUNNING, CONTEXT)

    assert has_fields(shown, SUMMARY_FIELDS)
    assert shown["Command"] == "sh -c 'echo 'a b''"
    assert shown["Ports"] == [
        {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"PrivatePort": 81, "Type": "tcp"},
    ]
    assert shown["Status"] == "Up 5 minutes"


def test_every_phase_has_dockers_words() -> None:
    moment = CONTEXT.moment
    words = {phase: status_text(replace(EXITED, phase=phase), moment) for phase in Phase}

    assert words[Phase.PAUSED] == "Up 5 minutes (Paused)"
    assert words[Phase.RESTARTING] == "Restarting (7) 5 seconds ago"
    assert words[Phase.EXITED] == "Exited (7) 5 seconds ago"
    assert (words[Phase.REMOVING], words[Phase.DEAD]) == ("Removal In Progress", "Dead")
    assert status_text(CREATED, moment) == "Created"
    assert docker_phase(replace(CREATED, phase=Phase.STARTING)) == "created"
    assert docker_phase(replace(EXITED, phase=Phase.STARTING)) == "exited"


def test_images_are_shown_under_the_names_people_gave_them() -> None:
    summary = image_summary_json(IMAGE, (1, 51))

    assert summary["RepoTags"] == ["busybox:latest", "registry.example/team/app:1"]
    assert (summary["Size"], summary["Created"]) == (30, 1_795_460_530)
    assert "VirtualSize" not in summary
    assert image_summary_json(IMAGE, (1, 40))["VirtualSize"] == 30
    nameless = replace(IMAGE, references=())
    assert image_summary_json(nameless, (1, 51))["RepoTags"] == []
    assert image_summary_json(nameless, (1, 42))["RepoTags"] == ["<none>:<none>"]
    assert image_inspect_json(IMAGE, (1, 51), Path("/data"))["RootFS"]["Layers"] == [
        layer.diff_id for layer in LAYERS
    ]


def test_the_history_of_an_image_gives_layers_their_sizes_and_empty_steps_none() -> None:
    steps = image_history_json(IMAGE)

    assert [(step["CreatedBy"], step["Size"]) for step in steps] == [
        ("top", 20),
        ("ENV", 0),
        ("base", 10),
    ]
    assert [step["Id"] for step in steps] == [IMAGE_ID, "<missing>", "<missing>"]


def test_a_network_lists_who_runs_in_it() -> None:
    shown = network_json(NETWORK, [RUNNING, EXITED])

    assert list(shown["Containers"]) == [ID]
    assert shown["Containers"][ID]["IPv4Address"] == "172.17.0.2/16"
    assert shown["IPAM"]["Config"] == [{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}]
