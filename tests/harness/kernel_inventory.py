"""List everything that one daemon owns in the kernel, without asking the daemon, and compare it
with the daemon's answers.

All objects of an instance have its tag or are below its roots, so /proc, mountinfo, the cgroup
hierarchies, the links and the firewall show all of them: also those that the daemon has forgotten.
"""

import json
import os
import re
import subprocess
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.domain import naming
from engine.domain.ids import InstanceId, SandboxId
from engine.domain.network.macvlan import STACKED_DRIVERS
from tests.harness.client import Api, Json

PREPARED_SHARE: Final = 4
"""A user-defined network gets 1/PREPARED_SHARE as many prepared namespaces."""
PREPARED_MAX: Final = 8
"""Namespaces that a running daemon may keep prepared: the supervisor's PREPARED_MAX."""
_LIVE: Final = ("running", "paused")


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelInventory:
    """The kernel objects of daemons with these roots."""

    monitors: dict[str, list[int]]
    """Holders of a bundle's lock, by container."""
    processes: dict[str, list[int]]
    """Processes in a container's cgroup, by container."""
    cgroups: dict[str, set[str]]
    """Containers by hierarchy."""
    veths: set[str]
    pins: set[str]
    """Mounted network namespaces."""
    pin_files: set[str]
    other_mounts: set[str]
    """Mounts below the daemon's roots that are not pins."""
    bundles: set[str]
    directories: set[str]
    bridges: set[str]
    tables: set[str]
    resolvers: set[int]
    others: dict[int, str]
    """Processes that have one of the daemon's files open but are neither daemon, launcher, monitor
    nor resolver.
    """


@dataclass(frozen=True, slots=True)
class Roots:
    """The directories of one daemon."""

    instance: InstanceId
    data_root: Path
    exec_root: Path

    @property
    def tag(self) -> str:
        return naming.tag(self.instance)


def read_inventory(roots: Roots) -> KernelInventory:
    """Read /proc, the mounts, the cgroups and the links."""
    monitors: dict[str, list[int]] = {}
    resolvers: set[int] = set()
    others: dict[int, str] = {}
    for pid, path in _files_open_below(roots.exec_root):
        parts = path.relative_to(roots.exec_root).parts
        if parts[0] == "bundles" and parts[2:] == ("lock",):
            monitors.setdefault(parts[1], []).append(pid)
        elif parts[0] == "resolver":
            resolvers.add(pid)
        elif parts[0] != "launcher.lock":
            others[pid] = str(path)
    mounts = _mounts_below(roots)
    pins = {Path(each).name for each in mounts if Path(each).parent == roots.exec_root / "netns"}
    return KernelInventory(
        monitors=monitors,
        processes=_processes(roots),
        cgroups=_cgroups(roots),
        veths={
            name for name in links() if name.startswith(naming.host_veth_prefix(roots.instance))
        },
        pins=pins,
        pin_files=_names(roots.exec_root / "netns"),
        other_mounts={each for each in mounts if Path(each).parent != roots.exec_root / "netns"},
        bundles=_names(roots.exec_root / "bundles"),
        directories=_names(roots.data_root / "containers"),
        bridges={
            link["ifname"]
            for link in _all_links()
            if link.get("ifalias") == f"shipslog {roots.instance}"
        },
        tables={each for each in _tables() if each == naming.firewall_table(roots.instance)},
        resolvers=resolvers,
        others={
            pid: path
            for pid, path in others.items()
            if pid not in resolvers and not any(pid in held for held in monitors.values())
        },
    )


def problems(roots: Roots, api: Api) -> list[str]:
    """Return what is wrong or leaked, in words, while the daemon answers; empty if kernel and log
    agree.
    """
    containers = [_bridged_alone(api, api.inspect(each["Id"])) for each in api.ps()]
    bridges = bridges_of(api)
    prepared_max = PREPARED_MAX + (len(bridges) - 1) * (PREPARED_MAX // PREPARED_SHARE)
    return compare(roots, read_inventory(roots), containers, bridges, prepared_max=prepared_max)


def _bridged_alone(api: Api, container: Json) -> Json:
    """Return a container without the networks whose links have no end on the host."""
    settings = container["NetworkSettings"]
    stacked = {each["Id"] for each in api.get("/networks") if each["Driver"] in STACKED_DRIVERS}
    bridged = {k: v for k, v in settings["Networks"].items() if v["NetworkID"] not in stacked}
    return container | {"NetworkSettings": settings | {"Networks": bridged}}


def bridges_of(api: Api) -> set[str]:
    """Return the bridges that should exist."""
    return {
        each["Options"].get("com.docker.network.bridge.name") or f"br-{each['Id'][:12]}"
        for each in api.get("/networks")
        if each["Driver"] == "bridge"
    }


def compare(
    roots: Roots,
    inventory: KernelInventory,
    containers: list[Json],
    bridges: set[str],
    *,
    prepared_max: int,
) -> list[str]:
    """Return what is wrong, given ``inspect`` of every container."""
    live = {each["Id"]: each for each in containers if each["State"]["Status"] in _LIVE}
    known = {each["Id"] for each in containers}
    found = [
        *_untrue_states(inventory, containers),
        *_wrong_cgroups(inventory, set(live)),
        *_wrong_sandboxes(roots, inventory, tuple(live.values()), prepared_max),
        *(
            f"monitor of {each[:12]}, which does not run"
            for each in inventory.monitors.keys() - live
        ),
        *(
            f"processes of {each[:12]}, which does not run"
            for each in inventory.processes.keys() - live
        ),
        *(f"bundle of {each[:12]}, which does not run" for each in inventory.bundles - live.keys()),
        *(f"no bundle of {each[:12]}" for each in live.keys() - inventory.bundles),
        *(f"directory of {each[:12]}, which is removed" for each in inventory.directories - known),
        *(f"stray mount {each}" for each in inventory.other_mounts),
        *(f"stray process {pid} has {path} open" for pid, path in inventory.others.items()),
    ]
    found += (f"bridge {each} of no network" for each in inventory.bridges - bridges)
    found += (f"bridge {each} is gone" for each in bridges - inventory.bridges)
    if inventory.tables != {naming.firewall_table(roots.instance)}:
        found.append("the firewall's table is gone")
    return found


def _untrue_states(inventory: KernelInventory, containers: list[Json]) -> Iterator[str]:
    for each in containers:
        identity, state = each["Id"], each["State"]
        if state["Status"] not in (*_LIVE, "created", "exited"):
            yield f"{identity[:12]} is {state['Status']}"
        if state["Status"] not in _LIVE:
            continue
        if len(set(inventory.monitors.get(identity, ()))) != 1:
            yield f"{identity[:12]} runs with monitors {inventory.monitors.get(identity)}"
        if state["Pid"] not in inventory.processes.get(identity, ()):
            yield f"{identity[:12]} is {state['Status']}, but process {state['Pid']} is not in it"


def _wrong_cgroups(inventory: KernelInventory, live: set[str]) -> Iterator[str]:
    for hierarchy, owned in inventory.cgroups.items():
        yield from (
            f"{hierarchy}: cgroup of {each[:12]}, which does not run" for each in owned - live
        )
        yield from (f"{hierarchy}: no cgroup of {each[:12]}" for each in live - owned)


def _wrong_sandboxes(
    roots: Roots, inventory: KernelInventory, live: Collection[Json], prepared_max: int
) -> Iterator[str]:
    wanted = {
        each["NetworkSettings"]["SandboxID"]
        for each in live
        if each["NetworkSettings"]["SandboxID"]
    }
    yield from (f"sandbox {each} is not pinned" for each in wanted - inventory.pins)
    yield from (f"{each} in netns/ is no pin" for each in inventory.pin_files - inventory.pins)
    pinned = {naming.host_veths(roots.instance, SandboxId(each)) for each in inventory.pins}
    yield from (f"link {each} of no sandbox" for each in inventory.veths if each[:-1] not in pinned)
    for container in live:
        yield from _wrong_links(roots, inventory, container)
    spare = inventory.pins - wanted
    if len(spare) > prepared_max:
        yield f"{len(spare)} sandboxes of no container: {sorted(spare)}"


def _wrong_links(roots: Roots, inventory: KernelInventory, container: Json) -> Iterator[str]:
    settings = container["NetworkSettings"]
    if not settings["SandboxID"]:
        return
    begin = naming.host_veths(roots.instance, SandboxId(settings["SandboxID"]))
    present = sum(each.startswith(begin) for each in inventory.veths)
    wanted = sum(bool(each["MacAddress"]) for each in settings["Networks"].values())
    if present != wanted:
        yield f"{container['Id'][:12]} has {present} links, and should have {wanted}"


def links() -> set[str]:
    """Return the names of all links in the test's network namespace."""
    return {link["ifname"] for link in _all_links()}


def _all_links() -> list[Json]:
    listed: list[Json] = json.loads(_output("ip", "-json", "link", "show") or "[]")
    return listed


def _tables() -> set[str]:
    listed = json.loads(_output("nft", "--json", "list", "tables"))
    return {entry["table"]["name"] for entry in listed["nftables"] if "table" in entry}


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _names(directory: Path) -> set[str]:
    try:
        return {entry.name for entry in directory.iterdir()}
    except FileNotFoundError:
        return set()


def _files_open_below(root: Path) -> Iterator[tuple[int, Path]]:
    """Return every process but this one that has a file below ``root`` open, deleted ones
    included.
    """
    for pid in _pids():
        if pid == os.getpid():
            continue
        for target in _open_files(pid):
            if target.startswith(f"{root}/"):
                yield pid, Path(target)


def _open_files(pid: int) -> Iterator[str]:
    # It ended meanwhile; or it is the machine's init, which not every sandbox's root may inspect.
    with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile; or the path is too long for readlink(2)
                yield str(fd.readlink()).removesuffix(" (deleted)")


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _mounts_below(roots: Roots) -> list[str]:
    places = (
        line.split(" ")[4].removesuffix("//deleted")
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
    )
    below = (f"{roots.data_root}/", f"{roots.exec_root}/")
    return [place for place in places if place.startswith(below)]


def hierarchies() -> dict[str, Path]:
    """Return every mounted cgroup hierarchy, by its mount point's name."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if re.match(r"cgroup2? ", rest):
            place = Path(fields.split(" ")[4])
            found[place.name] = place
    return found


def _cgroups(roots: Roots) -> dict[str, set[str]]:
    """Return the cgroups, only in hierarchies where the instance has its parent: the driver uses
    those that it needs.
    """
    parents = {name: place / f"shipslog-{roots.tag}" for name, place in hierarchies().items()}
    return {
        name: {entry.name for entry in parent.iterdir() if entry.is_dir()}
        for name, parent in parents.items()
        if parent.is_dir()
    }


def _processes(roots: Roots) -> dict[str, list[int]]:
    mark = re.compile(rf"/shipslog-{roots.tag}/([0-9a-f]{{64}})")
    found: dict[str, list[int]] = {}
    for pid in _pids():
        try:
            membership = Path(f"/proc/{pid}/cgroup").read_text()
            dead = b") Z " in Path(f"/proc/{pid}/stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if not dead and (match := mark.search(membership)):
            found.setdefault(match[1], []).append(pid)
    return found
