"""Test the namespaces of a container's first process."""

import re

from tests.kernel.runtime import bundles
from tests.kernel.runtime.bundles import RunContainer, mounts_of, shell


def test_every_namespace_but_user_and_time_is_new(run: RunContainer) -> None:
    kinds = ("cgroup", "ipc", "mnt", "net", "pid", "uts", "user", "time")
    seen = run(*shell("; ".join(f"readlink /proc/self/ns/{kind}" for kind in kinds))).lines
    host = [bundles.link(f"/proc/self/ns/{kind}") for kind in kinds]

    shared = {kind for kind, ours, theirs in zip(kinds, host, seen, strict=True) if ours == theirs}
    assert shared == {"user", "time"}


def test_a_namespace_that_is_not_listed_is_shared_with_the_host(run: RunContainer) -> None:
    namespaces = [{"type": name} for name in ("mount", "pid", "ipc")]
    seen = run(
        *shell("readlink /proc/self/ns/net; readlink /proc/self/ns/uts"),
        linux={"namespaces": namespaces},
        hostname="",
    )

    assert seen.lines == [bundles.link("/proc/self/ns/net"), bundles.link("/proc/self/ns/uts")]


def test_a_namespace_with_a_path_is_joined(run: RunContainer) -> None:
    namespaces = [{"type": name} for name in ("mount", "pid", "ipc", "uts")]
    joined = {"type": "network", "path": "/proc/self/ns/net"}
    seen = run("readlink", "/proc/self/ns/net", linux={"namespaces": [*namespaces, joined]})

    assert seen.lines == [bundles.link("/proc/self/ns/net")]


def test_it_is_pid_1_and_leads_a_session(run: RunContainer) -> None:
    seen = run("cat", "/proc/self/stat")

    pid, _, _, parent, group, session = seen.output.split()[:6]
    assert (pid, parent, group, session) == ("1", "0", "1", "1")


def test_it_has_its_hostname_and_domainname(run: RunContainer) -> None:
    seen = run(*shell("hostname; cat /proc/sys/kernel/domainname"), domainname="example")

    assert seen.lines == ["container", "example"]


def test_the_filesystems_are_those_of_docker(run: RunContainer) -> None:
    seen = mounts_of(run("cat", "/proc/self/mountinfo"))
    cgroup = seen.pop("/sys/fs/cgroup")
    seen = {place: what for place, what in seen.items() if not place.startswith("/sys/fs/cgroup/")}
    optional = ("/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/latency_stats", "/proc/timer_list", "/proc/scsi", "/sys/devices/virtual/powercap", "/sys/firmware", "/proc/sched_debug", "/proc/keys", "/proc/sysrq-trigger", "/proc/timer_stats")  # fmt: skip
    for place in optional:
        seen.pop(place, None)

    private = "nosuid,nodev,noexec,relatime"
    assert cgroup[1] == f"ro,{private}"
    assert seen == {
        "/": ("overlay", "rw,relatime"),
        "/dev": ("tmpfs", "rw,nosuid"),
        "/dev/mqueue": ("mqueue", f"rw,{private}"),
        "/dev/pts": ("devpts", "rw,nosuid,noexec,relatime"),
        "/dev/shm": ("tmpfs", f"rw,{private}"),
        "/proc": ("proc", f"rw,{private}"),
        "/proc/bus": ("proc", f"ro,{private}"),
        "/proc/fs": ("proc", f"ro,{private}"),
        "/proc/interrupts": ("tmpfs", "rw,nosuid"),
        "/proc/irq": ("proc", f"ro,{private}"),
        "/proc/sys": ("proc", f"ro,{private}"),
        "/sys": ("sysfs", f"ro,{private}"),
    }


def test_every_mount_is_private(run: RunContainer) -> None:
    seen = run("cat", "/proc/self/mountinfo")

    assert not re.search(r"shared:|master:|propagate_from:", seen.output)


def test_its_own_cgroups_can_be_read(run: RunContainer) -> None:
    seen = run(
        *shell("cat /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs 2>&1 | head -n 1")
    )

    assert seen.code == 0
    assert seen.output


def test_devices_and_links_are_those_of_docker(run: RunContainer) -> None:
    script = "cd /dev; for f in *; do if [ -L $f ]; then echo $f $(readlink $f); else stat -c '%n %A %t:%T' $f; fi; done"
    seen = run(*shell(script)).lines

    device = "crw-rw-rw-"
    assert set(seen) - {"core /proc/kcore"} == {
        "fd /proc/self/fd",
        f"full {device} 1:7",
        "mqueue drwxrwxrwt 0:0",
        f"null {device} 1:3",
        "ptmx pts/ptmx",
        "pts drwxr-xr-x 0:0",
        f"random {device} 1:8",
        "shm drwxrwxrwt 0:0",
        "stderr /proc/self/fd/2",
        "stdin /proc/self/fd/0",
        "stdout /proc/self/fd/1",
        f"tty {device} 5:0",
        f"urandom {device} 1:9",
        f"zero {device} 1:5",
    }


def test_devices_that_were_asked_for_are_made(run: RunContainer) -> None:
    fuse = {
        "path": "/dev/net/fuse",
        "type": "c",
        "major": 10,
        "minor": 229,
        "fileMode": 0o640,
        "gid": 7,
    }
    null = {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600}
    seen = run(
        *shell("stat -c '%n %A %t:%T %g' /dev/net/fuse /dev/null"), linux={"devices": [fuse, null]}
    )

    assert seen.lines == ["/dev/net/fuse crw-r----- a:e5 7", "/dev/null crw------- 1:3 0"]
