"""Test namespaces that a container has from the host or from another container."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.harness.client import Api, Refused
from tests.harness.conditions import eventually
from tests.harness.daemon import DaemonUnderTest

pytestmark = pytest.mark.root

WAITING = ("sleep", "1000")


@pytest.fixture
def api(daemon: DaemonUnderTest) -> Api:
    return daemon.api


def namespace(kind: str, pid: int | str = "self") -> str:
    return str(Path(f"/proc/{pid}/ns/{kind}").readlink())


def pid_of(api: Api, name: str) -> int:
    return int(api.inspect(name)["State"]["Pid"])


def refused(call: Callable[..., Any], *args: Any, **fields: Any) -> tuple[int, str]:
    with pytest.raises(Refused) as refusal:
        call(*args, **fields)
    return refusal.value.status, refusal.value.message


@pytest.mark.parametrize(
    ("field", "kind"),
    [("PidMode", "pid"), ("IpcMode", "ipc"), ("UTSMode", "uts"), ("CgroupnsMode", "cgroup")],
)
def test_the_hosts_namespace_is_the_daemons_own(api: Api, field: str, kind: str) -> None:
    api.run("guest", *WAITING, HostConfig={field: "host"})
    api.run("alone", *WAITING)

    assert namespace(kind, pid_of(api, "guest")) == namespace(kind)
    assert namespace(kind, pid_of(api, "alone")) != namespace(kind)
    assert api.inspect("guest")["HostConfig"][field] == "host"


def test_the_hosts_name_stays_the_hosts(api: Api) -> None:
    before = os.uname().nodename
    api.run("guest", "hostname", HostConfig={"UTSMode": "host"}, Domainname="elsewhere")
    api.wait("guest")

    assert api.logs("guest").decode().strip() == os.uname().nodename == before


def test_processes_of_another_container_are_seen(api: Api) -> None:
    owner = api.run("owner", *WAITING)
    api.run("guest", *WAITING, HostConfig={"PidMode": "container:owner"})

    assert api.inspect("guest")["HostConfig"]["PidMode"] == f"container:{owner}"
    assert namespace("pid", pid_of(api, "guest")) == namespace("pid", pid_of(api, "owner"))
    code, seen = api.exec_output("guest", "ps", "-o", "pid,args")
    assert (code, seen.count(b"sleep 1000")) == (0, 2)


def test_a_sharer_of_a_pid_namespace_ends_with_its_owner(api: Api) -> None:
    api.run("owner", *WAITING)
    api.run("guest", *WAITING, HostConfig={"PidMode": "container:owner"})
    api.kill("owner")

    assert api.wait("guest") == 137


def test_what_a_first_process_leaves_behind_ends_with_it(api: Api) -> None:
    """In a PID namespace of its own the kernel ends them; in a shared one the engine has to."""
    api.run("owner", *WAITING)
    leave = ("sh", "-c", "(trap '' HUP; exec sleep 4321) & sleep 0.1")
    api.run("guest", *leave, HostConfig={"PidMode": "container:owner"})
    api.run("of_host", *leave, HostConfig={"PidMode": "host"})
    api.wait("guest")
    api.wait("of_host")

    eventually(lambda: b"sleep\x004321\x00" not in _commands(), "no process is left")


def _commands() -> set[bytes]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            found.add(path.read_bytes())
    return found


def test_shared_memory_and_queues_are_shared_with_the_namespace(api: Api) -> None:
    api.run("owner", *WAITING, HostConfig={"IpcMode": "shareable", "ShmSize": 1 << 20})
    api.exec_output("owner", "sh", "-c", "echo said > /dev/shm/word")
    owner = api.inspect("owner")
    api.run("guest", *WAITING, HostConfig={"IpcMode": "container:owner"})
    code, seen = api.exec_output(
        "guest", "sh", "-c", "cat /dev/shm/word; echo back > /dev/shm/answer; df -k /dev/shm"
    )
    _, answer = api.exec_output("owner", "cat", "/dev/shm/answer")

    assert code == 0
    assert seen.startswith(b"said\n")
    assert b" 1024 " in seen
    assert answer == b"back\n"
    assert api.inspect("guest")["HostConfig"]["IpcMode"] == f"container:{owner['Id']}"
    assert namespace("ipc", pid_of(api, "guest")) == namespace("ipc", pid_of(api, "owner"))
    mounts = Path(f"/proc/{pid_of(api, 'guest')}/mountinfo").read_text()
    (shm,) = [line for line in mounts.splitlines() if " /dev/shm " in line]
    assert {"nosuid", "nodev", "noexec"} <= set(shm.split()[5].split(","))


def test_a_joining_container_may_share_its_namespace_again(api: Api) -> None:
    api.run("first", *WAITING, HostConfig={"IpcMode": "shareable"})
    api.run("second", *WAITING, HostConfig={"IpcMode": "container:first"})
    api.run("third", *WAITING, HostConfig={"IpcMode": "container:second"})

    assert namespace("ipc", pid_of(api, "third")) == namespace("ipc", pid_of(api, "first"))


def test_without_ipc_there_is_no_shared_memory(api: Api) -> None:
    api.run("none", "ls", "/dev/shm", HostConfig={"IpcMode": "none"})

    assert api.wait("none") == 1


def test_private_ipc_can_not_be_joined(api: Api) -> None:
    owner = api.run("owner", *WAITING)
    api.create("guest", *WAITING, HostConfig={"IpcMode": "container:owner"})

    assert refused(api.start, "guest") == (
        409,
        f"can't join IPC of container {owner}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)",
    )


@pytest.mark.parametrize("field", ["PidMode", "IpcMode"])
def test_a_missing_owner_is_refused_at_once(api: Api, field: str) -> None:
    status, message = refused(api.create, "guest", "true", HostConfig={field: "container:nobody"})

    assert (status, message) == (400, "No such container: nobody")
    assert api.ps() == []


def test_an_owner_that_does_not_run_is_refused_at_the_start(api: Api) -> None:
    owner = api.create("owner", *WAITING, HostConfig={"IpcMode": "shareable"})
    api.create("guest", "true", HostConfig={"PidMode": "container:owner"})
    api.create("other", "true", HostConfig={"IpcMode": "container:owner"})

    not_running = f"container {owner} is not running"
    assert refused(api.start, "guest") == (409, not_running)
    assert refused(api.start, "other") == (
        409,
        f"can't join IPC of container {owner}: {not_running}",
    )
    assert api.status("guest") == "created"


def test_a_removed_owner_is_refused_at_the_start(api: Api) -> None:
    owner = api.create("owner", *WAITING)
    api.create("guest", "true", HostConfig={"PidMode": "container:owner"})
    api.remove("owner")

    assert refused(api.start, "guest") == (
        409,
        f"cannot join PID of a non running container: {owner}: No such container: {owner}",
    )


def test_an_owner_that_waits_for_its_restart_is_refused(api: Api) -> None:
    policy = {"Name": "always"}
    owner = api.run("owner", "false", HostConfig={"RestartPolicy": policy})
    api.create("guest", "true", HostConfig={"PidMode": "container:owner"})
    eventually(lambda: api.inspect("owner")["RestartCount"] > 3, "it restarts slowly")
    eventually(lambda: api.status("owner") == "restarting", "it waits")

    assert refused(api.start, "guest") == (
        409,
        f"Container {owner} is restarting, wait until the container is running",
    )


def test_nothing_is_held_of_an_owner_that_has_ended(api: Api, daemon: DaemonUnderTest) -> None:
    """Neither monitor nor joining container keeps a descriptor of its namespaces."""
    api.run("owner", *WAITING, HostConfig={"IpcMode": "shareable"})
    both = {"PidMode": "container:owner", "IpcMode": "container:owner"}
    api.run("guest", *WAITING, HostConfig=both)
    guest = pid_of(api, "guest")
    parent = int(Path(f"/proc/{guest}/stat").read_text().rpartition(")")[2].split()[1])

    links = [
        str(path.readlink())
        for pid in (guest, parent)
        for path in Path(f"/proc/{pid}/fd").iterdir()
    ]
    assert not [link for link in links if link.startswith(("pid:", "ipc:", "mnt:"))]
