"""Convert containers to the JSON of the list and of inspect."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from engine.api.containers.mount_points import mount_points_json
from engine.api.containers.show_host_config import host_config_json
from engine.api.containers.show_networks import endpoints_json, network_settings_json
from engine.api.containers.spec.health import health_json, health_suffix
from engine.api.containers.spec.ports import summary_ports
from engine.api.http.json_bodies import Json
from engine.api.times import SECOND_NS, Moment, human_duration, stamp
from engine.domain import naming
from engine.domain.container.links import links_json
from engine.domain.container.log_config import JSON_FILE
from engine.domain.container.phases import Phase
from engine.domain.container.state import Container
from engine.domain.ids import ChainId, ContainerId, ExecId, ImageId, NetworkId
from engine.domain.image.state import Image
from engine.domain.network.state import Network

STORAGE_DRIVER = "overlay2"
"""The storage driver that clients know; ``GraphDriver`` has the directories."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonContext:
    """What a container's JSON says beyond the container: directories, networks, images."""

    data_root: Path
    exec_root: Path
    networks: Mapping[NetworkId, Network]
    images: Mapping[ImageId, Image]
    moment: Moment
    link_names: Callable[[ContainerId], Iterable[str]]
    """The names that linked containers give a container."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much a container holds on the disk: of its own, and with its image."""

    own_bytes: int
    total_bytes: int


def docker_phase(container: Container) -> str:
    """Return the phase in Docker's words: a container that starts is what it was before, and one
    that never ran has not exited.
    """
    if container.is_restarting:
        return Phase.RESTARTING
    if container.phase in (Phase.STARTING, Phase.EXITED):
        return Phase.EXITED if container.started_ns else Phase.CREATED
    return container.phase


def status_text(container: Container, moment: Moment) -> str:
    """Return the status for people: ``Up 5 minutes``, ``Exited (0) 3 days ago``."""
    ago = human_duration(moment.since(container.finished_ns))
    match docker_phase(container):
        case Phase.RUNNING | Phase.PAUSED as phase:
            up = human_duration(moment.since(container.started_ns, container.started_boot_ns))
            suffix = " (Paused)" if phase == Phase.PAUSED else health_suffix(container)
            return f"Up {up}{suffix}"
        case Phase.RESTARTING:
            return f"Restarting ({container.exit_code}) {ago} ago"
        case Phase.REMOVING:
            return "Removal In Progress"
        case Phase.DEAD:
            return "Dead"
        case Phase.EXITED if container.finished_ns:
            return f"Exited ({container.exit_code}) {ago} ago"
        case _:
            return "Created"


def summary_json(container: Container, context: JsonContext, sizes: Sizes | None = None) -> Json:
    """Return one element of ``GET /containers/json``: ContainerSummary."""
    spec = container.spec
    summary: Json = {
        "Id": container.id,
        "Names": sorted([f"/{container.name}", *context.link_names(container.id)]),
        "Image": spec.image,
        "ImageID": spec.image_id,
        "Command": " ".join(map(_command_word, spec.arguments)),
        "Created": container.created_ns // SECOND_NS,
        "Ports": summary_ports(container),
        "Labels": spec.labels,
        "State": docker_phase(container),
        "Status": status_text(container, context.moment),
        "HostConfig": {"NetworkMode": spec.network_mode},
        "NetworkSettings": {"Networks": endpoints_json(container, context.networks)},
        "Mounts": mount_points_json(spec),
    }
    return summary | _sizes_json(sizes)


def _command_word(word: str) -> str:
    """Return a word of the command as Docker joins it: with single quotes if it has blanks."""
    return f"'{word}'" if " " in word else word


def inspect_json(
    container: Container,
    context: JsonContext,
    execs: Collection[ExecId],
    sizes: Sizes | None = None,
) -> Json:
    """Return ``GET /containers/{id}/json``: ContainerInspectResponse."""
    spec = container.spec
    directory = naming.container_directory(context.data_root, container.id)
    path, *arguments = spec.arguments or ("",)
    inspected: Json = {
        "Id": container.id,
        "Created": stamp(container.created_ns),
        "Path": path,
        "Args": arguments,
        "State": _state_json(container),
        "Image": spec.image_id,
        "ResolvConfPath": f"{directory}/resolv.conf",
        "HostnamePath": f"{directory}/hostname",
        "HostsPath": f"{directory}/hosts",
        "LogPath": _log_path(container, context),
        "Name": f"/{container.name}",
        "RestartCount": container.restarts,
        "Driver": STORAGE_DRIVER,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": sorted(execs) or None,
        "HostConfig": host_config_json(spec) | {"Links": links_json(container)},
        "GraphDriver": _graph_driver_json(container, context),
        "Mounts": mount_points_json(spec),
        "Config": config_json(container),
        "NetworkSettings": network_settings_json(container, context.networks, context.exec_root),
    }
    return inspected | _sizes_json(sizes)


def _log_path(container: Container, context: JsonContext) -> str:
    """Return where other programs may read the log; empty for drivers whose files are private."""
    if container.spec.log.driver != JSON_FILE:
        return ""
    return str(naming.log_path(context.data_root, container.id))


def _sizes_json(sizes: Sizes | None) -> Json:
    return {"SizeRw": sizes.own_bytes, "SizeRootFs": sizes.total_bytes} if sizes else {}


def _state_json(container: Container) -> Json:
    running, phase = container.is_running, docker_phase(container)
    return {
        "Status": phase,
        "Running": running or phase == Phase.RESTARTING,
        "Paused": container.phase is Phase.PAUSED,
        "Restarting": phase == Phase.RESTARTING,
        "OOMKilled": container.oom_killed,
        "Dead": container.phase is Phase.DEAD,
        "Pid": container.process.pid if running and container.process else 0,
        "ExitCode": container.exit_code,
        "Error": container.error,
        "StartedAt": stamp(container.started_ns),
        "FinishedAt": stamp(container.finished_ns),
    } | health_json(container)


def config_json(container: Container) -> Json:
    """Return ``Config``: what does not depend on the host."""
    spec = container.spec
    config: Json = {
        "Hostname": spec.hostname,
        "Domainname": spec.domainname,
        "User": spec.user,
        "AttachStdin": spec.attach_stdin,
        "AttachStdout": spec.attach_stdout,
        "AttachStderr": spec.attach_stderr,
        "Tty": spec.tty,
        "OpenStdin": spec.open_stdin,
        "StdinOnce": spec.stdin_once,
        "Env": spec.env,
        "Cmd": spec.command or None,
        "Image": spec.image,
        "Volumes": {path: {} for path in spec.volumes} or None,
        "WorkingDir": spec.working_dir,
        "Entrypoint": spec.entrypoint or None,
        "OnBuild": spec.on_build or None,
        "Labels": spec.labels,
        "StopSignal": spec.stop_signal,
    }
    if spec.args_escaped:
        config["ArgsEscaped"] = True
    if spec.network_disabled:
        config["NetworkDisabled"] = True
    if spec.mac_address:
        config["MacAddress"] = spec.mac_address
    if spec.exposed_ports:
        config["ExposedPorts"] = {port: {} for port in spec.exposed_ports}
    if spec.healthcheck is not None:
        config["Healthcheck"] = spec.healthcheck
    if spec.shell:
        config["Shell"] = spec.shell
    if spec.stop_timeout_s is not None:
        config["StopTimeout"] = spec.stop_timeout_s
    return config


def _graph_driver_json(container: Container, context: JsonContext) -> Json:
    """Return the directories of the overlay; the merged one is visible inside the container alone,
    and nowhere on the host.
    """
    directory = naming.container_directory(context.data_root, container.id)
    image = context.images.get(container.spec.image_id)
    chain = image.contents.chain if image else ()
    return {
        "Name": STORAGE_DRIVER,
        "Data": {
            "LowerDir": _lower_directories(context.data_root, tuple(chain)),
            "MergedDir": f"{naming.bundle_directory(context.exec_root, container.id)}/rootfs",
            "UpperDir": f"{directory}/upper",
            "WorkDir": f"{directory}/work",
        },
    }


@lru_cache(maxsize=64)
def _lower_directories(data_root: Path, chain: tuple[ChainId, ...]) -> str:
    """Return the layers of an image, the topmost first, as overlay(5) takes them."""
    return ":".join(str(naming.layer_directory(data_root, layer)) for layer in reversed(chain))
