"""Define the body of ``POST /containers/create``: fields and types.

Every field of API v1.51 that requests something is here, so that none is ignored silently: what
this engine can't do yet is refused in ``create.py``.
"""

from typing import Annotated, Any

import msgspec

from engine.api.containers.spec.health import HealthcheckWire
from engine.api.containers.spec.mounts import MountWire
from engine.api.containers.spec.ports import BindingWire
from engine.api.containers.spec.resources_body import ResourcesWire
from engine.api.http.json_bodies import Int64, Wire

Dimension = Annotated[int, msgspec.Meta(ge=0, le=65535)]
"""Rows or columns of a terminal: unsigned short in the kernel, ioctl_tty(2)."""

Words = list[str] | str
"""A list of words; Docker accepts a single word without a list."""


class LogConfigWire(Wire, frozen=True, kw_only=True):
    """Docker's LogConfig."""

    type: str | None = None
    config: dict[str, str] | None = None


class RestartPolicyWire(Wire, frozen=True, kw_only=True):
    """Docker's RestartPolicy."""

    name: str | None = None
    maximum_retry_count: Int64 | None = None


class UpdateWire(ResourcesWire, frozen=True, kw_only=True):
    """The body of ``POST /containers/{name}/update``."""

    restart_policy: RestartPolicyWire | None = None


class HostConfigWire(ResourcesWire, frozen=True, kw_only=True):
    """Docker's HostConfig, its Resources included."""

    annotations: dict[str, str] | None = None
    auto_remove: bool | None = None
    cgroup: str | None = None
    binds: list[str] | None = None
    cap_add: Words | None = None
    cap_drop: Words | None = None
    cgroupns_mode: str | None = None
    container_id_file: str | None = msgspec.field(default=None, name="ContainerIDFile")
    console_size: tuple[Dimension, Dimension] | None = None
    dns: list[str] | None = None
    dns_options: list[str] | None = None
    dns_search: list[str] | None = None
    extra_hosts: list[str] | None = None
    group_add: list[str] | None = None
    init: bool | None = None
    ipc_mode: str | None = None
    isolation: str | None = None
    links: list[str] | None = None
    log_config: LogConfigWire | None = None
    masked_paths: list[str] | None = None
    mounts: list[MountWire] | None = None
    network_mode: str | None = None
    oom_score_adj: Int64 | None = None
    pid_mode: str | None = None
    port_bindings: dict[str, list[BindingWire] | None] | None = None
    privileged: bool | None = None
    publish_all_ports: bool | None = None
    readonly_paths: list[str] | None = None
    readonly_rootfs: bool | None = None
    restart_policy: RestartPolicyWire | None = None
    runtime: str | None = None
    security_opt: list[str] | None = None
    shm_size: Int64 | None = None
    storage_opt: dict[str, str] | None = None
    sysctls: dict[str, str] | None = None
    tmpfs: dict[str, str] | None = None
    userns_mode: str | None = None
    uts_mode: str | None = msgspec.field(default=None, name="UTSMode")
    volume_driver: str | None = None
    volumes_from: list[str] | None = None


class EndpointIpamWire(Wire, frozen=True, kw_only=True):
    """Docker's EndpointIPAMConfig."""

    ipv4_address: str | None = msgspec.field(default=None, name="IPv4Address")
    ipv6_address: str | None = msgspec.field(default=None, name="IPv6Address")
    link_local_ips: list[str] | None = msgspec.field(default=None, name="LinkLocalIPs")


class EndpointWire(Wire, frozen=True, kw_only=True):
    """Docker's EndpointSettings, as far as they request something."""

    gw_priority: Int64 | None = None
    """Which of several networks has the default route."""
    aliases: list[str] | None = None
    driver_opts: dict[str, str] | None = None
    ipam_config: EndpointIpamWire | None = msgspec.field(default=None, name="IPAMConfig")
    links: list[str] | None = None
    mac_address: str | None = None


class NetworkingWire(Wire, frozen=True, kw_only=True):
    """Docker's NetworkingConfig."""

    endpoints_config: dict[str, EndpointWire | None] | None = None


class CreateWire(Wire, frozen=True, kw_only=True):
    """The whole body: Docker's Config, with the other two inside."""

    args_escaped: bool | None = None
    attach_stderr: bool | None = None
    attach_stdin: bool | None = None
    attach_stdout: bool | None = None
    cmd: Words | None = None
    domainname: str | None = None
    entrypoint: Words | None = None
    env: list[str] | None = None
    exposed_ports: dict[str, Any] | None = (
        None  # Any: an empty object, of which only the name counts
    )
    healthcheck: HealthcheckWire | None = None
    host_config: HostConfigWire | None = None
    hostname: str | None = None
    image: str | None = None
    labels: dict[str, str] | None = None
    mac_address: str | None = None
    network_disabled: bool | None = None
    networking_config: NetworkingWire | None = None
    on_build: Words | None = None
    open_stdin: bool | None = None
    shell: Words | None = None
    stdin_once: bool | None = None
    stop_signal: str | None = None
    stop_timeout: Int64 | None = None
    tty: bool | None = None
    user: str | None = None
    volumes: dict[str, Any] | None = None
    working_dir: str | None = None


def words(value: Words | None) -> tuple[str, ...]:
    """Return the list that was meant."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)
