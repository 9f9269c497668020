"""Test the options of ``docker run`` and ``docker create``, one by one: each shows inside the
container, or is refused with Docker's message.
"""

from pathlib import Path
from typing import Final

import pytest

from tests.api.clients import Client
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

SHOWN: Final = {
    "--cpu-shares 512": ("true", ""),
    "--add-host a:1.2.3.4": ("grep a$ /etc/hosts", "1.2.3.4\ta"),
    "--annotation a=b": ("true", ""),
    "--cap-drop ALL": ("grep CapEff /proc/self/status", "CapEff:\t0000000000000000"),
    "--cgroupns host": ("true", ""),
    "--device /dev/null:/dev/other:r": ("cat /dev/other", ""),
    "--dns 1.2.3.4": ("grep nameserver /etc/resolv.conf", "nameserver 1.2.3.4"),
    "--dns-search s.test": ("grep search /etc/resolv.conf", "search s.test"),
    "--dns-option ndots:3": ("grep options /etc/resolv.conf", "options ndots:3"),
    "--domainname d.test": ("cat /proc/sys/kernel/domainname", "d.test"),
    "--entrypoint echo": ("one two", "one two"),
    "--expose 80 --publish-all": ("true", ""),
    "--group-add 5 --user 1000:1001": ("id -G", "1001 5"),
    "--hostname ship": ("hostname", "ship"),
    "--init": ("cat /proc/1/comm", "docker-init"),
    "--ipc none": ("true", ""),
    "--isolation default": ("true", ""),
    "--log-driver none": ("echo seen", "seen"),
    "--log-opt max-size=1m --log-opt max-file=2": ("true", ""),
    "--mac-address 02:42:ac:11:00:99": ("cat /sys/class/net/eth0/address", "02:42:ac:11:00:99"),
    "--mount type=tmpfs,dst=/m,tmpfs-mode=700": ("stat -c %a /m", "700"),
    "--network none": ("ls /sys/class/net", "lo"),
    "--no-healthcheck": ("true", ""),
    "--oom-score-adj 500": ("cat /proc/self/oom_score_adj", "500"),
    "--pid host --uts host": ("true", ""),
    "--platform linux/amd64": ("true", ""),
    "--privileged": ("grep Seccomp: /proc/self/status", "Seccomp:\t0"),
    "--pull never --quiet": ("true", ""),
    "--read-only": ("grep -o ^overlay./.overlay.ro /proc/mounts", "overlay / overlay ro"),
    "--security-opt no-new-privileges": (
        "grep NoNewPrivs /proc/self/status",
        "NoNewPrivs:\t1",
    ),
    "--shm-size 1m": ("df -k /dev/shm", "1024"),
    "--stop-signal INT --stop-timeout 3": ("true", ""),
    "--sysctl net.ipv4.ip_forward=0": ("cat /proc/sys/net/ipv4/ip_forward", "0"),
    "--tmpfs /t:mode=1700": ("stat -c %a /t", "1700"),
    "--ulimit nofile=100:200": ("grep open.files /proc/self/limits", "100                  200"),
    "--userns host": ("true", ""),
    "--workdir /not/there": ("pwd", "/not/there"),
    "-a stdout": ("echo seen", "seen"),
}
"""Options, a command, and its output."""

REFUSED: Final = {
    "--add-host nope": "invalid argument",
    "--cap-add NOPE": 'invalid CapAdd: unknown capability: "CAP_NOPE"',
    "--cgroupns nope": "invalid CGROUP mode",
    "--cpus 1000": "Range of CPUs is from 0.01 to",
    "--cpus 1 --cpu-quota 1000": "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
    "--cpu-period 1": "CPU cfs period can not be less than 1ms",
    "--cpuset-cpus 99": "Requested CPUs are not available",
    "--cpuset-mems 99": "Requested memory nodes are not available",
    "--dns nope": "IP address is not correctly formatted: nope",
    "--env-file /nosuch": "no such file or directory",
    "--expose nope": "invalid range format for --expose",
    "--gpus all": "could not select device driver",
    "--health-cmd true --health-interval 1us": "Interval in Healthcheck cannot be less than 1ms",
    "--ipc nope": "invalid IPC mode: nope",
    "--isolation nope": "invalid isolation (nope): linux only supports 'default'",
    "--label-file /nosuch": "no such file or directory",
    "--log-driver nope": 'no log driver named "nope" is registered',
    "--log-opt nope=1": "unknown log opt 'nope' for json-file log driver",
    "--mac-address nope": "nope is not a valid mac address",
    "--memory 3m": "Minimum memory limit allowed is 6MB",
    "--memory 64m --memory-swap 32m": "Minimum memoryswap limit should be larger than memory limit",
    "--mount type=bind,src=/nosuch/dir,dst=/m": "bind source path does not exist: /nosuch/dir",
    "--mount type=nope,dst=/m": "mount type unknown",
    "--network nope": "network nope not found",
    "--no-healthcheck --health-cmd true": "--no-healthcheck conflicts with --health-* options",
    "--oom-score-adj 5000": "range for oom score adj is [-1000, 1000]",
    "--pid nope": "PID mode",
    "--platform nope": "unknown operating system or architecture",
    "--publish 99999:1": "99999",
    "--pull nope": "invalid pull option: 'nope'",
    "--restart always": "conflicting options: cannot specify both --restart and --rm",
    "--runtime nope": "unknown or invalid runtime name: nope",
    "--security-opt nope=1": 'invalid --security-opt 2: "nope=1"',
    "--stop-signal NOPE": "invalid signal: NOPE",
    "--sysctl nope=0": "nope",
    "--ulimit nope=1": "invalid ulimit type: nope",
    "--user nope": "unable to find user nope: no matching entries in passwd file",
    "--userns nope": "invalid USER mode",
    "--uts nope": "invalid UTS mode",
    "--volume /tmp:/a:nope": "invalid mode: nope",
    "--volume /tmp:relative": "invalid mount path: 'relative' mount path must be absolute",
    "--volumes-from nosuch": "No such container: nosuch",
    "--workdir relative": "the working directory 'relative' is invalid, it needs to be an absolute path",
}


@pytest.mark.parametrize("options", SHOWN)
def test_an_option_shows_inside(options: str, docker: Client) -> None:
    command, wanted = SHOWN[options]

    assert wanted in docker.ok("run", "--rm", *options.split(), "busybox", *command.split())


@pytest.mark.parametrize("options", REFUSED)
def test_an_impossible_option_is_refused_and_leaves_nothing(
    options: str, docker: Client, daemon: DaemonUnderTest
) -> None:
    done = docker("run", "--rm", *options.split(), "busybox", "true")

    assert done.code == 125
    assert REFUSED[options] in done.err
    assert daemon.api.ps() == []


def test_other_refusals_leave_the_codes_that_dockers_command_makes_of_them(docker: Client) -> None:
    """A missing file is 127 to it, wherever it is missing; an attach is refused when the container
    is already made.
    """
    device = docker("run", "--rm", "--device", "/dev/nosuch", "busybox", "true")
    keys = docker("run", "--name", "left", "--detach-keys", "nope,nope", "busybox", "true")

    assert (device.code, "error gathering device information" in device.err) == (127, True)
    assert (keys.code, "received 400" in keys.err) == (1, True)
    assert docker.ok("ps", "-a", "--format", "{{.Names}} {{.State}}") == "left created"


def test_files_give_variables_labels_and_take_the_id(docker: Client, tmp_path: Path) -> None:
    (tmp_path / "variables").write_text("A=file\n# not this\nB=file\n")
    (tmp_path / "labels").write_text("from=file\n")
    files = (
        *("--env-file", str(tmp_path / "variables"), "-e", "B=word"),
        *("--label-file", str(tmp_path / "labels"), "--cidfile", str(tmp_path / "id")),
    )

    out = docker.ok("run", "--name", "web", *files, "busybox", "sh", "-c", "echo $A $B")

    assert out == "file word"
    found = docker.ok("inspect", "-f", "{{.Id}} {{.Config.Labels.from}}", "web")
    assert found == f"{(tmp_path / 'id').read_text()} file"
    again = docker("run", *files, "busybox", "true")
    assert again.code == 125
    assert "container ID file found" in again.err


def test_what_was_named_is_done_and_what_is_missing_is_reported(
    docker: Client, daemon: DaemonUnderTest
) -> None:
    for name in ("one", "two", "three"):
        daemon.api.run(name, "sleep", "1000")

    with docker.started("wait", "one", "two") as waits:
        assert docker.ok("rm", "-f", "three") == "three"
        done = docker("stop", "-t", "0", "one", "nosuch", "two")
        output, _ = waits.communicate(timeout=20)

    assert (done.code, done.out.split()) == (1, ["one", "two"])
    assert "No such container: nosuch" in done.err
    assert (waits.returncode, output) == (0, b"137\n137\n")
    done = docker("rm", "-f", "one", "nosuch", "two")
    assert (done.code, done.out.split()) == (0, ["one", "two"])


def test_a_container_that_fails_is_started_again_as_often_as_it_may(docker: Client) -> None:
    policy = ("--restart", "on-failure:2")
    docker.ok("run", "-d", "--name", "fails", *policy, "busybox", "sh", "-c", "exit 3")

    def state() -> str:
        form = "{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}"
        return docker.ok("inspect", "-f", form, "fails")

    eventually(lambda: state() == "2 exited 3", "it was started twice more")


def test_a_list_shows_what_was_asked_for(docker: Client, daemon: DaemonUnderTest) -> None:
    publish = ("-p", "127.0.0.1:18080:80", "-v", "/tmp:/host")
    docker.ok("create", "--name", "web", "-l", "a=b", *publish, "busybox", "sleep", "1000")
    docker.ok("start", "web")

    form = "{{.Image}} {{.Command}} {{.Ports}} {{.State}} {{.Networks}} {{.Mounts}} {{.Labels}}"
    row = docker.ok("ps", "--no-trunc", "--format", form)

    assert row == 'busybox "sleep 1000" 127.0.0.1:18080->80/tcp running bridge /tmp a=b'
    for filters in ("publish=18080", "expose=80/tcp", "network=bridge", "volume=/host", "label=a"):
        assert docker.ok("ps", "--filter", filters, "--format", "{{.Names}}") == "web", filters
    for filters in ("publish=81", "network=none", "volume=/nosuch", "label=nosuch", "id=zz"):
        assert docker.ok("ps", "--filter", filters, "--format", "{{.Names}}") == "", filters
    assert "invalid filter 'status=" in docker("ps", "--filter", "status=nope").err
    assert docker.ok("port", "web") == "80/tcp -> 127.0.0.1:18080"


def test_an_exec_has_what_was_requested(
    docker: Client, daemon: DaemonUnderTest, tmp_path: Path
) -> None:
    daemon.api.run("host", "sleep", "1000")
    (tmp_path / "variables").write_text("B=2\n")
    files = ("--env-file", str(tmp_path / "variables"))
    script = "echo $A$B $PWD $(id -u):$(id -g)"
    options = ("--env", "A=1", *files, "--workdir", "/tmp", "--user", "5:6")

    assert docker.ok("exec", *options, "host", "sh", "-c", script) == "12 /tmp 5:6"
    assert docker.ok("exec", "-t", "host", "tty").strip() == "/dev/pts/0"
    assert docker("exec", "-i", "host", "cat", given=b"given").out == "given"
    assert docker("exec", "host", "sh", "-c", "exit 7").code == 7


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (
            "-u nope host true",
            126,
            "unable to find user nope: no matching entries in passwd file\r\n",
        ),
        ("host nosuch", 127, 'exec: "nosuch": executable file not found in $PATH'),
        ("host /etc", 126, 'exec: "/etc": permission denied'),
        ("-w /nosuch host true", 127, 'chdir to cwd ("/nosuch")'),
        ("--env-file /nosuch host true", 1, "no such file or directory"),
        ("--detach-keys nope,nope host true", 1, "nope,nope"),
        ("-it host sh", 1, "the input device is not a TTY"),
        ("host", 1, "requires at least 2 arguments"),
        ("nosuch true", 1, "No such container: nosuch"),
    ],
)
def test_an_impossible_exec_is_refused(
    words: str, code: int, expected: str, docker: Client, daemon: DaemonUnderTest
) -> None:
    daemon.api.run("host", "sleep", "1000")

    done = docker("exec", *words.split())

    assert (done.code, expected in done.out + done.err) == (code, True), done


def test_container_markers_exist_and_are_not_changes(docker: Client, tmp_path: Path) -> None:
    docker.ok("run", "--name", "web", "--read-only", "busybox", "true")

    shown = docker.ok("run", "--rm", "busybox", "ls", "-l", "/.dockerenv", "/etc/mtab")
    assert [row[:10] for row in shown.splitlines()] == ["-rwxr-xr-x", "lrwxrwxrwx"]
    assert docker.ok("diff", "web") == ""

    docker.ok("export", "-o", str(tmp_path / "root.tar"), "web")
    docker.ok("import", str(tmp_path / "root.tar"), "again")
    docker.ok("run", "--name", "again", "again", "true")
    assert docker.ok("diff", "again") == ""
    docker.ok("rm", "again")
    docker.ok("rmi", "again")
