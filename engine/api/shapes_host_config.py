"""``HostConfig`` as ``inspect`` shows it: domain → Docker JSON, with every field of API v1.51."""

from typing import Final

from engine.api.json_bodies import Json
from engine.api.shapes_mounts import binds_json, mounts_asked_json
from engine.api.shapes_ports import bindings_json
from engine.api.shapes_resources import resources_json
from engine.api.shapes_security import security_json
from engine.domain.oci import MASKED_PATHS, READONLY_PATHS
from engine.domain.spec import Spec

RUNTIME: Final = "shipslog"


def host_config_json(spec: Spec) -> Json:
    """What belongs to the host on which the container runs."""
    asked: Json = {
        "Binds": binds_json(spec),
        "ContainerIDFile": spec.container_id_file,
        "LogConfig": {"Type": "json-file", "Config": {}},
        "NetworkMode": spec.network_mode,
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
        "SecurityOpt": security_json(spec),
        "ShmSize": spec.shm_bytes,
        "Runtime": RUNTIME,
        "MaskedPaths": None if spec.privileged else MASKED_PATHS,
        "ReadonlyPaths": None if spec.privileged else READONLY_PATHS,
    }
    return asked | _FIXED | resources_json(spec.resources, spec.ulimits) | _optional(spec)


_FIXED: Final[Json] = {
    "VolumeDriver": "",
    "VolumesFrom": None,
    "CgroupnsMode": "private",
    "IpcMode": "private",
    "Cgroup": "",
    "Links": None,
    "PidMode": "",
    "UTSMode": "",
    "UsernsMode": "",
    "Isolation": "",
}
"""What nothing else can be asked for yet."""


def _optional(spec: Spec) -> Json:
    """Fields that Docker leaves out when they are empty."""
    found: Json = {}
    if mounts := mounts_asked_json(spec):
        found["Mounts"] = mounts
    if spec.tmpfs:
        found["Tmpfs"] = {each.destination: each.options for each in spec.tmpfs}
    if spec.sysctls:
        found["Sysctls"] = spec.sysctls
    if spec.init:
        found["Init"] = True
    return found
