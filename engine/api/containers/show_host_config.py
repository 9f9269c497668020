"""Convert a spec to ``HostConfig`` of ``inspect``, with every field of API v1.51."""

from typing import Final

from engine.api.containers.mount_points import mounts_asked_json
from engine.api.containers.spec.log_config import log_config_json
from engine.api.containers.spec.namespace_modes import modes_json
from engine.api.containers.spec.ports import bindings_json
from engine.api.containers.spec.resources import resources_json
from engine.api.containers.spec.security import security_json
from engine.api.http.json_bodies import Json
from engine.domain.container.spec import DEFAULT_NETWORK, Spec

RUNTIME: Final = "shipslog"


def host_config_json(spec: Spec) -> Json:
    """Return ``HostConfig``: what depends on the host."""
    asked: Json = {
        "ContainerIDFile": spec.container_id_file,
        "LogConfig": log_config_json(spec.log),
        "NetworkMode": DEFAULT_NETWORK if spec.network_disabled else spec.network_mode,
        "PortBindings": bindings_json(spec.ports),
        "RestartPolicy": {
            "Name": spec.restart_policy.name,
            "MaximumRetryCount": spec.restart_policy.retries_max,
        },
        "AutoRemove": spec.auto_remove,
        "CapAdd": spec.cap_add or None,
        "CapDrop": spec.cap_drop or None,
        "ConsoleSize": spec.console_size,
        "Dns": spec.dns,
        "DnsOptions": spec.dns_options,
        "DnsSearch": spec.dns_search,
        "ExtraHosts": spec.extra_hosts or None,
        "GroupAdd": spec.group_add or None,
        "OomScoreAdj": spec.oom_score_adj,
        "Privileged": spec.privileged,
        "PublishAllPorts": spec.publish_all,
        "ReadonlyRootfs": spec.read_only,
        "ShmSize": spec.shm_bytes,
        "Runtime": spec.runtime or RUNTIME,
        "Isolation": spec.isolation,
    }
    asked |= mounts_asked_json(spec) | modes_json(spec) | security_json(spec)
    return asked | _FIXED | resources_json(spec.resources, spec.ulimits) | _optional(spec)


_FIXED: Final[Json] = {
    "Cgroup": "",
}
"""The only values that are supported yet."""


def _optional(spec: Spec) -> Json:
    """Return the fields that Docker omits when they are empty."""
    found: Json = {}
    if spec.annotations:
        found["Annotations"] = spec.annotations
    if spec.sysctls:
        found["Sysctls"] = spec.sysctls
    if spec.init:
        found["Init"] = True
    return found
