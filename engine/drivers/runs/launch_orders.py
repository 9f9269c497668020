"""Make the launch order of a container's present run, from its state alone: no file is read."""

from pathlib import Path
from typing import NamedTuple

import msgspec

from engine.domain import naming
from engine.domain.container.log_config import log_attributes
from engine.domain.container.namespace_sharing import has_pid_namespace
from engine.domain.container.state import Container
from engine.domain.ids import SHORT
from engine.drivers.cgroups.driver import CgroupDriver
from engine.drivers.processes.identity import boot_id
from engine.runtime.bundle import LogSettings
from engine.runtime.messages import LaunchOrder


class PlannedRun(NamedTuple):
    """A run that is to be launched: the order for its monitor, and the path of its journal."""

    order: LaunchOrder
    journal: Path


def planned_run(
    container: Container, cgroups: CgroupDriver, *, data_root: Path, exec_root: Path
) -> PlannedRun:
    """Plan a container's present run, without attached clients and without joined namespaces.

    May take long: the regular expressions that choose the log's attributes come from a user.
    """
    spec, entry = container.spec, cgroups.entry(container.id)
    order = LaunchOrder(
        bundle=str(naming.bundle_directory(exec_root, container.id)),
        boot_id=boot_id(),
        tty=spec.tty,
        open_stdin=spec.open_stdin,
        stdin_once=spec.stdin_once,
        namespaces=[{"type": "pid"}] if has_pid_namespace(spec) else [],
        cgroup_into=entry.clone_into or "",
        cgroup_procs=list(entry.join),
        oom_counters=[list(counter) for counter in cgroups.oom_counters(container.id)],
        attachments=[],
        log=_log(container, naming.log_path(data_root, container.id)),
    )
    return PlannedRun(order, naming.journal_path(data_root, container.id, container.run))


def _log(container: Container, path: Path) -> LogSettings:
    options = container.spec.log
    return {
        "is_kept": options.is_kept,
        "path": str(path),
        "bytes_max": options.file_bytes_max,
        "files_max": options.files_max,
        "compress": options.compress,
        "attributes": _log_attributes(container),
    }


def _log_attributes(container: Container) -> str:
    spec = container.spec
    image = spec.image_id.removeprefix("sha256:")
    names = {
        "ID": container.short_id,
        "FullID": container.id,
        "Name": container.name,
        "ImageName": spec.image,
        "ImageID": image[:SHORT],
        "ImageFullID": spec.image_id,
        "DaemonName": "shipslog",
    }
    found = log_attributes(spec.log.options, spec.labels, spec.env, names)
    return msgspec.json.encode(found).decode() if found else ""
