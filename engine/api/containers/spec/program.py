"""Combine command, environment and user of a request with those of the image."""

import posixpath
from collections.abc import Iterable
from typing import Final

from engine.api.containers.spec.body import CreateWire, HostConfigWire, RestartPolicyWire, words
from engine.capability_names import ALL_CAPABILITIES
from engine.domain.container.spec import (
    DEFAULT_STOP_SIGNAL,
    RestartPolicy,
    merged_env,
    normal_capability,
)
from engine.domain.image.config import ImageConfig
from engine.domain.signals import parse_signal
from engine.errors import InvalidRequest

_OOM_SCORES: Final = range(-1000, 1001)
_RESTART_POLICIES: Final = ("no", "always", "on-failure", "unless-stopped")


def program(asked: CreateWire, default: ImageConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return entrypoint and command: an entrypoint in the request replaces the image's command too;
    ``[""]`` is no entrypoint.

    Raises:
        InvalidRequest: there is neither.
    """
    entrypoint, command = words(asked.entrypoint), words(asked.cmd)
    if not entrypoint:
        command = command or default.cmd
        entrypoint = default.entrypoint if asked.entrypoint is None else ()
    elif entrypoint == ("",):
        entrypoint = ()
    if not entrypoint and not command:
        raise InvalidRequest("no command specified")
    return entrypoint, command


def environment(default: tuple[str, ...], asked: Iterable[str]) -> tuple[str, ...]:
    """Merge the image's variables with the request's.

    Raises:
        InvalidRequest: one without a name, or with a byte that ends it, execve(2).
    """
    for variable in asked:
        if not variable.partition("=")[0] or "\0" in variable:
            raise InvalidRequest(f"invalid environment variable: {variable}")
    return merged_env(default, tuple(asked))


def working_directory(path: str) -> str:
    """Return the working directory in its shortest form.

    Raises:
        InvalidRequest: not an absolute path.
    """
    if path and not path.startswith("/"):
        raise InvalidRequest(
            f"the working directory '{path}' is invalid, it needs to be an absolute path"
        )
    return posixpath.normpath(path).replace("//", "/") if path else ""


def stop_signal(name: str) -> str:
    """Return the stop signal as it was written.

    Raises:
        InvalidRequest: no such signal.
    """
    if not name:
        return DEFAULT_STOP_SIGNAL
    parse_signal(name)
    return name


def capability_names(field: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return capabilities as the kernel's headers write them.

    Raises:
        InvalidRequest: there is none of that name.
    """
    found = tuple(map(normal_capability, names))
    for name in found:
        if name != "ALL" and name not in ALL_CAPABILITIES:
            raise InvalidRequest(f'invalid {field}: unknown capability: "{name}"')
    return found


def oom_score_adj(score: int) -> int:
    """Return the kernel's preference for killing the container, proc(5).

    Raises:
        InvalidRequest: out of range.
    """
    if score not in _OOM_SCORES:
        raise InvalidRequest(f"Invalid value {score}, range for oom score adj is [-1000, 1000]")
    return score


def restart_policy(host: HostConfigWire) -> RestartPolicy:
    """Return the restart policy.

    Raises:
        InvalidRequest: no such policy, a limit that it does not have, or a container that is to be
            gone by then.
    """
    policy = parse_restart_policy(host.restart_policy or RestartPolicyWire())
    if host.auto_remove and policy.name != "no":
        raise InvalidRequest("can't create 'AutoRemove' container with restart policy")
    return policy


def parse_restart_policy(wire: RestartPolicyWire) -> RestartPolicy:
    """Parse a policy by itself.

    Raises:
        InvalidRequest: no such policy, or a limit that it does not have.
    """
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
    return RestartPolicy(name=name, retries_max=retries)
