"""``SecurityOpt``, Docker's words ⇄ domain."""

from dataclasses import dataclass
from typing import Final

import msgspec

from engine.api.wire_container import HostConfigWire
from engine.domain.spec import Spec
from engine.errors import InvalidRequest, Unsupported

UNCONFINED: Final = "unconfined"
_WITHOUT_EFFECT: Final = ("apparmor", "label")
"""Modules that this engine does not drive: switching them off is granted, a profile of theirs is not."""


@dataclass(frozen=True, slots=True)
class Security:
    """What the options ask for."""

    no_new_privileges: bool = False
    seccomp: str = ""


def parse_security(host: HostConfigWire) -> Security:
    """Read ``SecurityOpt``, and the paths that ``systempaths=unconfined`` becomes in clients.

    Raises:
        InvalidRequest: an option that nobody knows, or a seccomp profile that is not JSON.
        Unsupported: a profile of a security module that this engine does not drive.
    """
    if host.masked_paths is not None or host.readonly_paths is not None:
        _check_paths(host)
    no_new_privileges, seccomp = False, ""
    for number, option in enumerate(host.security_opt or (), start=1):
        name, value = _split(option)
        if name == "no-new-privileges":
            no_new_privileges = _boolean(value)
        elif name == "seccomp":
            seccomp = _profile(value)
        elif name in _WITHOUT_EFFECT:
            _check_off(name, value)
        else:
            raise InvalidRequest(f'invalid --security-opt {number}: "{option}"')
    return Security(no_new_privileges, seccomp)


def _split(option: str) -> tuple[str, str]:
    separator = "=" if "=" in option else ":"
    name, _, value = option.partition(separator)
    return name, value


def _boolean(value: str) -> bool:
    if value.lower() in ("", "1", "t", "true"):
        return True
    if value.lower() in ("0", "f", "false"):
        return False
    raise InvalidRequest(f'invalid --security-opt 2: "no-new-privileges={value}"')


def _profile(value: str) -> str:
    if value in (UNCONFINED, "", "builtin", "default"):
        return UNCONFINED if value == UNCONFINED else ""
    try:
        if isinstance(msgspec.json.decode(value), dict):
            return value
    except (msgspec.DecodeError, RecursionError):
        pass
    raise InvalidRequest("decoding seccomp profile failed: it is not a JSON object")


def _check_off(name: str, value: str) -> None:
    if value not in (UNCONFINED, "disable"):
        raise Unsupported(f'the security option "{name}={value}" is not supported')


def _check_paths(host: HostConfigWire) -> None:
    if host.masked_paths == [] and not host.privileged:
        raise Unsupported("unmasked system paths are not supported yet")


def security_json(spec: Spec) -> list[str] | None:
    """``HostConfig.SecurityOpt``."""
    options = ["no-new-privileges"] if spec.no_new_privileges else []
    if spec.seccomp and not (spec.privileged and spec.seccomp == UNCONFINED):
        options.append(f"seccomp={spec.seccomp}")
    return options or None
