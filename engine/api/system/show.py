"""Convert version and info to Docker's JSON."""

import platform
from collections.abc import Iterable
from typing import Final

from engine.api.containers.show import STORAGE_DRIVER
from engine.api.containers.show_host_config import RUNTIME
from engine.api.http.json_bodies import Json
from engine.api.http.requests import ApiVersion
from engine.api.http.router import VERSION_MAX, VERSION_MIN, version_text
from engine.api.images.platforms import our_architecture
from engine.api.system.machine import limits_json, warnings_json
from engine.api.times import stamp
from engine.domain.container.log_config import JSON_FILE, LOCAL
from engine.domain.container.resources import parse_list
from engine.domain.network.addresses import SubnetSource
from engine.ports.host import HostFacts
from engine.service.engine import Service

_NO_COMMIT: Final[Json] = {"ID": "N/A"}
_SECURITY_PAIRS_SINCE: Final[ApiVersion] = (1, 25)
_NO_KERNEL_MEMORY_SINCE: Final[ApiVersion] = (1, 42)
_NO_ALLOWED_ARTIFACTS_SINCE: Final[ApiVersion] = (1, 48)
_FIREWALL_SINCE: Final[ApiVersion] = (1, 49)
_NO_EXPECTED_COMMIT_SINCE: Final[ApiVersion] = (1, 49)
_NO_BRIDGE_FILTER_SINCE: Final[ApiVersion] = (1, 50)


def version_json(service: Service, host: HostFacts) -> Json:
    """Return ``GET /version``: SystemVersion."""
    system = service.system
    common = {
        "ApiVersion": version_text(VERSION_MAX),
        "MinAPIVersion": version_text(VERSION_MIN),
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": our_architecture(),
        "KernelVersion": host.kernel_release,
        "BuildTime": stamp(system.built_ns),
    }
    details = {**common, "Experimental": "false", "PythonVersion": platform.python_version()}
    return {
        "Platform": {"Name": "Shipslog"},
        "Components": [{"Name": "Engine", "Version": system.version, "Details": details}],
        "Version": system.version,
        **common,
    }


def info_json(service: Service, host: HostFacts, version: ApiVersion, tasks: int) -> Json:
    """Return ``GET /info``: SystemInfo."""
    settings = service.system.settings
    return {
        **_counts_json(service),
        **_machine_json(service, host),
        **limits_json(settings.machine),
        **_daemon_json(service, host, tasks),
        **_of_version_json(version),
        "SecurityOptions": _security_options(settings.seccomp, version),
        "Warnings": _warnings(service, host) or None,
    }


def _warnings(service: Service, host: HostFacts) -> list[str]:
    system, settings = service.system, service.system.settings
    lacks = warnings_json(
        settings.machine, settings.cgroup_version, forwards_ipv4=host.forwards_ipv4
    )
    if hanging := system.hanging_threads():
        lacks.append(f"WARNING: {hanging} threads wait for file systems that don't answer")
    return lacks


def _counts_json(service: Service) -> Json:
    counts = service.system.counts()
    return {
        "Containers": counts.running + counts.paused + counts.stopped,
        "ContainersRunning": counts.running,
        "ContainersPaused": counts.paused,
        "ContainersStopped": counts.stopped,
        "Images": len(service.images.all()),
    }


def _machine_json(service: Service, host: HostFacts) -> Json:
    return {
        "IPv4Forwarding": host.forwards_ipv4,
        "KernelVersion": host.kernel_release,
        "OperatingSystem": host.operating_system,
        "OSVersion": host.operating_system_version,
        "OSType": "linux",
        "Architecture": host.architecture,
        "NCPU": len(parse_list(service.system.settings.machine.cpus)),
        "MemTotal": host.memory_bytes,
        "Name": host.name,
        "GenericResources": None,
        "Isolation": "",
    }


def _daemon_json(service: Service, host: HostFacts, tasks: int) -> Json:
    system, settings = service.system, service.system.settings
    return {
        "ID": system.instance,
        "Driver": STORAGE_DRIVER,
        "DriverStatus": [
            ["Backing Filesystem", host.backing_filesystem],
            ["Supports d_type", "true"],
            ["Using metacopy", "false"],
            ["Native Overlay Diff", "true"],
            ["userxattr", "false"],
        ],
        "DockerRootDir": str(settings.data_root),
        "Plugins": _PLUGINS,
        "Debug": False,
        "NFd": host.open_descriptors,
        "NGoroutines": tasks,
        "NEventsListener": 0,
        "SystemTime": stamp(service.system.wall_ns()),
        "LoggingDriver": JSON_FILE,
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": settings.cgroup_version,
        "IndexServerAddress": "",
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": system.version,
        "Runtimes": {RUNTIME: {"path": RUNTIME}},
        "DefaultRuntime": RUNTIME,
        "Swarm": _NO_SWARM,
        "LiveRestoreEnabled": True,
        "InitBinary": settings.init_path.rpartition("/")[2],
        "CDISpecDirs": [],
        "DefaultAddressPools": _pools_json(service.system.settings.subnet_sources),
    }


def _pools_json(sources: Iterable[SubnetSource]) -> list[Json]:
    return [{"Base": str(source.base), "Size": source.prefix} for source in sources]


def _of_version_json(version: ApiVersion) -> Json:
    """Return the fields that came or went between versions and that clients depend on."""
    commit, registries, shown = _NO_COMMIT, _REGISTRIES, Json()
    if version < _NO_EXPECTED_COMMIT_SINCE:  # older clients warn when it is another
        commit = {**commit, "Expected": commit["ID"]}
    if version < _NO_ALLOWED_ARTIFACTS_SINCE:
        registries = {**registries, **_ALLOWED_ARTIFACTS}
    if version < _NO_KERNEL_MEMORY_SINCE:
        shown["KernelMemory"] = False
    if version < _NO_BRIDGE_FILTER_SINCE:
        shown |= {"BridgeNfIptables": False, "BridgeNfIp6tables": False}
    if version >= _FIREWALL_SINCE:
        shown["FirewallBackend"] = {"Driver": "nftables"}
    return {
        **shown,
        "RegistryConfig": registries,
        "ContainerdCommit": commit,
        "RuncCommit": commit,
        "InitCommit": commit,
    }


def _security_options(seccomp: bool, version: ApiVersion) -> list[str]:
    if version < _SECURITY_PAIRS_SINCE:
        return ["seccomp"] if seccomp else []
    options = ["name=seccomp,profile=builtin"] if seccomp else []
    return [*options, "name=cgroupns"]


_PLUGINS: Final[Json] = {
    "Volume": [],
    "Network": ["bridge", "host", "null"],
    "Authorization": None,
    "Log": [JSON_FILE, LOCAL],
}
_REGISTRIES: Final[Json] = {
    "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8"],
    "IndexConfigs": {},
    "Mirrors": [],
}
_ALLOWED_ARTIFACTS: Final[Json] = {
    "AllowNondistributableArtifactsCIDRs": [],
    "AllowNondistributableArtifactsHostnames": [],
}
_NO_SWARM: Final[Json] = {
    "NodeID": "",
    "NodeAddr": "",
    "LocalNodeState": "inactive",
    "ControlAvailable": False,
    "Error": "",
    "RemoteManagers": None,
}
