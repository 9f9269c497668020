"""Test options of ``run``, seen from inside the container, with both commands."""

import json
from pathlib import Path

import pytest

from tests.api.clients import Client
from tests.harness import kernel_inventory
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

SEEN_INSIDE: list[tuple[list[str], list[str], str]] = [
    ([], ["echo", "a b", "c"], "a b c"),
    (["--hostname", "box"], ["hostname"], "box"),
    (["-h", "box"], ["cat", "/etc/hostname"], "box"),
    (["-e", "A=1", "-e", "B=two words"], ["sh", "-c", 'echo "$A,$B"'], "1,two words"),
    (["-w", "/tmp"], ["pwd"], "/tmp"),
    (["-w", "/made/for/it"], ["pwd"], "/made/for/it"),
    (["-u", "1000:2000"], ["sh", "-c", "id -u; id -g"], "1000\n2000"),
    (["-u", "nobody"], ["id", "-u"], "65534"),
    (["--entrypoint", "echo"], ["hi", "there"], "hi there"),
    (["--network", "none"], ["ls", "/sys/class/net"], "lo"),
    (["--network", "bridge"], ["ls", "/sys/class/net"], "eth0\nlo"),
    (["--ulimit", "nofile=100:200"], ["sh", "-c", "ulimit -n; ulimit -Hn"], "100\n200"),
    (["--tmpfs", "/t:size=1m"], ["sh", "-c", "df -k /t | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2"], "1024"),
    (["--cap-drop", "ALL"], ["sh", "-c", "grep CapEff /proc/self/status"], "CapEff:\t0000000000000000"),
    (["--cap-add", "NET_ADMIN"], ["sh", "-c", "grep CapEff /proc/self/status"], "CapEff:\t00000000a80435fb"),
    (["--cap-drop", "CHOWN", "--cap-add", "SYS_TIME"], ["grep", "CapEff", "/proc/self/status"], "CapEff:\t00000000aa0425fa"),
    (["--security-opt", "no-new-privileges"], ["grep", "NoNewPrivs", "/proc/self/status"], "NoNewPrivs:\t1"),
    ([], ["grep", "Seccomp:", "/proc/self/status"], "Seccomp:\t2"),
    (["--security-opt", "seccomp=unconfined"], ["grep", "Seccomp:", "/proc/self/status"], "Seccomp:\t0"),
    (["--init"], ["sh", "-c", "echo $$ | grep -v ^1$ | wc -l"], "1"),
    (["--read-only", "--tmpfs", "/t"], ["sh", "-c", "touch /t/x; touch /x 2>/dev/null; echo $?"], "1"),
    (["--pull", "never"], ["echo", "here"], "here"),
    (["--privileged"], ["sh", "-c", "test -c /dev/kmsg; echo $?; grep Seccomp: /proc/self/status"], "0\nSeccomp:\t0"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "command", "seen"), SEEN_INSIDE)
def test_the_container_has_every_requested_setting(
    options: list[str], command: list[str], seen: str, client: Client
) -> None:
    done = client("run", "--rm", *options, "busybox", *command)

    assert (done.line, done.err, done.code) == (seen, "", 0)


def test_the_environment_is_dockers(client: Client) -> None:
    out = client.ok("run", "--rm", "-h", "box", "busybox", "env")

    assert out.splitlines() == [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOSTNAME=box",
        "HOME=/root",
    ]


def test_a_file_of_environment_comes_before_single_variables(
    client: Client, tmp_path: Path
) -> None:
    """A name without a value is the caller's own, and absent where the caller has none."""
    file = tmp_path / "env"
    file.write_text("# a comment\nA=file\nB=file\nMINE\nNOBODYS\n")

    out = client.ok(
        *("run", "--rm", "--env-file", str(file), "-e", "B=flag", "busybox", "env"), MINE="caller's"
    )

    lines = out.splitlines()
    assert {"A=file", "MINE=caller's"} <= set(lines)
    assert [line for line in lines if line.startswith("B=")] == ["B=flag"]
    assert "NOBODYS" not in out


def test_a_bound_directory_is_the_hosts(client: Client, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("from outside")
    script = "cat /a/in; echo from inside > /a/out; touch /b/x 2>/dev/null || echo read-only"

    out = client.ok(
        *("run", "--rm", "-v", f"{tmp_path}:/a", "-v", f"{tmp_path}:/b:ro"),
        *("busybox", "sh", "-c", script),
    )

    assert out == "from outsideread-only"
    assert (tmp_path / "out").read_text() == "from inside\n"


def test_a_bound_directory_that_is_not_there_is_made(client: Client, tmp_path: Path) -> None:
    client.ok("run", "--rm", "-v", f"{tmp_path}/new/one:/a", "busybox", "touch", "/a/x")

    assert (tmp_path / "new/one/x").exists()


def test_a_requested_profile_is_applied(client: Client, tmp_path: Path) -> None:
    profile = tmp_path / "seccomp.json"
    forbidden = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 42}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [forbidden]}))

    done = client(
        *("run", "--rm", "--security-opt", f"seccomp={profile}", "busybox", "mkdir", "/x")
    )

    assert (done.code, done.err) == (
        1,
        "mkdir: can't create directory '/x': No message of desired type\n",
    )


def test_the_hosts_network_is_the_hosts_own(client: Client) -> None:
    """Also its name, by which servers there are known."""
    done = client(
        "run", "--rm", "--network", "host", "busybox", "sh", "-c", "hostname; ls /sys/class/net"
    )

    assert done.out.splitlines()[0] == Path("/proc/sys/kernel/hostname").read_text().strip()
    assert "eth0" not in done.out.splitlines()


@pytest.mark.cgroup_v1
def test_limits_are_the_kernels_limits(client: Client, daemon: DaemonUnderTest) -> None:
    identity = client.ok(
        *("run", "-d", "-m", "32m", "--memory-swap", "48m", "--cpus", "0.5", "--cpu-shares", "256"),
        *("--cpuset-cpus", "0", "--pids-limit", "17", "busybox", "sleep", "1000"),
    )

    assert _limit(daemon, "memory", identity, "memory.limit_in_bytes") == str(32 << 20)
    assert _limit(daemon, "memory", identity, "memory.memsw.limit_in_bytes") == str(48 << 20)
    assert _limit(daemon, "cpu", identity, "cpu.cfs_quota_us") == "50000"
    assert _limit(daemon, "cpu", identity, "cpu.shares") == "256"
    assert _limit(daemon, "cpuset", identity, "cpuset.cpus") == "0"
    assert _limit(daemon, "pids", identity, "pids.max") == "17"


def _limit(daemon: DaemonUnderTest, controller: str, container: str, file: str) -> str:
    (place,) = [
        where
        for name, where in kernel_inventory.hierarchies().items()
        if controller in name.split(",")
    ]
    return (place / f"shipslog-{daemon.tag}" / container / file).read_text().strip()


def test_too_much_memory_ends_it_and_the_reason_is_known(client: Client) -> None:
    done = client(
        *("run", "--name", "greedy", "-m", "8m", "--memory-swap", "8m"),
        *("busybox", "sh", "-c", "exec head -c 64m /dev/zero | tail -c 64m | wc -c"),
    )

    oom = client.ok("inspect", "-f", "{{.State.OOMKilled}}", "greedy")
    assert oom == "true", done


def test_labels_and_the_container_id_are_shown(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "cid"
    labels = tmp_path / "labels"
    labels.write_text("c=d\n")

    identity = client.ok(
        *("create", "--name", "web", "-l", "a=b", "--label-file", str(labels)),
        *(
            "--cidfile",
            str(file),
            "--stop-signal",
            "USR1",
            "--stop-timeout",
            "7",
            "busybox",
            "true",
        ),
    )

    assert file.read_text() == identity
    form = "{{json .Config.Labels}} {{.Config.StopSignal}} {{.Config.StopTimeout}}"
    assert client.ok("inspect", "-f", form, "web") == '{"a":"b","c":"d"} USR1 7'


def test_limits_of_processes_are_the_kernels(client: Client) -> None:
    out = client.ok("run", "--rm", "--ulimit", "core=0", "busybox", "cat", "/proc/self/limits")

    (core,) = [line for line in out.splitlines() if line.startswith("Max core file size")]
    assert core.split()[4:6] == ["0", "0"]
