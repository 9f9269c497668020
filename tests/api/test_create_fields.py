"""Test what a container is created with, seen from inside it and by inspect, and what is refused,
with Docker's messages.
"""

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.runtime import linux
from tests.api.clients import Client
from tests.harness.client import Api, Refused, frames
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root


@pytest.fixture
def api(daemon: DaemonUnderTest) -> Api:
    return daemon.api


def said(api: Api, *command: str, **body: Any) -> str:
    """Return the output of a command in a container of its own."""
    identity = api.run("", *command, **body)
    api.wait(identity)
    return api.logs(identity).decode().strip()


def shell(api: Api, script: str, **host: Any) -> str:
    return said(api, "sh", "-c", script, HostConfig=host)


def refused(api: Api, **body: Any) -> tuple[int, str]:
    """Return the refusal of a container, at its creation or its start; nothing of it is left."""
    with pytest.raises(Refused) as refusal:
        api.start(api.create("", "true", **body))
    return refusal.value.status, refusal.value.message


# --- Mounts ---


@pytest.fixture
def nested(tmp_path: Path) -> Iterator[Path]:
    """Return a directory with another file system below it."""
    place = tmp_path / "top"
    (place / "below").mkdir(parents=True)
    linux.mount("tmpfs", str(place / "below"), "tmpfs")
    (place / "below" / "file").touch()
    yield place
    linux.umount2(str(place / "below"), linux.MNT_DETACH)


WRITE = "for d in /m /m/below; do touch $d/x 2>/dev/null && echo yes || echo no; done"


@pytest.mark.parametrize(
    ("options", "below_is_writable"),
    [({}, "no"), ({"ReadOnlyNonRecursive": True}, "yes"), ({"ReadOnlyForceRecursive": True}, "no")],
)
def test_what_is_mounted_below_a_read_only_bind_is_read_only_too(
    api: Api, nested: Path, options: dict[str, Any], below_is_writable: str
) -> None:
    mount = {"Type": "bind", "Source": str(nested), "Target": "/m", "ReadOnly": True}

    assert (
        shell(api, WRITE, Mounts=[{**mount, "BindOptions": options}]) == f"no\n{below_is_writable}"
    )


def test_a_read_only_bind_in_the_short_form_is_read_only_below_too(api: Api, nested: Path) -> None:
    assert shell(api, WRITE, Binds=[f"{nested}:/m:ro"]) == "no\nno"


def test_older_clients_mean_the_upper_mount_alone(api: Api, nested: Path) -> None:
    mount = {"Type": "bind", "Source": str(nested), "Target": "/m", "ReadOnly": True}
    body = {"Image": "busybox", "Cmd": ["sh", "-c", WRITE], "HostConfig": {"Mounts": [mount]}}
    identity = api.post("/v1.43/containers/create", body).json["Id"]
    api.start(identity)
    api.wait(identity)

    assert api.logs(identity).decode().split() == ["no", "yes"]


def test_a_bind_without_recursion_leaves_out_what_is_mounted_below(api: Api, nested: Path) -> None:
    mount = {"Type": "bind", "Source": str(nested), "Target": "/m"}
    options = {"BindOptions": {"NonRecursive": True}}

    assert shell(api, "ls /m/below", Mounts=[mount]) == "file"
    assert shell(api, "ls /m/below", Mounts=[{**mount, **options}]) == ""


def test_a_missing_source_is_made_if_that_is_asked_for(api: Api, tmp_path: Path) -> None:
    mount: dict[str, Any] = {"Type": "bind", "Source": str(tmp_path / "new/one"), "Target": "/m"}

    assert refused(api, HostConfig={"Mounts": [mount]}) == (
        400,
        f'invalid mount config for type "bind": bind source path does not exist: {tmp_path}/new/one',
    )
    mount["BindOptions"] = {"CreateMountpoint": True}
    shell(api, "touch /m/file", Mounts=[mount])
    assert (tmp_path / "new/one/file").exists()


def test_what_is_mounted_later_arrives_where_propagation_says_so(api: Api, tmp_path: Path) -> None:
    (tmp_path / "shared/later").mkdir(parents=True)
    place = str(tmp_path / "shared")
    linux.mount(place, place, flags=linux.MS_BIND)
    linux.mount("none", place, flags=linux.MS_SHARED)
    try:
        binds = [f"{place}:/slave:rslave", f"{place}:/private"]
        api.run("guest", "sleep", "1000", HostConfig={"Binds": binds})
        linux.mount("tmpfs", f"{place}/later", "tmpfs")
        (tmp_path / "shared/later/file").touch()
        seen = api.exec_output("guest", "sh", "-c", "ls /slave/later; ls /private/later")[1]
    finally:
        api.remove("guest")
        linux.umount2(place, linux.MNT_DETACH)

    assert seen.split() == [b"file"]


@pytest.mark.parametrize("mode", ["rshared", "rslave", "shared", "slave"])
def test_propagation_from_a_private_mount_is_refused(api: Api, tmp_path: Path, mode: str) -> None:
    place = str(tmp_path)
    linux.mount(place, place, flags=linux.MS_BIND)
    linux.mount("none", place, flags=linux.MS_PRIVATE)
    kind = "shared" if mode.endswith("shared") else "shared or slave"
    try:
        status, message = refused(api, HostConfig={"Binds": [f"{place}:/m:{mode}"]})
    finally:
        linux.umount2(place, linux.MNT_DETACH)

    assert (status, message) == (
        400,
        f"path {place} is mounted on {place} but it is not a {kind} mount",
    )


def test_a_tmpfs_has_the_size_the_mode_and_the_options_that_were_asked_for(api: Api) -> None:
    options = {"SizeBytes": 1 << 20, "Mode": 0o701, "Options": [["exec"], ["uid", "5"]]}
    mount = {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": options}
    script = "stat -c '%a %u' /t; grep ' /t ' /proc/self/mountinfo"
    mode, info = shell(api, script, Mounts=[mount]).splitlines()

    assert mode == "701 5"
    assert "size=1024k" in info
    assert "noexec" not in info


def test_mounts_of_another_container_come_along(api: Api, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("shared")
    mount = {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 4096}}
    api.create("owner", "true", HostConfig={"Binds": [f"{tmp_path}:/m"], "Mounts": [mount]})
    script = (
        "cat /m/file; touch /m/x 2>/dev/null || echo read-only; grep -c ' /t ' /proc/self/mountinfo"
    )
    identity = api.run("guest", "sh", "-c", script, HostConfig={"VolumesFrom": ["owner:ro"]})
    api.wait(identity)
    found = api.inspect("guest")

    assert api.logs(identity).split() == [b"sharedread-only", b"1"]
    assert found["HostConfig"]["VolumesFrom"] == ["owner:ro"]
    assert [(each["Destination"], each["RW"]) for each in found["Mounts"]] == [
        ("/m", False),
        ("/t", False),
    ]


# --- Rights ---


def test_paths_are_masked_and_guarded_as_asked(api: Api) -> None:
    script = "exec 2>/dev/null; head -c 1 /proc/uptime | wc -c; touch /proc/sys/kernel/domainname && echo w"

    assert shell(api, script, MaskedPaths=["/proc/uptime"], ReadonlyPaths=[]).split() == ["0", "w"]
    assert shell(api, script).split() == ["1"]


def test_groups_are_found_by_name_in_the_containers_own_file(api: Api, tmp_path: Path) -> None:
    (tmp_path / "group").write_text("root:x:0:\nstage:x:4242:\n")
    host = {"GroupAdd": ["stage", "777"], "Binds": [f"{tmp_path}/group:/etc/group:ro"]}

    assert shell(api, "id -G", **host).split() == ["0", "777", "4242"]
    assert refused(api, HostConfig={"GroupAdd": ["nobodys"]}) == (
        400,
        "Unable to find group nobodys: no matching entries in group file",
    )


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ("nosuch", "unable to find user nosuch: no matching entries in passwd file"),
        ("0:nosuch", "unable to find group nosuch: no matching entries in group file"),
        ("99999999999", "uids and gids must be in range 0-2147483647"),
    ],
)
def test_a_user_that_is_not_there_is_refused(api: Api, user: str, message: str) -> None:
    assert refused(api, User=user) == (400, message)


def test_kernel_parameters_of_its_own_namespaces_are_set(api: Api) -> None:
    sysctls = {"net.ipv4.ip_forward": "0", "kernel.msgmax": "9000", "fs.mqueue.msg_max": "5"}
    script = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax /proc/sys/fs/mqueue/msg_max"

    assert shell(api, script, Sysctls=sysctls).split() == ["0", "9000", "5"]


@pytest.mark.parametrize(
    ("host", "message"),
    [
        (
            {"Sysctls": {"kernel.foo": "1"}},
            'sysctl "kernel.foo" is not in a separate kernel namespace',
        ),
        (
            {"Sysctls": {"net.ipv4.ip_forward": "1"}, "NetworkMode": "host"},
            'sysctl "net.ipv4.ip_forward" not allowed in host network namespace',
        ),
        (
            {"Sysctls": {"kernel.msgmax": "1"}, "IpcMode": "host"},
            'sysctl "kernel.msgmax" is not allowed in the hosts ipc namespace',
        ),
    ],
)
def test_kernel_parameters_of_the_host_are_refused(
    api: Api, host: dict[str, Any], message: str
) -> None:
    status, said_so = refused(api, HostConfig=host)

    assert status == 400
    assert message in said_so


def test_a_name_that_the_kernel_does_not_take_is_refused(api: Api) -> None:
    status, message = refused(api, Hostname="h" * 65)

    assert status == 400
    assert "sethostname: invalid argument" in message


# --- Logs ---

LINES = "i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); done"


def log_config(**options: str) -> dict[str, Any]:
    names = {name.replace("_", "-"): value for name, value in options.items()}
    return {"LogConfig": {"Type": "json-file", "Config": names}}


def test_a_log_takes_no_more_room_than_it_may(api: Api) -> None:
    options = log_config(max_size="4k", max_file="3", compress="true")
    identity = api.run("talker", "sh", "-c", LINES + "; sleep 1000", HostConfig=options)
    path = Path(api.inspect("talker")["LogPath"])
    eventually(lambda: api.logs("talker").endswith(b"line 399\n"), "it has said everything")
    eventually(lambda: not path.with_name(path.name + ".1").exists(), "what is aside is packed")

    names = {each.name.removeprefix(path.name) for each in path.parent.glob(f"{path.name}*")}
    assert names == {"", ".1.gz", ".2.gz"}
    assert path.stat().st_size < 4200
    assert gzip.decompress(path.with_name(path.name + ".1.gz").read_bytes()).startswith(b'{"log":')
    kept = api.logs("talker").splitlines()
    assert kept == [b"line %d" % number for number in range(400 - len(kept), 400)]
    assert len(kept) > 100
    assert api.logs(identity).splitlines()[-60:] == _tail(api, identity, 60)


def _tail(api: Api, reference: str, count: int) -> list[bytes]:
    raw = api.call("GET", f"/containers/{reference}/logs", stdout=1, tail=count).body
    return b"".join(payload for _, payload in frames(raw)).splitlines()


def test_a_log_is_put_aside_while_the_daemon_is_down(api: Api, daemon: DaemonUnderTest) -> None:
    options = log_config(max_size="4k", max_file="20")
    script = f"read a; echo here; read go; {LINES}; sleep 1000"
    api.create("talker", "sh", "-c", script, OpenStdin=True, HostConfig=options)
    api.start("talker")
    with api.attach("talker") as stream:
        stream.send(b"a\n")
        stream.read_until(b"here\n")
        daemon.kill()
        stream.send(b"go\n")
        stream.read_until(b"line 399\n")
        daemon.start()

    lines = [b"line %d" % number for number in range(400)]
    assert api.logs("talker").splitlines() == [b"here", *lines]
    path = Path(api.inspect("talker")["LogPath"])
    assert len(list(path.parent.glob(f"{path.name}.*"))) > 5


def test_records_carry_labels_variables_and_a_tag(api: Api) -> None:
    options = log_config(labels="l,nope", env="A", tag="{{.Name}}/{{.ID}}")
    body = {"Env": ["A=b c", "X=y"], "Labels": {"l": "v&w"}, "HostConfig": options}
    identity = api.run("talker", "echo", "hi", **body)
    api.wait(identity)
    raw = api.call("GET", "/containers/talker/logs", stdout=1, details=1).body

    ((_, line),) = frames(raw)
    assert line == f"A=b+c,l=v%26w,tag=talker%2F{identity[:12]} hi\n".encode()
    assert api.logs("talker") == b"hi\n"


def test_what_is_not_kept_can_not_be_read(api: Api) -> None:
    identity = api.run("quiet", "echo", "hi", HostConfig={"LogConfig": {"Type": "none"}})
    api.wait(identity)
    reply = api.request("GET", "/containers/quiet/logs", stdout=1)

    assert (reply.status, reply.message) == (
        501,
        "configured logging driver does not support reading",
    )
    assert api.inspect("quiet")["LogPath"] == ""


def test_output_that_is_not_kept_is_still_attached_to(docker: Client) -> None:
    done = docker("run", "--rm", "--log-driver", "none", "busybox", "echo", "hi")

    assert (done.out, done.code) == ("hi\n", 0)


def test_the_local_driver_can_be_read(docker: Client) -> None:
    docker.ok("run", "--name", "kept", "--log-driver", "local", "busybox", "echo", "hi")

    assert docker.ok("logs", "kept") == "hi"


# --- Ports, platform, names ---


def test_of_a_range_of_host_ports_the_first_free_one_is_taken(docker: Client) -> None:
    first = docker.ok("run", "-d", "-p", "18080-18082:80", "busybox", "sleep", "1000")
    second = docker.ok("run", "-d", "-p", "18080-18082:80", "busybox", "sleep", "1000")

    assert docker.ok("port", first).startswith("80/tcp -> 0.0.0.0:18080")
    assert docker.ok("port", second).startswith("80/tcp -> 0.0.0.0:18081")
    form = '{{(index (index .HostConfig.PortBindings "80/tcp") 0).HostPort}}'
    assert docker.ok("inspect", "-f", form, second) == "18080-18082"


@pytest.mark.parametrize("network", ["bridge", "none", "host"])
def test_names_of_ones_own_are_in_the_hosts_file(api: Api, network: str) -> None:
    gateway = api.get("/networks/bridge")["IPAM"]["Config"][0]["Gateway"]
    extra = ["far:192.0.2.7", "outside:host-gateway"]
    hosts = shell(api, "cat /etc/hosts", NetworkMode=network, ExtraHosts=extra).splitlines()

    assert {"192.0.2.7\tfar", f"{gateway}\toutside"} <= set(hosts)


@pytest.mark.parametrize("network", ["bridge", "none", "host"])
def test_servers_of_ones_own_are_asked_for_names(api: Api, network: str) -> None:
    host = {"Dns": ["192.0.2.1"], "DnsSearch": ["example"], "DnsOptions": ["ndots:2"]}
    text = shell(api, "cat /etc/resolv.conf", NetworkMode=network, **host)

    assert text.splitlines() == ["search example", "nameserver 192.0.2.1", "options ndots:2"]


def test_an_image_for_another_platform_is_not_this_one(api: Api) -> None:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "")
    body = {"Image": "busybox", "Cmd": ["true"]}
    other = api.request("POST", "/containers/create", body, platform="windows/s390x")

    assert api.post("/containers/create", body, platform=f"linux/{machine}").status == 201
    assert other.status == 404
    assert other.message == (
        "image with reference busybox was found but does not match the specified platform: "
        f"wanted windows/s390x, actual: linux/{machine}"
    )


@pytest.mark.parametrize("name", ["a", "-x", "a/b", " "])
def test_names_are_dockers(api: Api, name: str) -> None:
    reply = api.request(
        "POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"]}, name=name
    )

    assert (reply.status, reply.message) == (
        400,
        f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
    )


def test_a_name_in_use_is_reported_with_its_owner(api: Api) -> None:
    owner = api.create("taken", "true")
    reply = api.request(
        "POST", "/containers/create", {"Image": "busybox", "Cmd": ["true"]}, name="taken"
    )

    assert reply.status == 409
    assert reply.message == (
        f'Conflict. The container name "/taken" is already in use by container "{owner}". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )


@pytest.mark.parametrize(
    ("reference", "status", "message"),
    [
        ("nope", 404, "No such image: nope:latest"),
        ("nope:tag", 404, "No such image: nope:tag"),
        (
            "UPPER",
            400,
            "invalid reference format: repository name (library/UPPER) must be lowercase",
        ),
    ],
)
def test_an_image_that_is_not_there(api: Api, reference: str, status: int, message: str) -> None:
    reply = api.request("POST", "/containers/create", {"Image": reference})

    assert (reply.status, reply.message) == (status, message)
