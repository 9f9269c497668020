"""From what a client asks for and what the image says to a :class:`Spec`; every refusal is in Docker's words.

A wish that this engine can't fulfil yet is an error, or a warning where the container works without it: never silence.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from engine.api.shapes_health import health_warnings, healthcheck_of
from engine.api.shapes_mounts import check_distinct, parse_binds, parse_mounts, parse_tmpfs
from engine.api.shapes_ports import exposed_ports, port_bindings
from engine.api.shapes_resources import parse_resources, parse_ulimits, vain_wishes
from engine.api.shapes_security import Security, parse_security
from engine.api.wire_container import (
    CreateWire,
    EndpointWire,
    HostConfigWire,
    RestartPolicyWire,
    words,
)
from engine.domain.image import Image
from engine.domain.signals import parse_signal
from engine.domain.spec import (
    ALL_CAPABILITIES,
    DEFAULT_SHM_BYTES,
    DEFAULT_STOP_SIGNAL,
    Bind,
    NetworkMode,
    RestartPolicy,
    Spec,
    Tmpfs,
    merged_env,
    normal_capability,
)
from engine.errors import InvalidRequest, Unsupported

_MAC: Final = re.compile(r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}")
_OOM_SCORES: Final = range(-1000, 1001)
_RESTART_POLICIES: Final = ("no", "always", "on-failure", "unless-stopped")
_DEFAULT_NETWORKS: Final = ("", "default", "bridge")
_NOT_YET: Final = (
    ("annotations", "Annotations"),
    ("links", "Links"),
    ("storage_opt", "StorageOpt"),
    ("volumes_from", "VolumesFrom"),
)
"""Fields that ask for something this engine does not have, unless they are empty."""
_ONLY: Final = (
    ("cgroupns_mode", "CgroupnsMode", ("", "private")),
    ("ipc_mode", "IpcMode", ("", "private")),
    ("isolation", "Isolation", ("", "default")),
    ("pid_mode", "PidMode", ("", "private")),
    ("userns_mode", "UsernsMode", ("", "host")),
    ("uts_mode", "UTSMode", ("",)),
    ("runtime", "Runtime", ("", "shipslog", "runc")),
    ("volume_driver", "VolumeDriver", ("", "local")),
)
"""Fields of which only these values are available."""


def spec_of(asked: CreateWire, image: Image) -> tuple[Spec, tuple[str, ...]]:
    """The spec of a container, and warnings.

    Raises:
        InvalidRequest: a value that makes no sense.
        Unsupported: a wish this engine can't fulfil.
    """
    host = asked.host_config or HostConfigWire()
    check_supported(host)
    entrypoint, command = _program(asked, image)
    security = parse_security(host)
    binds, tmpfs = _mounts(host)
    default = image.contents.config
    check = healthcheck_of(asked.healthcheck, default.healthcheck)
    restart = _restart_policy(
        host.restart_policy or RestartPolicyWire(), auto_remove=bool(host.auto_remove)
    )
    spec = Spec(
        image=asked.image or "",
        image_id=image.id,
        entrypoint=entrypoint,
        command=command,
        env=_env(default.env, asked.env or ()),
        working_dir=_working_dir(asked.working_dir or default.working_dir),
        user=asked.user or default.user,
        hostname=asked.hostname or "",
        domainname=asked.domainname or "",
        labels=dict(sorted({**default.labels, **(asked.labels or {})}.items())),
        healthcheck=check,
        shell=words(asked.shell) or default.shell,
        exposed_ports=exposed_ports(
            (*default.exposed_ports, *(asked.exposed_ports or ()), *(host.port_bindings or ()))
        ),
        tty=bool(asked.tty),
        console_size=host.console_size or (0, 0),
        open_stdin=bool(asked.open_stdin),
        stdin_once=bool(asked.stdin_once),
        attach_stdin=bool(asked.attach_stdin),
        attach_stdout=bool(asked.attach_stdout),
        attach_stderr=bool(asked.attach_stderr),
        stop_signal=_stop_signal(asked.stop_signal or default.stop_signal),
        stop_timeout_s=default.stop_timeout if asked.stop_timeout is None else asked.stop_timeout,
        binds=binds,
        tmpfs=tmpfs,
        network_mode=_network_mode(asked, host),
        ports=port_bindings(host.port_bindings or {}),
        publish_all=bool(host.publish_all_ports),
        mac_address=_mac_address(asked),
        dns=_addresses(host.dns or ()),
        dns_search=tuple(host.dns_search or ()),
        dns_options=tuple(host.dns_options or ()),
        extra_hosts=_extra_hosts(host.extra_hosts or ()),
        resources=parse_resources(host),
        ulimits=parse_ulimits(host.ulimits or ()),
        shm_bytes=_shm_bytes(host.shm_size or DEFAULT_SHM_BYTES),
        read_only=bool(host.readonly_rootfs),
        privileged=bool(host.privileged),
        cap_add=_capabilities("CapAdd", words(host.cap_add)),
        cap_drop=_capabilities("CapDrop", words(host.cap_drop)),
        group_add=tuple(host.group_add or ()),
        sysctls=host.sysctls or {},
        oom_score_adj=_oom_score_adj(host.oom_score_adj or 0),
        no_new_privileges=security.no_new_privileges,
        seccomp=_seccomp(security, host),
        init=bool(host.init),
        auto_remove=bool(host.auto_remove),
        restart_policy=restart,
        container_id_file=host.container_id_file or "",
    )
    return spec, (*_warnings(asked, image), *health_warnings(check), *vain_wishes(host))


def check_supported(host: HostConfigWire) -> None:
    """Refuse what would otherwise be passed over in silence.

    Raises:
        Unsupported: a wish this engine can't fulfil.
        InvalidRequest: a logging driver or option that does not exist here.
    """
    for attribute, field in _NOT_YET:
        if getattr(host, attribute):
            raise Unsupported(f"HostConfig.{field} is not supported yet")
    for attribute, field, known in _ONLY:
        value = getattr(host, attribute)
        if value is not None and value not in known:
            raise Unsupported(f'HostConfig.{field} "{value}" is not supported yet')
    log = host.log_config
    if log is not None and log.type not in (None, "", "json-file"):
        raise InvalidRequest(f'logger: no log driver named "{log.type}" is registered')
    for option in (log.config if log else None) or ():
        raise InvalidRequest(f"unknown log opt '{option}' for json-file log driver")


def _program(asked: CreateWire, image: Image) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Entrypoint and command: an entrypoint of one's own puts the image's command aside; ``[""]`` is no entrypoint."""
    default = image.contents.config
    entrypoint, command = words(asked.entrypoint), words(asked.cmd)
    if not entrypoint:
        command = command or default.cmd
        entrypoint = default.entrypoint if asked.entrypoint is None else ()
    elif entrypoint == ("",):
        entrypoint = ()
    if not entrypoint and not command:
        raise InvalidRequest("no command specified")
    return entrypoint, command


def _env(default: tuple[str, ...], asked: Iterable[str]) -> tuple[str, ...]:
    for variable in asked:
        if not variable.partition("=")[0]:
            raise InvalidRequest(f"invalid environment variable: {variable}")
    return merged_env(default, tuple(asked))


def _working_dir(path: str) -> str:
    if path and not path.startswith("/"):
        raise InvalidRequest(
            f"the working directory '{path}' is invalid, it needs to be an absolute path"
        )
    return path


def _stop_signal(name: str) -> str:
    if not name:
        return DEFAULT_STOP_SIGNAL
    parse_signal(name)
    return name


def _mounts(host: HostConfigWire) -> tuple[tuple[Bind, ...], tuple[Tmpfs, ...]]:
    more_binds, more_tmpfs = parse_mounts(host.mounts or ())
    binds = (*parse_binds(host.binds or ()), *more_binds)
    tmpfs = (*parse_tmpfs(host.tmpfs or {}), *more_tmpfs)
    check_distinct((*(bind.destination for bind in binds), *(each.destination for each in tmpfs)))
    return binds, tmpfs


def _network_mode(asked: CreateWire, host: HostConfigWire) -> NetworkMode:
    mode = "none" if asked.network_disabled else host.network_mode or ""
    chosen = "bridge" if mode in _DEFAULT_NETWORKS else mode
    if chosen.startswith("container:"):
        raise Unsupported("sharing the network of another container is not supported yet")
    if chosen not in set(NetworkMode):
        # No 404, which clients take for a missing image, and pull that.
        raise InvalidRequest(f"network {chosen} not found")
    for name, endpoint in _endpoints(asked).items():
        _check_endpoint(name, endpoint, chosen)
    return NetworkMode(chosen)


def _check_endpoint(name: str, endpoint: EndpointWire, mode: str) -> None:
    if (name in _DEFAULT_NETWORKS) != (mode == "bridge") and name != mode:
        raise InvalidRequest(f"network {name} not found")
    if any((endpoint.ipam_config or {}).values()):
        raise InvalidRequest("user specified IP address is supported on user defined networks only")
    if endpoint.aliases:
        raise InvalidRequest(
            "network-scoped alias is supported only for containers in user defined networks"
        )
    if endpoint.links:
        raise Unsupported("links are not supported yet")


def _endpoints(asked: CreateWire) -> dict[str, EndpointWire]:
    networking = asked.networking_config
    configs = networking.endpoints_config if networking else None
    return {name: endpoint or EndpointWire() for name, endpoint in (configs or {}).items()}


def _mac_address(asked: CreateWire) -> str:
    given = (each.mac_address for each in _endpoints(asked).values() if each.mac_address)
    address = next(given, asked.mac_address or "")
    if address and not _MAC.fullmatch(address):
        raise InvalidRequest(f"invalid MAC address: {address}")
    return address.lower().replace("-", ":")


def _addresses(texts: Iterable[str]) -> tuple[str, ...]:
    for text in texts:
        if not _is_address(text):
            raise InvalidRequest(f"IP address is not correctly formatted: {text}")
    return tuple(texts)


def _extra_hosts(texts: Iterable[str]) -> tuple[str, ...]:
    for text in texts:
        name, _, address = text.partition(":")
        if not name or not address:
            raise InvalidRequest(f'bad format for add-host: "{text}"')
        if address != "host-gateway" and not _is_address(address.strip("[]")):
            raise InvalidRequest(f'invalid IP address in add-host: "{address}"')
    return tuple(texts)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _shm_bytes(size: int) -> int:
    if size < 0:
        raise InvalidRequest("SHM size can not be less than 0")
    return size


def _oom_score_adj(score: int) -> int:
    if score not in _OOM_SCORES:
        raise InvalidRequest(f"Invalid value {score}, range for oom score adj is [-1000, 1000]")
    return score


def _capabilities(field: str, names: Iterable[str]) -> tuple[str, ...]:
    found = tuple(map(normal_capability, names))
    for name in found:
        if name != "ALL" and name not in ALL_CAPABILITIES:
            raise InvalidRequest(f'invalid {field}: unknown capability: "{name}"')
    return found


def _seccomp(security: Security, host: HostConfigWire) -> str:
    return "unconfined" if host.privileged and not security.seccomp else security.seccomp


def _restart_policy(wire: RestartPolicyWire, *, auto_remove: bool) -> RestartPolicy:
    name, retries = wire.name or "no", wire.maximum_retry_count or 0
    if name not in _RESTART_POLICIES:
        raise InvalidRequest(
            f"invalid restart policy: unknown policy '{name}';"
            " use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        )
    if retries and name != "on-failure":
        raise InvalidRequest(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
        )
    if retries < 0:
        raise InvalidRequest("invalid restart policy: maximum retry count cannot be negative")
    if auto_remove and name != "no":
        raise InvalidRequest("can't create 'AutoRemove' container with restart policy")
    return RestartPolicy(name=name, retries_max=retries)


def _warnings(asked: CreateWire, image: Image) -> Iterable[str]:
    declared = sorted({*(asked.volumes or ()), *image.contents.config.volumes})
    if declared:
        yield f"Volumes are not supported yet. {', '.join(declared)} will be part of the container's own files."
