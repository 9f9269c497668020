"""The engine about itself: domain → Docker JSON."""

import platform
from typing import Final

from engine.api.json_bodies import Json
from engine.api.requests import ApiVersion
from engine.api.router import VERSION_MAX, VERSION_MIN, version_text
from engine.api.shapes_container import STORAGE_DRIVER
from engine.api.shapes_host_config import RUNTIME
from engine.api.times import stamp
from engine.domain.network import DEFAULT_POOLS
from engine.domain.resources import parse_list
from engine.service.engine import Service

_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_NO_COMMIT: Final[Json] = {"ID": "N/A"}
_EXPECTED_COMMIT_UNTIL: Final = (1, 48)


def version_json(service: Service) -> Json:
    """``GET /version``: SystemVersion."""
    kernel, version = service.system.kernel, service.system.version
    api, api_min = version_text(VERSION_MAX), version_text(VERSION_MIN)
    architecture = _ARCHITECTURES.get(kernel.machine, kernel.machine)
    details = {
        "ApiVersion": api,
        "Arch": architecture,
        "Experimental": "false",
        "KernelVersion": kernel.release,
        "MinAPIVersion": api_min,
        "Os": "linux",
        "PythonVersion": platform.python_version(),
    }
    return {
        "Platform": {"Name": "Shipslog"},
        "Components": [{"Name": "Engine", "Version": version, "Details": details}],
        "Version": version,
        "ApiVersion": api,
        "MinAPIVersion": api_min,
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": architecture,
        "KernelVersion": kernel.release,
        "BuildTime": "",
    }


def info_json(service: Service, version: ApiVersion, open_descriptors: int, tasks: int) -> Json:
    """``GET /info``: SystemInfo."""
    commit = _NO_COMMIT
    if version <= _EXPECTED_COMMIT_UNTIL:  # older clients warn when it is another
        commit = {**_NO_COMMIT, "Expected": _NO_COMMIT["ID"]}
    system, settings = service.system, service.system.settings
    counts, kernel = system.counts(), system.kernel
    return {
        "ID": system.instance,
        "Containers": counts.running + counts.paused + counts.stopped,
        "ContainersRunning": counts.running,
        "ContainersPaused": counts.paused,
        "ContainersStopped": counts.stopped,
        "Images": len(service.images.all()),
        "Driver": STORAGE_DRIVER,
        "DriverStatus": [["Native Overlay Diff", "true"], ["userxattr", "false"]],
        "DockerRootDir": str(settings.data_root),
        "Plugins": _PLUGINS,
        "MemoryLimit": True,
        "SwapLimit": settings.machine.swap_limit,
        "CpuCfsPeriod": True,
        "CpuCfsQuota": True,
        "CPUShares": True,
        "CPUSet": True,
        "PidsLimit": True,
        "OomKillDisable": settings.machine.oom_kill_disable,
        "IPv4Forwarding": True,
        "Debug": False,
        "NFd": open_descriptors,
        "NGoroutines": tasks,
        "SystemTime": stamp(service.ledger.clock.wall_ns()),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": settings.cgroup_version,
        "NEventsListener": 0,
        "KernelVersion": kernel.release,
        "OperatingSystem": system.operating_system,
        "OSVersion": "",
        "OSType": "linux",
        "Architecture": kernel.machine,
        "NCPU": len(parse_list(settings.machine.cpus)),
        "MemTotal": system.memory_bytes,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": _REGISTRIES,
        "GenericResources": None,
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Name": kernel.nodename,
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": system.version,
        "Runtimes": {RUNTIME: {"path": RUNTIME}},
        "DefaultRuntime": RUNTIME,
        "Swarm": _NO_SWARM,
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "InitBinary": settings.init_path.rpartition("/")[2],
        "ContainerdCommit": commit,
        "RuncCommit": commit,
        "InitCommit": commit,
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"]
        if settings.seccomp
        else ["name=cgroupns"],
        "DefaultAddressPools": [
            {"Base": str(pool), "Size": pool.prefixlen} for pool in DEFAULT_POOLS
        ],
        "FirewallBackend": {"Driver": "nftables"},
        "Warnings": None,
    }


_PLUGINS: Final[Json] = {
    "Volume": [],
    "Network": ["bridge", "host", "null"],
    "Authorization": None,
    "Log": ["json-file"],
}
_REGISTRIES: Final[Json] = {
    "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8"],
    "IndexConfigs": {
        "docker.io": {"Name": "docker.io", "Mirrors": [], "Secure": True, "Official": True}
    },
    "Mirrors": [],
}
_NO_SWARM: Final[Json] = {
    "NodeID": "",
    "NodeAddr": "",
    "LocalNodeState": "inactive",
    "ControlAvailable": False,
    "Error": "",
    "RemoteManagers": None,
}
