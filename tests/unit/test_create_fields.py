"""Test every field of Docker's Config, HostConfig and NetworkingConfig: applied and shown again,
warned about, or refused.

The table is compared with the shape of the body, so that no field can be read without an effect.
Run ``python -m tests.conformance.compare`` with Docker's document to see which fields Docker has
beyond these.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import pytest

from engine.api.containers.show import config_json
from engine.api.containers.show_host_config import host_config_json
from engine.api.containers.spec.body import CreateWire, EndpointWire, HostConfigWire
from engine.api.containers.spec.create import spec_of
from engine.api.containers.spec.mounts import (
    BindOptionsWire,
    ImageOptionsWire,
    MountWire,
    TmpfsOptionsWire,
    VolumeOptionsWire,
)
from engine.api.http.json_bodies import Wire, decode_json
from engine.domain.container.mounts import AskedBy, Bind
from engine.domain.container.spec import Spec
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId, ImageId
from engine.domain.image.config import ImageConfig, ImageContents
from engine.domain.image.state import Image, Phase
from engine.errors import EngineError, Kind, NotFound

OWNER: Final = ContainerId("a" * 64)
INVALID, UNSUPPORTED = Kind.INVALID, Kind.UNSUPPORTED


class Shown:
    """Another form in which ``inspect`` shows a value."""

    def __init__(self, value: Any) -> None:
        self.value = value


class Warned(str):
    """A word of the warning that a value gets."""


@dataclass(frozen=True)
class Case:
    """A value, and its effect: shown unchanged unless it says otherwise."""

    value: Any
    outcome: Shown | Warned | Kind | None = None


CONFIG: Final[dict[str, Case]] = {
    "Hostname": Case("box"),
    "Domainname": Case("example"),
    "User": Case("1:2"),
    "AttachStdin": Case(True),
    "AttachStdout": Case(True),
    "AttachStderr": Case(True),
    "ExposedPorts": Case({"80/tcp": {}}),
    "Tty": Case(True),
    "OpenStdin": Case(True),
    "StdinOnce": Case(True),
    "Env": Case(["A=b"]),
    "Cmd": Case(["true"]),
    "Healthcheck": Case({"Test": ["CMD", "true"]}, Shown({"Test": ["CMD", "true"]})),
    "ArgsEscaped": Case(True),
    "Image": Case("other"),
    "Volumes": Case({"/data": {}}, Warned("Volumes are not supported yet. /data")),
    "WorkingDir": Case("/a/../b/", Shown("/b")),
    "Entrypoint": Case(["/entry"]),
    "NetworkDisabled": Case(True),
    "MacAddress": Case("02:42:ac:11:00:02", Warned("MacAddress field is now deprecated")),
    "OnBuild": Case(["RUN x"]),
    "Labels": Case({"a": "b"}),
    "StopSignal": Case("SIGUSR1"),
    "StopTimeout": Case(3),
    "Shell": Case(["/bin/ash"]),
}
HOST_CONFIG: Final[dict[str, Case]] = {
    "Annotations": Case({"a": "b"}),
    "AutoRemove": Case(True),
    "Binds": Case(["/a:/b:ro,rslave", "/c:/d"]),
    "BlkioDeviceReadBps": Case([{"Path": "/dev/sda", "Rate": 1000}]),
    "BlkioDeviceReadIOps": Case([{"Path": "/dev/sda", "Rate": 1000}]),
    "BlkioDeviceWriteBps": Case([{"Path": "/dev/sda", "Rate": 1000}]),
    "BlkioDeviceWriteIOps": Case([{"Path": "/dev/sda", "Rate": 1000}]),
    "BlkioWeight": Case(300),
    "BlkioWeightDevice": Case([{"Path": "/dev/sda", "Weight": 300}]),
    "CapAdd": Case(["CAP_SYS_TIME"]),
    "CapDrop": Case(["CAP_CHOWN"]),
    "Cgroup": Case("container:other", INVALID),
    "CgroupParent": Case("/parent"),
    "CgroupnsMode": Case("host"),
    "ConsoleSize": Case([24, 80]),
    "ContainerIDFile": Case("/id"),
    "CpuCount": Case(1, Warned("CPU count")),
    "CpuPercent": Case(1, Warned("CPU percent")),
    "CpuPeriod": Case(100_000),
    "CpuQuota": Case(50_000),
    "CpuRealtimePeriod": Case(1000),
    "CpuRealtimeRuntime": Case(900),
    "CpuShares": Case(512),
    "CpusetCpus": Case("0"),
    "CpusetMems": Case("0"),
    "DeviceCgroupRules": Case(["c 1:3 rwm"]),
    "DeviceRequests": Case(
        [
            {
                "Driver": "nvidia",
                "Count": 0,
                "DeviceIDs": ["0"],
                "Capabilities": [["gpu"]],
                "Options": {"a": "b"},
            }
        ]
    ),
    "Devices": Case(
        [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/n", "CgroupPermissions": "rwm"}]
    ),
    "Dns": Case(["192.0.2.1"]),
    "DnsOptions": Case(["ndots:2"]),
    "DnsSearch": Case(["example"]),
    "ExtraHosts": Case(["a:192.0.2.1", "b:host-gateway"]),
    "GroupAdd": Case(["audio", "7"]),
    "IOMaximumBandwidth": Case(1, INVALID),
    "IOMaximumIOps": Case(1, INVALID),
    "Init": Case(True),
    "IpcMode": Case("container:owner_of", Shown(f"container:{OWNER}")),
    "Isolation": Case("hyperv", INVALID),
    "Links": Case(["other:alias"], INVALID),
    "KernelMemory": Case(1 << 20, Warned("kernel memory limit")),
    "KernelMemoryTCP": Case(1 << 20, Warned("kernel memory TCP")),
    "LogConfig": Case({"Type": "json-file", "Config": {"max-file": "3", "max-size": "1m"}}),
    "MaskedPaths": Case(["/proc/kcore"]),
    "Memory": Case(64 << 20),
    "MemoryReservation": Case(32 << 20),
    "MemorySwap": Case(128 << 20),
    "MemorySwappiness": Case(10),
    "Mounts": Case(
        [
            {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True},
            {"Type": "tmpfs", "Target": "/c"},
        ]
    ),
    "NanoCpus": Case(500_000_000),
    "NetworkMode": Case("none"),
    "OomKillDisable": Case(True),
    "OomScoreAdj": Case(10),
    "PidMode": Case("container:owner_of", Shown(f"container:{OWNER}")),
    "PidsLimit": Case(10),
    "PortBindings": Case({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8000-8010"}]}),
    "Privileged": Case(True),
    "PublishAllPorts": Case(True),
    "ReadonlyPaths": Case([]),
    "ReadonlyRootfs": Case(True),
    "RestartPolicy": Case({"Name": "on-failure", "MaximumRetryCount": 3}),
    "Runtime": Case("runc"),
    "SecurityOpt": Case(["no-new-privileges", "seccomp=unconfined", "label:disable"]),
    "ShmSize": Case(1 << 20),
    "StorageOpt": Case({"size": "1G"}, INVALID),
    "Sysctls": Case({"net.ipv4.ip_forward": "1"}),
    "Tmpfs": Case({"/run": "size=1m"}),
    "UTSMode": Case("host"),
    "Ulimits": Case([{"Name": "nofile", "Soft": 10, "Hard": 20}]),
    "UsernsMode": Case("host"),
    "VolumeDriver": Case("other", UNSUPPORTED),
    "VolumesFrom": Case(["owner_of:ro"]),
}
ENDPOINT: Final[dict[str, Case]] = {
    "IPAMConfig": Case({"IPv4Address": "172.17.0.9"}, INVALID),
    "Links": Case(["other:alias"]),
    "MacAddress": Case("02:42:ac:11:00:02"),
    "Aliases": Case(["other"], INVALID),
    "DriverOpts": Case({"a": "b"}),
    "GwPriority": Case(1),
}
MOUNT: Final[dict[str, Case]] = {
    "Type": Case("bind"),
    "Source": Case("/other"),
    "Target": Case("/other"),
    "ReadOnly": Case(True),
    "Consistency": Case("cached"),
    "BindOptions.Propagation": Case("rslave"),
    "BindOptions.NonRecursive": Case(True),
    "BindOptions.CreateMountpoint": Case(True),
    "BindOptions.ReadOnlyNonRecursive": Case(True),
    "BindOptions.ReadOnlyForceRecursive": Case(True),
    "VolumeOptions.NoCopy": Case(True, INVALID),
    "VolumeOptions.Labels": Case({}, INVALID),
    "VolumeOptions.DriverConfig": Case({}, INVALID),
    "VolumeOptions.Subpath": Case("a", INVALID),
    "ImageOptions.Subpath": Case("a", INVALID),
    "TmpfsOptions.SizeBytes": Case(1000),
    "TmpfsOptions.Mode": Case(0o700),
    "TmpfsOptions.Options": Case([["noexec"], ["uid", "5"]]),
}


def fields_of(shape: type[Wire]) -> dict[str, Any]:
    """Return the types by the names that clients write."""
    return {field.encode_name: field.type for field in msgspec.structs.fields(shape)}


def owner_of(reference: str) -> Container:
    if reference != "owner_of":
        raise NotFound(f"No such container: {reference}")
    binds = (Bind(source="/shared", destination="/shared"),)
    spec = Spec(image="busybox", image_id=ImageId(""), binds=binds)
    return Container(id=OWNER, name="owner_of", spec=spec, created_ns=0)


def created(body: dict[str, Any]) -> tuple[Spec, tuple[str, ...]]:
    contents = ImageContents(
        id=ImageId("sha256:" + "1" * 64),
        config_bytes=1,
        created="",
        architecture="amd64",
        os="linux",
        config=ImageConfig(cmd=("/bin/sh",)),
    )
    image = Image(phase=Phase.PRESENT, contents=contents)
    asked = decode_json(json.dumps({"Image": "busybox", **body}).encode(), CreateWire)
    return spec_of(asked, image, owner_of)


def shown(spec: Spec) -> dict[str, Any]:
    """Return Config and HostConfig, as a client would read them."""
    container = Container(id=ContainerId("b" * 64), name="x", spec=spec, created_ns=0)
    both = {**config_json(container), **host_config_json(spec)}
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(both))
    return found


def check(body: dict[str, Any], field: str, case: Case) -> None:
    match case.outcome:
        case Kind():
            with pytest.raises(EngineError) as refusal:
                created(body)
            assert refusal.value.kind is case.outcome
            assert str(refusal.value)
        case Warned():
            assert any(case.outcome in warning for warning in created(body)[1])
        case _:
            spec, warnings = created(body)
            assert spec != created({})[0], "the field has no effect"
            assert msgspec.json.decode(msgspec.json.encode(spec), type=Spec) == spec
            wanted = case.outcome.value if isinstance(case.outcome, Shown) else case.value
            assert shown(spec)[field] == wanted
            assert warnings == ()


def test_the_table_has_every_field_of_the_body() -> None:
    parts = {"HostConfig", "NetworkingConfig"}
    assert CONFIG.keys() == fields_of(CreateWire).keys() - parts
    assert HOST_CONFIG.keys() == fields_of(HostConfigWire).keys()
    assert ENDPOINT.keys() == fields_of(EndpointWire).keys()


def test_the_table_has_every_option_of_a_mount() -> None:
    groups: dict[str, type[Wire]] = {
        "BindOptions": BindOptionsWire,
        "VolumeOptions": VolumeOptionsWire,
        "ImageOptions": ImageOptionsWire,
        "TmpfsOptions": TmpfsOptionsWire,
    }
    options = {f"{name}.{option}" for name, group in groups.items() for option in fields_of(group)}

    assert MOUNT.keys() == (fields_of(MountWire).keys() - groups.keys()) | options


@pytest.mark.parametrize("field", CONFIG)
def test_each_field_of_config_has_its_effect(field: str) -> None:
    check({field: CONFIG[field].value}, field, CONFIG[field])


@pytest.mark.parametrize("field", HOST_CONFIG)
def test_each_field_of_host_config_has_its_effect(field: str) -> None:
    check({"HostConfig": {field: HOST_CONFIG[field].value}}, field, HOST_CONFIG[field])


@pytest.mark.parametrize("field", ENDPOINT)
def test_each_field_of_an_endpoint_is_honoured_or_refused(field: str) -> None:
    case = ENDPOINT[field]
    body = {"NetworkingConfig": {"EndpointsConfig": {"bridge": {field: case.value}}}}
    if isinstance(case.outcome, Kind):
        check(body, field, case)
    else:
        spec, _ = created(body)
        (membership,) = spec.networks
        kept = {
            "Links": list(membership.links),
            "MacAddress": membership.mac,
            "DriverOpts": membership.driver_options,
            "GwPriority": membership.gateway_priority,
        }
        assert kept[field] == case.value


@pytest.mark.parametrize("field", MOUNT)
def test_each_option_of_a_mount_has_its_effect(field: str) -> None:
    case = MOUNT[field]
    group, _, option = field.rpartition(".")
    base: dict[str, Any] = {"Type": "bind", "Source": "/a", "Target": "/b"}
    if group == "TmpfsOptions":
        base = {"Type": "tmpfs", "Target": "/b"}
    if option.startswith("ReadOnly") and group:
        base["ReadOnly"] = True
    mount = {**base, group: {option: case.value}} if group else {**base, field: case.value}
    body = {"HostConfig": {"Mounts": [mount]}}
    if isinstance(case.outcome, Kind):
        check(body, field, case)
    else:
        assert shown(created(body)[0])["Mounts"] == [mount]


def test_mounts_of_another_container_are_taken_over() -> None:
    spec, _ = created({"HostConfig": {"VolumesFrom": ["owner_of:ro"], "Binds": ["/own:/own"]}})

    assert spec.binds[1] == Bind(
        source="/shared", destination="/shared", read_only=True, asked_by=AskedBy.VOLUMES_FROM
    )
    assert shown(spec)["Binds"] == ["/own:/own"]


def test_a_mount_of_ones_own_replaces_the_shared_one() -> None:
    spec, _ = created({"HostConfig": {"VolumesFrom": ["owner_of"], "Binds": ["/own:/shared/"]}})

    assert [bind.source for bind in spec.binds] == ["/own"]
