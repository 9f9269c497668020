"""Test that invalid requests are refused with Docker's status and message, and leave nothing
behind.
"""

import json
import socket
from pathlib import Path

import pytest

from tests.api.clients import Client
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

RUNS_REFUSED: list[tuple[list[str], str]] = [
    (["--name", "a b"], "Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
    (["--name", "bad/name"], "Invalid container name (bad/name), only"),
    (["-m", "4m"], "Minimum memory limit allowed is 6MB"),
    (["-m", "nonsense"], "invalid argument \"nonsense\" for \"-m, --memory\" flag: invalid size: 'nonsense'"),
    (["-m", "32m", "--memory-swap", "16m"], "Minimum memoryswap limit should be larger than memory limit, see usage"),
    (["--memory-swap", "64m"], "You should always set the Memory limit when using Memoryswap limit, see usage"),
    (["--cpus", "1000"], "Range of CPUs is from 0.01 to"),
    (["--cpus", "x"], 'invalid argument "x" for "--cpus" flag: failed to parse x as a rational number'),
    (["--cpu-shares", "-1"], "shares: invalid argument"),
    (["--cpuset-cpus", "777"], "Requested CPUs are not available - requested 777, available: "),
    (["--cpuset-cpus", "x"], "Invalid value x for cpuset cpus: invalid format: x"),
    (["--pids-limit", "x"], 'strconv.ParseInt: parsing "x": invalid syntax'),
    (["--ulimit", "nofile=300:200"], "ulimit soft limit must be less than or equal to hard limit: 300 > 200"),
    (["--ulimit", "bogus=1"], "invalid ulimit type: bogus"),
    (["--cap-add", "NOPE"], 'invalid CapAdd: unknown capability: "CAP_NOPE"'),
    (["--security-opt", "nope"], 'Invalid --security-opt: "nope"'),
    (["--security-opt", "seccomp=/nonexistent"], "opening seccomp profile (/nonexistent) failed: open /nonexistent"),
    (["--stop-signal", "NOPE"], "invalid signal: NOPE"),
    (["-w", "rel"], "the working directory 'rel' is invalid, it needs to be an absolute path"),
    (["-v", "/tmp:rel"], "invalid volume specification: '/tmp:rel': invalid mount config for type \"bind\": invalid mount path: 'rel' mount path must be absolute"),
    (["-v", "/tmp:/a:bogus"], "invalid mode: bogus"),
    (["-v", "/tmp:/"], "invalid volume specification: '/tmp:/': invalid mount config for type \"bind\": invalid specification: destination can't be '/'"),
    (["-v", "/tmp:/a", "-v", "/etc:/a"], "Duplicate mount point: /a"),
    (["--tmpfs", "rel"], "invalid mount path: 'rel' mount path must be absolute"),
    (["--mount", "type=bind,src=/nonexistent-y,dst=/a"], 'invalid mount config for type "bind": bind source path does not exist: /nonexistent-y'),
    (["--mount", "type=bogus,dst=/a"], 'invalid mount config for type "bogus": mount type unknown'),
    (["-p", "99999:80"], "invalid hostPort: 99999"),
    (["-p", "abc"], "invalid containerPort: abc"),
    (["-l", ""], "invalid label '': empty name"),
    (["-e", "=x"], "invalid environment variable: =x"),
    (["--env-file", "/nonexistent"], "open /nonexistent: no such file or directory"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "message"), RUNS_REFUSED)
def test_a_run_is_refused_in_dockers_words(
    options: list[str], message: str, client: Client, daemon: DaemonUnderTest
) -> None:
    done = client("run", *options, "busybox", "true")

    assert done.code == 125
    assert message in done.err
    assert daemon.api.ps() == []


def test_a_name_in_use_is_refused_with_its_holder(client: Client, daemon: DaemonUnderTest) -> None:
    holder = daemon.api.create("taken", "true")

    done = client("run", "--name", "taken", "busybox", "true")

    assert done.code == 125
    assert (
        'Error response from daemon: Conflict. The container name "/taken" is already in use by container '
        f'"{holder}". You have to remove (or rename) that container to be able to reuse that name.'
    ) in done.err
    assert [each["Id"] for each in daemon.api.ps()] == [holder]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other", 'Error when allocating new name: Conflict. The container name "/other" is already in use by'),
        ("mine", "Renaming a container with the same name as its current name"),
        ("a b", "Error when allocating new name: Invalid container name (/a b), only [a-zA-Z0-9][a-zA-Z0-9_.-]"),
    ],
)  # fmt: skip
def test_a_new_name_is_refused_and_the_old_one_stays(
    name: str, message: str, client: Client, daemon: DaemonUnderTest
) -> None:
    daemon.api.create("mine", "true")
    daemon.api.create("other", "true")

    done = client("rename", "mine", name)

    assert done.code == 1
    assert message in done.err
    assert {each["Names"][0] for each in daemon.api.ps()} == {"/mine", "/other"}


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        ("kill", "cannot kill container: idle: container {id} is not running"),
        ("pause", "container {id} is not running"),
        ("unpause", "Container {id} is not paused"),
        ("top", "container {id} is not running"),
        ("attach", "You cannot attach to a stopped container, start it first"),
    ],
)
def test_a_stopped_container_is_reported(
    verb: str, message: str, client: Client, daemon: DaemonUnderTest
) -> None:
    identity = daemon.api.create("idle", "true")

    done = client(verb, "idle")

    assert done.code == 1
    assert message.format(id=identity).lower() in done.err.lower()


def test_a_running_container_is_removed_by_force_alone(
    client: Client, daemon: DaemonUnderTest
) -> None:
    identity = daemon.api.run("busy", "sleep", "1000")

    done = client("rm", "busy")

    assert done.code == 1
    assert (
        f"You cannot remove a running container {identity}. Stop the container before attempting removal or force remove"
        in done.err
    )
    assert client.ok("rm", "-f", "busy") == "busy"


def test_a_paused_container_takes_no_exec(client: Client, daemon: DaemonUnderTest) -> None:
    daemon.api.run("frozen", "sleep", "1000")
    client.ok("pause", "frozen")

    done = client("exec", "frozen", "true")

    assert done.code == 1
    assert "Container frozen is paused, unpause the container before exec" in done.err


@pytest.mark.parametrize(
    ("signal", "words"),
    [
        *((each, f"invalid signal: {each}") for each in ("NOPE", "SIGNOPE", "0")),
        ("99", "the linux daemon does not support signal 99"),
    ],
)
def test_a_signal_that_is_none_is_refused(
    signal: str, words: str, client: Client, daemon: DaemonUnderTest
) -> None:
    daemon.api.run("busy", "sleep", "1000")

    done = client("kill", "-s", signal, "busy")

    assert done.code == 1
    assert words in done.err
    assert daemon.api.status("busy") == "running"


def test_an_id_file_that_is_there_is_not_overwritten(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "cid"
    file.write_text("precious")

    done = client("run", "--cidfile", str(file), "busybox", "true")

    assert done.code == 125
    assert (
        "container ID file found, make sure the other container isn't running or delete" in done.err
    )
    assert file.read_text() == "precious"


# --- The API itself ---


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "unexpected EOF"),
        (b"[]", 400, "cannot unmarshal array into Go value"),
        (b'{"Image": 5}', 400, "cannot unmarshal number into Go struct field"),
        (b'{"Image": "busybox", "HostConfig": {"Memory": "much"}}', 400, "cannot unmarshal string into Go struct field"),
        (b'{"Image": "nosuch"}', 404, "No such image: nosuch:latest"),
        (b'{"Image": "busybox", "Cmd": ["true"], "HostConfig": {"Memory": 1}}', 400, "Minimum memory limit allowed is 6MB"),
        (b"", 400, ""),
        (b"\xff\xfe", 400, ""),
    ],
)  # fmt: skip
def test_a_body_that_makes_no_sense_is_refused(
    body: bytes, status: int, message: str, daemon: DaemonUnderTest
) -> None:
    answer = _ask(
        daemon,
        b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body),
    )

    head, _, text = answer.partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status
    assert message in json.loads(text)["message"]
    assert daemon.api.ps() == []


def test_a_body_that_is_no_json_by_its_type_is_refused(daemon: DaemonUnderTest) -> None:
    answer = _ask(
        daemon,
        b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
        b"Connection: close\r\nContent-Length: 2\r\n\r\n{}",
    )

    assert answer.startswith(b"HTTP/1.1 400 ")


def test_a_head_that_is_too_large_is_refused(daemon: DaemonUnderTest) -> None:
    answer = _ask(
        daemon, b"GET /_ping HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 200_000 + b"\r\n\r\n"
    )

    assert answer.startswith(b"HTTP/1.1 431 ")
    assert daemon.answers


def _ask(daemon: DaemonUnderTest, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(daemon.api.socket_path))
        connection.sendall(request)
        answer = b""
        while block := connection.recv(65536):
            answer += block
        return answer
