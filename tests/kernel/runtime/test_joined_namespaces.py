"""Test namespaces that a container joins instead of making them, by descriptors."""

import os
from collections.abc import Callable
from pathlib import Path

from engine.runtime.bundle import Bundle
from engine.runtime.init import become_init
from tests.kernel.runtime import bundles
from tests.kernel.runtime.bundles import RunContainer, shell


def test_the_hosts_name_is_never_changed(run: RunContainer) -> None:
    """Even if a bundle says so: a UTS namespace that is not listed is the host's."""
    before = os.uname().nodename
    namespaces = [{"type": name} for name in ("mount", "pid", "ipc", "cgroup", "network")]
    seen = run("hostname", hostname="elsewhere", linux={"namespaces": namespaces})

    assert seen.lines == [before]
    assert os.uname().nodename == before


def test_shared_memory_is_found_where_the_owner_has_it(
    make: Callable[..., Bundle], tmp_path: Path
) -> None:
    """It is cloned from another mount namespace, and the child is back in its own before it goes
    on.
    """
    joined = bundles.mount("/dev/shm", "shm", "/dev/shm", "bind", "rprivate", "nosuid", "noexec")
    script = "until cat /dev/shm/word 2>/dev/null; do sleep 0.01; done; cat /proc/sys/kernel/hostname; readlink /proc/self/ns/ipc"
    first = make("sh", "-c", "echo said > /dev/shm/word; sleep 1000")
    guest_mounts = [each for each in first.config["mounts"] if each["destination"] != "/dev/shm"]
    guest = bundles.bundle(
        tmp_path / "guest",
        Path(first.monitor["overlay"]["lower"][0]),
        {
            **first.config,
            "mounts": [*guest_mounts, joined],
            "process": {**first.config["process"], "args": list(shell(script))},
        },
    )

    def act(monitor: bundles.Monitor) -> tuple[list[str], str]:
        owner = monitor.init()
        names = {"ipc": "ipc", "shm": "mnt"}
        joined_fds = {
            kind: os.open(f"/proc/{owner.pid}/ns/{file}", os.O_RDONLY)
            for kind, file in names.items()
        }
        ipc = bundles.link(f"/proc/{owner.pid}/ns/ipc")
        seen = bundles.Started(
            lambda *ends: become_init(guest, *ends, joined=joined_fds), terminal=False
        ).wait()
        owner.kill()
        return [*seen.lines, str(seen.report)], ipc

    lines, ipc = bundles.in_monitor(first, act)

    assert lines == ["said", "container", ipc, "{}"]
