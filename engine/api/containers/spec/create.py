"""Make a :class:`Spec` of a client's request and the image; every refusal has Docker's message.

A request that this engine can't fulfil is an error, or a warning where the container works without
it. Each subject has a module of its own: the program, mounts, shared namespaces, networking,
security, logs, limits, health.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from engine.api.containers.spec.binds import all_mounts
from engine.api.containers.spec.body import CreateWire, HostConfigWire, words
from engine.api.containers.spec.health import health_warnings, healthcheck_of
from engine.api.containers.spec.log_config import parse_log_config
from engine.api.containers.spec.namespace_modes import Lookup, knows_no_container, parse_modes
from engine.api.containers.spec.networking import (
    extra_hosts,
    links,
    mac_address,
    memberships,
    name_servers,
    network_mode,
    networking_warnings,
)
from engine.api.containers.spec.ports import exposed_ports, port_bindings
from engine.api.containers.spec.program import (
    capability_names,
    environment,
    oom_score_adj,
    program,
    restart_policy,
    stop_signal,
    working_directory,
)
from engine.api.containers.spec.resources import (
    ignored_field_warnings,
    parse_resources,
    parse_ulimits,
)
from engine.api.containers.spec.security import parse_security
from engine.api.http.requests import ApiVersion
from engine.api.http.router import VERSION_MAX
from engine.domain.container.spec import DEFAULT_SHM_BYTES, Spec
from engine.domain.image.config import ImageConfig
from engine.domain.image.state import Image
from engine.errors import InvalidRequest, Unsupported

_RUNTIMES: Final = ("", "shipslog", "runc", "io.containerd.runc.v2")
"""The names that clients may use for the only runtime."""

Fields = dict[str, Any]
"""Some fields of a Spec, by name. Any: a unit test checks the types of all of them."""


def spec_of(
    asked: CreateWire,
    image: Image,
    lookup: Lookup = knows_no_container,
    version: ApiVersion = VERSION_MAX,
) -> tuple[Spec, tuple[str, ...]]:
    """Return the spec of a container, and warnings.

    Args:
        asked: the request.
        image: the image that the container is made from.
        lookup: finds the containers that the request names.
        version: of the API, for what has not always meant the same.

    Raises:
        InvalidRequest: a value that makes no sense.
        Unsupported: a request that this engine can't fulfil.
    """
    host = asked.host_config or HostConfigWire()
    check_supported(host)
    default = image.contents.config
    spec = Spec(
        image=asked.image or "",
        image_id=image.id,
        **_program(asked, default),
        **_namespaces(host, lookup, version),
        **_security(host),
        **_storage(asked, host, default, lookup, version),
        **_network(asked, host, default, lookup),
        **_terminal(asked, host),
        **_limits(host),
        **_lifecycle(asked, host, default),
        **_descriptions(asked, host, default),
    )
    warnings = (
        *networking_warnings(asked, host, version),
        *_volume_warnings(spec),
        *health_warnings(spec.healthcheck),
        *ignored_field_warnings(host),
    )
    return spec, warnings


def _program(asked: CreateWire, default: ImageConfig) -> Fields:
    entrypoint, command = program(asked, default)
    return {
        "entrypoint": entrypoint,
        "command": command,
        "env": environment(default.env, asked.env or ()),
        "working_dir": working_directory(asked.working_dir or default.working_dir),
        "user": asked.user or default.user,
        "shell": words(asked.shell) or default.shell,
        "args_escaped": bool(asked.args_escaped),
    }


def _namespaces(host: HostConfigWire, lookup: Lookup, version: ApiVersion) -> Fields:
    modes = parse_modes(host, lookup, version)
    return {
        "pid_mode": modes.pid,
        "ipc_mode": modes.ipc,
        "uts_mode": modes.uts,
        "cgroupns_mode": modes.cgroupns,
        "userns_mode": modes.userns,
    }


def _security(host: HostConfigWire) -> Fields:
    security = parse_security(host)
    return {
        "privileged": bool(host.privileged),
        "cap_add": capability_names("CapAdd", words(host.cap_add)),
        "cap_drop": capability_names("CapDrop", words(host.cap_drop)),
        "group_add": tuple(host.group_add or ()),
        "no_new_privileges": security.no_new_privileges,
        "seccomp": security.seccomp,
        "security_options": security.options,
        "writable_cgroups": security.writable_cgroups,
        "masked_paths": security.masked_paths,
        "readonly_paths": security.readonly_paths,
    }


def _storage(
    asked: CreateWire,
    host: HostConfigWire,
    default: ImageConfig,
    lookup: Lookup,
    version: ApiVersion,
) -> Fields:
    binds, tmpfs = all_mounts(host, lookup, version)
    return {
        "volumes": tuple(sorted({*(asked.volumes or ()), *default.volumes})),
        "binds": binds,
        "tmpfs": tmpfs,
        "volumes_from": tuple(host.volumes_from or ()),
        "volume_driver": host.volume_driver or "",
        "shm_bytes": _shm_bytes(host.shm_size or DEFAULT_SHM_BYTES),
        "read_only": bool(host.readonly_rootfs),
    }


def _network(
    asked: CreateWire, host: HostConfigWire, default: ImageConfig, lookup: Lookup
) -> Fields:
    mode = network_mode(asked, host, lookup)
    ports = (*default.exposed_ports, *(asked.exposed_ports or ()), *(host.port_bindings or ()))
    return {
        "hostname": asked.hostname or "",
        "domainname": asked.domainname or "",
        "exposed_ports": exposed_ports(ports),
        "network_mode": mode,
        "networks": memberships(asked, mode),
        "links": links(host, mode, lookup),
        "network_disabled": bool(asked.network_disabled),
        "ports": port_bindings(host.port_bindings or {}),
        "publish_all": bool(host.publish_all_ports),
        "mac_address": mac_address(asked),
        "dns": name_servers(host.dns or ()),
        "dns_search": tuple(host.dns_search or ()),
        "dns_options": tuple(host.dns_options or ()),
        "extra_hosts": extra_hosts(host.extra_hosts or ()),
    }


def _terminal(asked: CreateWire, host: HostConfigWire) -> Fields:
    return {
        "tty": bool(asked.tty),
        "console_size": host.console_size or (0, 0),
        "open_stdin": bool(asked.open_stdin),
        "stdin_once": bool(asked.stdin_once),
        "attach_stdin": bool(asked.attach_stdin),
        "attach_stdout": bool(asked.attach_stdout),
        "attach_stderr": bool(asked.attach_stderr),
    }


def _limits(host: HostConfigWire) -> Fields:
    return {
        "resources": parse_resources(host),
        "ulimits": parse_ulimits(host.ulimits or ()),
        "sysctls": host.sysctls or {},
        "oom_score_adj": oom_score_adj(host.oom_score_adj or 0),
    }


def _lifecycle(asked: CreateWire, host: HostConfigWire, default: ImageConfig) -> Fields:
    timeout_s = default.stop_timeout if asked.stop_timeout is None else asked.stop_timeout
    return {
        "healthcheck": healthcheck_of(asked.healthcheck, default.healthcheck),
        "stop_signal": stop_signal(asked.stop_signal or default.stop_signal),
        "stop_timeout_s": timeout_s,
        "init": bool(host.init),
        "auto_remove": bool(host.auto_remove),
        "restart_policy": restart_policy(host),
        "log": parse_log_config(host.log_config),
    }


def _descriptions(asked: CreateWire, host: HostConfigWire, default: ImageConfig) -> Fields:
    """Return the fields that change nothing here, but are shown, or inherited by images."""
    return {
        "labels": dict(sorted({**default.labels, **(asked.labels or {})}.items())),
        "on_build": words(asked.on_build),
        "annotations": _annotations(host.annotations or {}),
        "runtime": host.runtime or "",
        "isolation": host.isolation or "",
        "container_id_file": host.container_id_file or "",
    }


def check_supported(host: HostConfigWire) -> None:
    """Refuse what would otherwise be ignored silently.

    Raises:
        Unsupported: a driver of volumes other than the local one.
        InvalidRequest: what no engine on Linux, or none on these layers, could do.
    """
    runtime, isolation, cgroup = host.runtime or "", host.isolation or "", host.cgroup or ""
    if runtime not in _RUNTIMES:
        raise InvalidRequest(f"unknown or invalid runtime name: {runtime}")
    if isolation.lower() not in ("", "default"):
        raise InvalidRequest(f"invalid isolation ({isolation}): linux only supports 'default'")
    if cgroup:
        raise InvalidRequest(f"invalid cgroup specification: {cgroup}")
    for option in host.storage_opt or ():
        if option.lower() != "size":
            raise InvalidRequest(f"Unknown option {option}")
        raise InvalidRequest(
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"
        )
    if (host.volume_driver or "local") != "local":
        raise Unsupported(f'the volume driver "{host.volume_driver}" is not supported yet')


def _shm_bytes(size: int) -> int:
    if size < 0:
        raise InvalidRequest("SHM size can not be less than 0")
    return size


def _annotations(asked: Mapping[str, str]) -> dict[str, str]:
    if "" in asked:
        raise InvalidRequest(
            "invalid Annotations: the empty string is not permitted as an annotation key"
        )
    return dict(asked)


def _volume_warnings(spec: Spec) -> Iterable[str]:
    if spec.volumes:
        yield (
            f"Volumes are not supported yet. {', '.join(spec.volumes)} will be part of the"
            " container's own files."
        )
