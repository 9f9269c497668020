"""Test the rights of a container's first process, and what is hidden from it."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.drivers.runs.seccomp import SeccompPrograms
from engine.runtime.bundle import Bundle
from tests.kernel.runtime import bundles
from tests.kernel.runtime.bundles import Outcome, RunContainer, config, mount, mounts_of, shell


def test_capabilities_are_dockers(run: RunContainer) -> None:
    seen = run("grep", "^Cap", "/proc/self/status")

    dockers = "00000000a80425fb"
    none = "0" * 16
    assert [line.split()[1] for line in seen.lines] == [none, dockers, dockers, dockers, none]


def test_another_user_than_root_keeps_only_the_bounding_set(run: RunContainer) -> None:
    seen = run("grep", "^Cap", "/proc/self/status", process={"user": {"username": "nobody"}})

    none = "0" * 16
    assert [line.split()[1] for line in seen.lines] == [none, none, none, "00000000a80425fb", none]


def test_ambient_capabilities_survive_for_another_user(run: RunContainer) -> None:
    names = ["CAP_NET_BIND_SERVICE"]
    kinds = ("bounding", "effective", "permitted", "inheritable", "ambient")
    sets = dict.fromkeys(kinds, names)
    seen = run(
        *("grep", "^Cap", "/proc/self/status"),
        process={"user": {"username": "nobody"}, "capabilities": sets},
    )

    assert {line.split()[1] for line in seen.lines} == {"0000000000000400"}


def test_no_capabilities_are_no_capabilities(run: RunContainer) -> None:
    seen = run("grep", "^Cap", "/proc/self/status", process={"capabilities": {}})

    assert {line.split()[1] for line in seen.lines} == {"0" * 16}


@pytest.mark.parametrize("asked", [False, True])
def test_new_privileges_are_possible_unless_forbidden(run: RunContainer, asked: bool) -> None:
    seen = run("grep", "NoNewPrivs", "/proc/self/status", process={"noNewPrivileges": asked})

    assert seen.output.split()[1] == str(int(asked))


@pytest.mark.parametrize("no_new_privileges", [False, True])
@pytest.mark.parametrize("user", ["", "nobody"])
def test_the_seccomp_filter_applies_to_every_user(
    run: RunContainer, tmp_path: Path, user: str, no_new_privileges: bool
) -> None:
    program = SeccompPrograms(tmp_path / "programs").path(
        "", config()["process"]["capabilities"]["bounding"]
    )
    seen = run(
        *shell("grep Seccomp: /proc/self/status; unshare -U true"),
        process={"user": {"username": user}, "noNewPrivileges": no_new_privileges},
        monitor={"seccomp_path": str(program)},
    )

    assert seen.lines == ["Seccomp:\t2", "unshare: unshare(0x10000000): Operation not permitted"]


def test_signals_are_as_a_new_process_expects_them(make: Callable[..., Bundle]) -> None:
    def act(monitor: bundles.Monitor) -> Outcome:
        for number in (
            signal.SIGHUP,
            signal.SIGINT,
            signal.SIGTERM,
            signal.SIGUSR2,
            signal.SIGRTMIN,
        ):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        return monitor.init().wait()

    seen = Outcome(*bundles.in_monitor(make("grep", "^Sig[BIC]", "/proc/self/status"), act))

    assert {line.split()[1] for line in seen.lines} == {"0" * 16}


def test_only_its_stdio_is_open(make: Callable[..., Bundle]) -> None:
    def act(monitor: bundles.Monitor) -> Outcome:
        for fd in (3, 5, 63, 200):
            os.dup2(os.open("/etc/passwd", os.O_RDONLY), fd, inheritable=True)
        return monitor.init().wait()

    seen = Outcome(*bundles.in_monitor(make(*shell("ls /proc/1/fd; true")), act))

    assert seen.lines == ["0", "1", "2"]


def test_limits_and_umask_are_set(run: RunContainer) -> None:
    limits = [
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
    ]
    seen = run(*shell("ulimit -Sn; ulimit -Hn; ulimit -c; umask"), process={"rlimits": limits})

    assert seen.lines == ["100", "200", "0", "0022"]


def test_sysctls_of_its_own_namespaces_are_set(
    run: RunContainer,
) -> None:
    wanted = {
        "net.ipv4.ip_forward": "1",
        "kernel.shm_rmid_forced": "1",
        "net.ipv4.ping_group_range": "0 7",
    }
    before = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    seen = run(
        *shell(
            "cd /proc/sys; cat net/ipv4/ip_forward kernel/shm_rmid_forced net/ipv4/ping_group_range"
        ),
        linux={"sysctl": wanted},
    )

    assert [line.split() for line in seen.lines] == [["1"], ["1"], ["0", "7"]]
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == before


@pytest.mark.parametrize(
    "name", ["kernel.panic", "vm.swappiness", "net/../kernel/panic", "fs.file-max"]
)
def test_a_sysctl_of_the_machine_is_refused(run: RunContainer, name: str) -> None:
    seen = run("true", linux={"sysctl": {name: "1"}})

    assert seen.report["message"] == f'sysctl "{name}" is not in a separate kernel namespace'
    assert seen.code == 125


def test_its_cgroup_is_joined_before_anything_runs(
    run: RunContainer, own_cgroup: tuple[Path, str]
) -> None:
    procs, line = own_cgroup
    namespaces = [{"type": name} for name in ("mount", "pid", "uts", "ipc", "network")]
    seen = run(
        "cat",
        "/proc/self/cgroup",
        monitor={"cgroup_procs": [str(procs)]},
        linux={"namespaces": namespaces},
    )

    assert line in seen.lines


@pytest.fixture
def own_cgroup() -> Iterator[tuple[Path, str]]:
    """Make a cgroup below the test's own; return the file to join it, and its line in
    /proc/self/cgroup.
    """
    top = Path("/sys/fs/cgroup/pids")
    top = top if top.is_dir() else Path("/sys/fs/cgroup")
    group = top / f"shipslog-test-init-{os.getpid()}"
    group.mkdir()
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    prefix = next(line for line in lines if (":pids:" if top.name == "pids" else "0::") in line)
    number, controllers, _ = prefix.split(":", 2)
    yield group / "cgroup.procs", f"{number}:{controllers}:/{group.name}"
    group.rmdir()


def test_masked_files_are_empty_and_masked_directories_too(run: RunContainer) -> None:
    seen = run(
        *shell(
            "cat /proc/keys /proc/interrupts | wc -c; ls -A /sys/firmware /proc/scsi /proc/acpi 2>/dev/null | grep -v :"
        )
    )

    assert [line for line in seen.lines if line] == ["0"]


def test_read_only_paths_can_not_be_written(run: RunContainer) -> None:
    seen = run(
        *shell(
            "echo x > /proc/sys/kernel/domainname; echo 1 > /proc/irq/default_smp_affinity; mkdir /sys/fs/cgroup/x"
        )
    )

    assert len(re.findall("Read-only file system", seen.output)) == 3


def test_nothing_of_the_host_is_left_in_the_mount_table(run: RunContainer, tmp_path: Path) -> None:
    seen = mounts_of(run("cat", "/proc/self/mountinfo"))

    assert all(place == "/" or place.split("/")[1] in ("proc", "sys", "dev") for place in seen)


def test_a_read_only_root_is_read_only_and_what_is_mounted_there_is_not(run: RunContainer) -> None:
    seen = run(
        *shell("touch /x; touch /tmp/x && touch /dev/shm/x && echo fine"),
        root={"path": "rootfs", "readonly": True},
        mounts=[mount("/tmp", "tmpfs", "tmpfs", "nosuid")],
    )

    assert seen.lines == ["touch: /x: Read-only file system", "fine"]
