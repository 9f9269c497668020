"""Test the conversion of a create request to a spec. Refusals are dockerd's, by status and, where
users match on them, by message.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.api.containers.spec.body import CreateWire
from engine.api.containers.spec.create import spec_of
from engine.api.http.json_bodies import decode_json
from engine.domain.container.mounts import AskedBy, Bind, Tmpfs
from engine.domain.container.spec import PortBinding, RestartPolicy, Spec, Ulimit
from engine.domain.ids import ImageId
from engine.domain.image.config import ImageConfig, ImageContents
from engine.domain.image.state import Image, Phase
from engine.errors import EngineError, InvalidRequest, Kind, Unsupported

IMAGE_ID = ImageId("sha256:" + "1" * 64)


def image(**config: Any) -> Image:
    defaults = {"cmd": ("/bin/sh",), **config}
    contents = ImageContents(
        id=IMAGE_ID,
        config_bytes=1,
        created="",
        architecture="amd64",
        os="linux",
        config=ImageConfig(**defaults),
    )
    return Image(phase=Phase.PRESENT, contents=contents)


def created(body: dict[str, Any], **config: Any) -> Spec:
    return spec_of(
        decode_json(json.dumps({"Image": "busybox", **body}).encode(), CreateWire), image(**config)
    )[0]


def hosted(**host: Any) -> Spec:
    return created({"HostConfig": host})


def warnings(body: dict[str, Any], **config: Any) -> tuple[str, ...]:
    return spec_of(
        decode_json(json.dumps({"Image": "busybox", **body}).encode(), CreateWire), image(**config)
    )[1]


def test_the_least_request_gets_dockers_defaults() -> None:
    assert created({}) == Spec(image="busybox", image_id=IMAGE_ID, command=("/bin/sh",))


@pytest.mark.parametrize(
    ("asked", "entrypoint", "command"),
    [
        ({}, ("/entry",), ("default",)),
        ({"Cmd": ["mine"]}, ("/entry",), ("mine",)),
        ({"Cmd": "mine"}, ("/entry",), ("mine",)),
        ({"Cmd": []}, ("/entry",), ("default",)),
        ({"Entrypoint": ["/mine"]}, ("/mine",), ()),
        ({"Entrypoint": "/mine", "Cmd": ["x"]}, ("/mine",), ("x",)),
        ({"Entrypoint": [""], "Cmd": ["x"]}, (), ("x",)),
        ({"Entrypoint": []}, (), ("default",)),
        ({"Entrypoint": None}, ("/entry",), ("default",)),
    ],
)
def test_entrypoint_and_command_are_merged_with_the_images(
    asked: dict[str, Any], entrypoint: tuple[str, ...], command: tuple[str, ...]
) -> None:
    spec = created(asked, entrypoint=("/entry",), cmd=("default",))

    assert (spec.entrypoint, spec.command) == (entrypoint, command)


def test_the_rest_of_the_image_stands_until_the_request_says_otherwise() -> None:
    defaults = {
        "env": ("A=image", "B=image"),
        "labels": {"a": "image", "b": "image"},
        "user": "app",
        "working_dir": "/app",
        "stop_signal": "SIGINT",
        "exposed_ports": ("80/tcp",),
    }

    asked = created(
        {"Env": ["B=mine", "C=mine", "A"], "Labels": {"b": "mine"}, "ExposedPorts": {"53/udp": {}}},
        **defaults,
    )

    assert asked.env == ("B=mine", "C=mine")
    assert asked.labels == {"a": "image", "b": "mine"}
    assert (asked.user, asked.working_dir, asked.stop_signal) == ("app", "/app", "SIGINT")
    assert asked.exposed_ports == ("53/udp", "80/tcp")
    assert created({"User": "me", "WorkingDir": "/me"}, **defaults).user == "me"


def test_mounts_come_in_three_spellings() -> None:
    spec = hosted(
        Binds=["/a:/b", "/c:/d:ro,z", "/e:/f:rslave"],
        Mounts=[
            {"Type": "bind", "Source": "/g", "Target": "/h", "ReadOnly": True},
            {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1000, "Mode": 0o700}},
        ],
        Tmpfs={"/run": "size=64m"},
    )

    assert spec.binds == (
        Bind(source="/a", destination="/b"),
        Bind(source="/c", destination="/d", mode="ro,z", read_only=True),
        Bind(source="/e", destination="/f", mode="rslave", propagation="rslave"),
        Bind(
            source="/g",
            destination="/h",
            read_only=True,
            create_source=False,
            asked_by=AskedBy.MOUNTS,
        ),
    )
    assert spec.tmpfs == (
        Tmpfs(destination="/run", options="size=64m"),
        Tmpfs(destination="/t", size_bytes=1000, mode=0o700, asked_by=AskedBy.MOUNTS),
    )
    assert spec.tmpfs[1].words == ("size=1000", "mode=700")


def test_ports_are_bound_where_asked_or_anywhere() -> None:
    spec = hosted(
        PortBindings={
            "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
            "53/udp": [{"HostPort": ""}],
            "1": None,
        }
    )

    assert spec.ports == (
        PortBinding(container_port=80, host_ip="127.0.0.1", host_port=8080),
        PortBinding(container_port=53, protocol="udp"),
        PortBinding(container_port=1),
    )
    assert spec.exposed_ports == ("1/tcp", "53/udp", "80/tcp")


def test_limits_and_privileges_are_taken_over() -> None:
    spec = hosted(
        Memory=10 << 20,
        NanoCpus=500_000_000,
        PidsLimit=100,
        Ulimits=[
            {"Name": "nofile", "Soft": 10, "Hard": 20},
            {"Name": "core", "Soft": -1, "Hard": -1},
        ],
        CapAdd=["net_admin"],
        CapDrop=["CAP_CHOWN", "all"],
        SecurityOpt=["no-new-privileges", "seccomp=unconfined", "label=disable"],
        RestartPolicy={"Name": "on-failure", "MaximumRetryCount": 3},
        NetworkMode="none",
        OomScoreAdj=-500,
        ShmSize=1000,
        Init=True,
    )

    assert (spec.resources.memory_bytes, spec.resources.nano_cpus, spec.resources.pids_max) == (
        10 << 20,
        500_000_000,
        100,
    )
    assert spec.ulimits == (
        Ulimit(name="nofile", soft=10, hard=20),
        Ulimit(name="core", soft=-1, hard=-1),
    )
    assert (spec.cap_add, spec.cap_drop) == (("CAP_NET_ADMIN",), ("CAP_CHOWN", "ALL"))
    assert (spec.no_new_privileges, spec.seccomp) == (True, "unconfined")
    assert spec.restart_policy == RestartPolicy(name="on-failure", retries_max=3)
    assert spec.network_mode == "none"
    assert (spec.oom_score_adj, spec.shm_bytes, spec.init) == (-500, 1000, True)


def test_what_is_empty_asks_for_nothing() -> None:
    empty: dict[str, Any] = {
        "Devices": [],
        "VolumesFrom": None,
        "Links": [],
        "PidMode": "",
        "IpcMode": "",
        "LogConfig": {"Type": "", "Config": {}},
    }

    assert hosted(**empty) == created({})


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"WorkingDir": "rel"}, "the working directory 'rel' is invalid, it needs to be an absolute path"),
    ({"Env": ["=x"]}, "invalid environment variable: =x"),
    ({"StopSignal": "FOO"}, "invalid signal: FOO"),
    ({"MacAddress": "nope"}, "invalid MAC address: nope"),
    ({"HostConfig": {"Binds": ["/a:b"]}}, "invalid mount path: 'b' mount path must be absolute"),
    ({"HostConfig": {"Binds": ["/a:/b:zz"]}}, "invalid mode: zz"),
    ({"HostConfig": {"Binds": ["/a:/"]}}, "destination can't be '/'"),
    ({"HostConfig": {"Binds": ["a:b:c:d"]}}, "invalid volume specification: 'a:b:c:d'"),
    ({"HostConfig": {"Binds": ["/a:/b:ro", "/c:/b/"]}}, "Duplicate mount point: /b"),
    ({"HostConfig": {"Tmpfs": {"rel": ""}}}, "invalid mount path: 'rel' mount path must be absolute"),
    ({"HostConfig": {"Mounts": [{"Type": "foo", "Target": "/x"}]}}, 'invalid mount config for type "foo": mount type unknown'),
    ({"HostConfig": {"Mounts": [{"Type": "bind", "Source": "/x"}]}}, "field Target must not be empty"),
    ({"HostConfig": {"Mounts": [{"Type": "bind", "Source": "r", "Target": "/x"}]}}, "invalid mount path: 'r' mount path"),
    ({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "99999"}]}}}, 'invalid port specification: "99999"'),
    ({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "x"}]}}}, 'invalid port specification: "x"'),
    ({"HostConfig": {"PortBindings": {"80/xyz": [{}]}}}, "invalid proto: xyz"),
    ({"HostConfig": {"PortBindings": {"80": [{"HostIp": "nope"}]}}}, "invalid IP address: nope"),
    ({"ExposedPorts": {"abc/tcp": {}}}, 'invalid port specification: "abc/tcp"'),
    ({"HostConfig": {"CapAdd": ["FOO"]}}, 'invalid CapAdd: unknown capability: "CAP_FOO"'),
    ({"HostConfig": {"SecurityOpt": ["foo"]}}, 'invalid --security-opt 1: "foo"'),
    ({"HostConfig": {"SecurityOpt": ["seccomp={"]}}, "decoding seccomp profile failed"),
    ({"HostConfig": {"ShmSize": -1}}, "SHM size can not be less than 0"),
    ({"HostConfig": {"OomScoreAdj": -5000}}, "Invalid value -5000, range for oom score adj is [-1000, 1000]"),
    ({"HostConfig": {"Ulimits": [{"Name": "foo"}]}}, "invalid ulimit type: foo"),
    ({"HostConfig": {"Ulimits": [{"Name": "core", "Soft": 2, "Hard": 1}]}}, "ulimit soft limit must be less than or equal"),
    ({"HostConfig": {"RestartPolicy": {"Name": "foo"}}}, "invalid restart policy: unknown policy 'foo'"),
    ({"HostConfig": {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 1}}}, "can only be used with 'on-failure'"),
    ({"HostConfig": {"RestartPolicy": {"Name": "always"}, "AutoRemove": True}}, "can't create 'AutoRemove' container with restart policy"),
    ({"HostConfig": {"LogConfig": {"Type": "foo"}}}, 'no log driver named "foo"'),
    ({"HostConfig": {"LogConfig": {"Config": {"a": "b"}}}}, "unknown log opt 'a' for json-file log driver"),
    ({"HostConfig": {"Dns": ["nope"]}}, "IP address is not correctly formatted: nope"),
    ({"HostConfig": {"ExtraHosts": ["nope"]}}, 'bad format for add-host: "nope"'),
    ({"NetworkingConfig": {"EndpointsConfig": {"bridge": {"Aliases": ["a"]}}}}, "only for containers in user defined networks"),
    ({"Hostname": "h", "HostConfig": {"UTSMode": "host"}}, "conflicting options: hostname and the UTS mode"),
    ({"Hostname": "h", "HostConfig": {"NetworkMode": "container:x"}}, "conflicting options: hostname and the network mode"),
    ({"MacAddress": "02:42:ac:11:00:02", "HostConfig": {"NetworkMode": "host"}}, "conflicting options: mac-address and the network mode"),
    ({"HostConfig": {"NetworkMode": "container:x", "Dns": ["1.1.1.1"]}}, "conflicting options: dns and the network mode"),
    ({"HostConfig": {"NetworkMode": "container:x", "PortBindings": {"80": [{}]}}}, "conflicting options: port publishing and the container type network mode"),
    ({"ExposedPorts": {"80/tcp": {}}, "HostConfig": {"NetworkMode": "container:x"}}, "conflicting options: port exposing and the container type network mode"),
    ({"HostConfig": {"NetworkMode": "container:"}}, "invalid network mode: invalid container format container:<name|id>"),
    ({"HostConfig": {"PidMode": "foo"}}, "invalid PID mode: foo"),
    ({"HostConfig": {"PidMode": "container:"}}, "invalid PID mode: container:"),
    ({"HostConfig": {"IpcMode": "foo"}}, "invalid IPC mode: foo"),
    ({"HostConfig": {"UTSMode": "foo"}}, "invalid UTS mode: foo"),
    ({"HostConfig": {"CgroupnsMode": "foo"}}, "invalid cgroup namespace mode: foo"),
    ({"HostConfig": {"UsernsMode": "foo"}}, "invalid userns mode: foo"),
    ({"HostConfig": {"Runtime": "foo"}}, "unknown or invalid runtime name: foo"),
    ({"HostConfig": {"StorageOpt": {"size": "1G"}}}, "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"),
    ({"HostConfig": {"StorageOpt": {"foo": "1G"}}}, "Unknown option foo"),
    ({"HostConfig": {"Annotations": {"": "x"}}}, "the empty string is not permitted as an annotation key"),
    ({"HostConfig": {"SecurityOpt": ["foo=bar"]}}, 'invalid --security-opt 2: "foo=bar"'),
    ({"HostConfig": {"SecurityOpt": ["no-new-privileges=x"]}}, 'invalid --security-opt 2: "no-new-privileges=x"'),
    ({"HostConfig": {"SecurityOpt": ["systempaths=unconfined"]}}, 'invalid --security-opt 2: "systempaths=unconfined"'),
    ({"HostConfig": {"VolumesFrom": ["nobody"]}}, "No such container: nobody"),
    ({"HostConfig": {"VolumesFrom": ["x:zz"]}}, "invalid mode: zz"),
    ({"HostConfig": {"VolumesFrom": [":ro"]}}, 'invalid name or ID supplied: ""'),
    ({"HostConfig": {"VolumesFrom": [""]}}, "volumes-from specification cannot be an empty string"),
    ({"HostConfig": {"Binds": ["/a:/b:ro,rw"]}}, "invalid mode: ro,rw"),
    ({"HostConfig": {"Binds": ["/a:/b:nocopy"]}}, "field VolumeOptions must not be specified"),
    ({"HostConfig": {"Tmpfs": {"/t": "foo=bar"}}}, 'invalid tmpfs option ["foo" "bar"]'),
    ({"HostConfig": {"Mounts": [{"Type": "npipe", "Source": "/y", "Target": "/x"}]}}, "mount type unknown"),
    ({"HostConfig": {"Mounts": [{"Type": "tmpfs", "Target": "/x", "BindOptions": {}}]}}, "field BindOptions must not be specified"),
    ({"HostConfig": {"Mounts": [{"Type": "bind", "Source": "/y", "Target": "/x", "BindOptions": {"ReadOnlyForceRecursive": True}}]}}, "mount options conflict: !ReadOnly && BindOptions.ReadOnlyForceRecursive"),
    ({"HostConfig": {"LogConfig": {"Type": "local", "Config": {"a": "b"}}}}, "unknown log opt 'a' for log driver local"),
    ({"HostConfig": {"LogConfig": {"Config": {"max-size": "bad"}}}}, "invalid size: 'bad'"),
    ({"HostConfig": {"LogConfig": {"Config": {"max-size": "0"}}}}, "max-size must be a positive number"),
    ({"HostConfig": {"LogConfig": {"Config": {"max-file": "0"}}}}, "max-file cannot be less than 1"),
    ({"HostConfig": {"LogConfig": {"Config": {"max-file": "bad"}}}}, 'strconv.Atoi: parsing "bad": invalid syntax'),
    ({"HostConfig": {"LogConfig": {"Config": {"compress": "true"}}}}, "compress cannot be true when max-file is less than 2 or max-size is not set"),
    ({"HostConfig": {"LogConfig": {"Config": {"mode": "foo"}}}}, "logger: logging mode not supported: foo"),
    ({"HostConfig": {"LogConfig": {"Config": {"tag": "{{.Bad}}"}}}}, "template: log-tag"),
    ({"HostConfig": {"LogConfig": {"Config": {"env-regex": "("}}}}, "error parsing regexp"),
    ({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "8010-8000"}]}}}, 'invalid port specification: "8010-8000"'),
]  # fmt: skip


@pytest.mark.parametrize(("body", "message"), REFUSED)
def test_what_makes_no_sense_is_refused_in_dockers_words(
    body: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        created(body)

    assert message in str(refused.value)


@pytest.mark.parametrize(
    "host",
    [
        {"Binds": ["named:/data"]},
        {"Binds": ["/data"]},
        {"Mounts": [{"Type": "volume", "Source": "v", "Target": "/x"}]},
        {"VolumeDriver": "other"},
        {"SecurityOpt": ["apparmor=mine"]},
    ],
)
def test_unsupported_options_are_refused(host: dict[str, Any]) -> None:
    with pytest.raises(Unsupported):
        hosted(**host)


def test_what_a_container_can_do_without_is_warned_about() -> None:
    unknown = warnings({"Healthcheck": {"Test": ["FOO", "true"]}})
    assert "Unknown healthcheck type" in unknown[0]
    assert warnings({"Healthcheck": {"Test": ["CMD", "true"]}}) == ()
    assert "/data" in warnings({}, volumes=("/data",))[0]
    assert warnings({"Healthcheck": {"Test": ["NONE"]}}) == ()


def test_no_command_at_all_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no command specified"):
        created({}, cmd=())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{bad", "invalid JSON: "),
        (b"", "invalid JSON: got EOF while reading request body"),
        (b"[" * 100_000, "invalid JSON: "),
        (b'"\xff"', "invalid JSON: "),
        (b'{"Image":5}', "json: cannot unmarshal number into Go struct field Image of type string"),
        (
            b'{"HostConfig":{"Memory":"a"}}',
            "cannot unmarshal string into Go struct field HostConfig.Memory of type int64",
        ),
        (b'{"HostConfig":{"Memory":1e30}}', "invalid JSON: "),
        (b'{"HostConfig":{"Memory":99999999999999999999}}', "invalid JSON: "),
        (
            b'{"HostConfig":[]}',
            "cannot unmarshal array into Go struct field HostConfig of type object",
        ),
    ],
)
def test_bodies_that_are_no_create_request_are_refused(body: bytes, message: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode_json(body, CreateWire)

    assert message in str(refused.value)


def kind_of_refusal(body: dict[str, Any]) -> Kind | None:
    try:
        spec_of(decode_json(json.dumps(body).encode(), CreateWire), image())
    except EngineError as error:
        return error.kind
    return None


def test_every_body_that_dockers_client_sends_is_understood_or_refused_by_name() -> None:
    cases = json.loads((Path(__file__).parent / "test_cli_create_bodies.json").read_text())["cases"]

    kinds = {case["command"]: kind_of_refusal(case["body"]) for case in cases}

    assert kinds["run busybox"] is None
    assert set(kinds.values()) <= {None, Kind.UNSUPPORTED, Kind.INVALID}
    assert list(kinds.values()).count(None) >= 10, kinds
