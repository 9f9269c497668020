"""Convert options to the body of ``POST /containers/create``.

Options that were not given are sent as Docker's client sends them (empty, zero, null): the engine
decides what that means.
"""

import json
import os
from collections.abc import Iterable
from typing import Any

from engine.cli.environment import environment, labels
from engine.cli.failures import Failure
from engine.cli.flags import Options
from engine.cli.mounts import binds_and_volumes, tmpfs
from engine.cli.ports import parse_expose, parse_publish

Body = dict[str, Any]  # Any: JSON of the API


def create_body(options: Options, image: str, command: list[str]) -> Body:
    """Return the whole body, without a terminal's size, which the caller adds.

    Raises:
        Failure: options that contradict each other, a file that can't be read, a malformed port or
            mount.
    """
    try:
        return _create_body(options, image, command)
    except ValueError as error:
        raise Failure(str(error)) from None


def _create_body(options: Options, image: str, command: list[str]) -> Body:
    bindings = _port_bindings(options)
    exposed: Body = {port: {} for port in bindings}
    exposed |= {port: {} for text in options.many("expose") for port in parse_expose(text)}
    binds, volumes = binds_and_volumes(options.many("volume"))
    body: Body = {
        "Hostname": options.text("hostname"),
        "Domainname": options.text("domainname"),
        "User": options.text("user"),
        **_streams(options),
        "Env": environment(options) or None,
        "Cmd": command or None,
        "Image": image,
        "Volumes": volumes,
        "WorkingDir": options.text("workdir"),
        "Entrypoint": [options.text("entrypoint")] if options.given("entrypoint") else None,
        "OnBuild": None,
        "Labels": labels(options),
        "HostConfig": _host_config(options, binds, bindings),
        "NetworkingConfig": {"EndpointsConfig": _endpoints(options)},
    }
    if exposed:
        body["ExposedPorts"] = exposed
    if (health := _healthcheck(options)) is not None:
        body["Healthcheck"] = health
    if options.given("stop-signal"):
        body["StopSignal"] = options.text("stop-signal")
    if options.given("stop-timeout"):
        body["StopTimeout"] = options.number("stop-timeout")
    return body


def attached_streams(options: Options) -> dict[str, bool]:
    """Return which streams the client will attach: those named by ``-a``, else output, and input
    with ``-i``.
    """
    named = options.many("attach")
    if options.on("detach"):
        return {"stdin": False, "stdout": False, "stderr": False}
    if named:
        return {stream: stream in named for stream in ("stdin", "stdout", "stderr")}
    return {"stdin": options.on("interactive"), "stdout": True, "stderr": True}


def _streams(options: Options) -> Body:
    attached = attached_streams(options)
    interactive = options.on("interactive")
    return {
        "AttachStdin": attached["stdin"],
        "AttachStdout": attached["stdout"],
        "AttachStderr": attached["stderr"],
        "Tty": options.on("tty"),
        "OpenStdin": interactive,
        "StdinOnce": interactive and attached["stdin"],
    }


def _port_bindings(options: Options) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for text in options.many("publish"):
        for port, binding in parse_publish(text):
            bindings.setdefault(port, []).append(binding)
    return bindings


def network_mode(options: Options) -> str:
    """Return the value of ``--network``; ``default`` leaves the choice to the engine."""
    return options.text("network") or options.text("net") or "default"


def _endpoints(options: Options) -> Body:
    mode = network_mode(options)
    address = {"IPv4Address": options.text("ip"), "IPv6Address": options.text("ip6")}
    address = {name: value for name, value in address.items() if value}
    predefined = mode in ("host", "none", "bridge") or mode.startswith("container:")
    if predefined and not (address or options.given("mac-address")):
        return {}
    endpoint: Body = {
        "IPAMConfig": address or None,
        "Links": options.many("link") or None,
        "Aliases": options.many("network-alias") or None,
        "MacAddress": options.text("mac-address"),
    }
    return {mode: endpoint}


def _host_config(options: Options, binds: list[str], bindings: Body) -> Body:
    config: Body = {
        "Binds": binds or None,
        "ContainerIDFile": options.text("cidfile"),
        "LogConfig": {"Type": options.text("log-driver"), "Config": dict(options.many("log-opt"))},
        "NetworkMode": network_mode(options),
        "PortBindings": bindings,
        "RestartPolicy": restart_policy(options.text("restart", "no")),
        "AutoRemove": options.on("rm"),
        "VolumesFrom": options.many("volumes-from") or None,
        "ConsoleSize": [0, 0],
        "CapAdd": capabilities(options.many("cap-add")),
        "CapDrop": capabilities(options.many("cap-drop")),
        "CgroupnsMode": options.text("cgroupns"),
        "Dns": options.many("dns"),
        "DnsOptions": options.many("dns-option"),
        "DnsSearch": options.many("dns-search"),
        "ExtraHosts": options.many("add-host") or None,
        "GroupAdd": options.many("group-add") or None,
        "IpcMode": options.text("ipc"),
        "Links": options.many("link"),
        "OomScoreAdj": options.number("oom-score-adj"),
        "PidMode": options.text("pid"),
        "Privileged": options.on("privileged"),
        "PublishAllPorts": options.on("publish-all"),
        "ReadonlyRootfs": options.on("read-only"),
        "SecurityOpt": security_options(options.many("security-opt")),
        "UTSMode": options.text("uts"),
        "UsernsMode": options.text("userns"),
        "ShmSize": options.number("shm-size"),
        **_resources(options),
        "MaskedPaths": None,
        "ReadonlyPaths": None,
    }
    optional = {
        "Tmpfs": tmpfs(options.many("tmpfs")),
        "Mounts": options.many("mount"),
        "Sysctls": dict(options.many("sysctl")),
        "Runtime": options.text("runtime"),
    }
    config |= {name: value for name, value in optional.items() if value}
    if options.given("init"):
        config["Init"] = options.on("init")
    if options.on("rm") and config["RestartPolicy"]["Name"] not in ("", "no"):
        raise Failure("conflicting options: cannot specify both --restart and --rm")
    return config


def _resources(options: Options) -> Body:
    ulimits = {limit["Name"]: limit for limit in options.many("ulimit")}
    return {
        "CpuShares": options.number("cpu-shares"),
        "Memory": options.number("memory"),
        "NanoCpus": options.number("cpus"),
        "CgroupParent": options.text("cgroup-parent"),
        "CpuPeriod": options.number("cpu-period"),
        "CpuQuota": options.number("cpu-quota"),
        "CpusetCpus": options.text("cpuset-cpus"),
        "CpusetMems": options.text("cpuset-mems"),
        "Devices": [_device(text) for text in options.many("device")],
        "MemoryReservation": options.number("memory-reservation"),
        "MemorySwap": options.number("memory-swap"),
        "MemorySwappiness": options.number("memory-swappiness", -1),
        "OomKillDisable": options.on("oom-kill-disable"),
        "PidsLimit": options.number("pids-limit"),
        "Ulimits": [ulimits[name] for name in sorted(ulimits)],
    }


def restart_policy(text: str) -> Body:
    """Convert ``on-failure:3`` to the API's form.

    Raises:
        Failure: the count is not a number.
    """
    name, separator, count = text.partition(":")
    if separator and not name:
        raise Failure("invalid restart policy format: no policy provided before colon")
    if separator and not count.lstrip("-").isdigit():
        raise Failure("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name, "MaximumRetryCount": int(count or 0)}


def capabilities(names: Iterable[str]) -> list[str] | None:
    """Return the names in one spelling, sorted, each once: ``net_admin`` is ``CAP_NET_ADMIN``; None
    if there are none.
    """
    upper = {name.upper() for name in names}
    spelled = {n if n == "ALL" or n.startswith("CAP_") else f"CAP_{n}" for n in upper if n}
    return sorted(spelled) or None


def security_options(texts: Iterable[str]) -> list[str] | None:
    """Return the options as given; for ``seccomp=FILE`` send the file's content, because the engine
    may not have access to the file.

    Raises:
        Failure: a file that can't be read, or is not JSON.
    """
    return [_security_option(text) for text in texts] or None


def _security_option(text: str) -> str:
    name, separator, value = text.partition("=")
    if not separator:
        name, separator, value = text.partition(":")
    if not separator and name != "no-new-privileges":
        raise Failure(f'Invalid --security-opt: "{text}"')
    if name != "seccomp" or value in ("unconfined", "builtin"):
        return text
    try:
        with open(value, encoding="utf-8") as file:  # noqa: PTH123  (pathlib costs 10 ms)
            profile = json.load(file)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise Failure(f"opening seccomp profile ({value}) failed: open {value}: {reason}") from None
    except ValueError as error:
        raise Failure(f"compacting json for seccomp profile ({value}) failed: {error}") from None
    return f"seccomp={json.dumps(profile, separators=(',', ':'))}"


def _device(text: str) -> Body:
    source, *rest = text.split(":")
    target, rights = source, "rwm"
    if rest and set(rest[-1]) <= set("rwm") and rest[-1]:
        rights = rest.pop()
    if rest:
        target = rest[0]
    return {"PathOnHost": source, "PathInContainer": target, "CgroupPermissions": rights}


def _healthcheck(options: Options) -> Body | None:
    wanted = {
        "Interval": "health-interval",
        "Timeout": "health-timeout",
        "StartPeriod": "health-start-period",
        "StartInterval": "health-start-interval",
    }
    times = {name: options.number(flag) for name, flag in wanted.items() if options.given(flag)}
    given = times or options.given("health-cmd") or options.given("health-retries")
    if options.on("no-healthcheck"):
        if given:
            raise Failure("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    if not given:
        return None
    health: Body = dict(times)
    if options.text("health-cmd"):
        health["Test"] = ["CMD-SHELL", options.text("health-cmd")]
    if options.given("health-retries"):
        health["Retries"] = options.number("health-retries")
    return health


def check_cidfile(path: str) -> None:
    """Raise Failure if the file exists already: another container may be using it."""
    if path and os.path.exists(path):  # noqa: PTH110  (pathlib costs 10 ms)
        raise Failure(
            f"container ID file found, make sure the other container isn't running or delete {path}"
        )
