"""Convert ``SecurityOpt``, ``MaskedPaths`` and ``ReadonlyPaths`` to domain values and back."""

from dataclasses import dataclass
from typing import Final

import msgspec

from engine.api.containers.spec.body import HostConfigWire
from engine.api.http.json_bodies import Json
from engine.domain.booleans import parse_bool
from engine.domain.container.namespace_sharing import HOST
from engine.domain.container.oci import masked_paths, readonly_paths
from engine.domain.container.spec import Spec
from engine.errors import InvalidRequest, Unsupported

UNCONFINED: Final = "unconfined"
_BARE: Final = ("no-new-privileges", "disable")
"""Options that need no value; the second is an old spelling of ``label=disable``."""


@dataclass(frozen=True, slots=True)
class Security:
    """What the security options mean."""

    options: tuple[str, ...] = ()
    no_new_privileges: bool = False
    seccomp: str = ""
    writable_cgroups: bool = False
    masked_paths: tuple[str, ...] | None = None
    readonly_paths: tuple[str, ...] | None = None


def parse_security(host: HostConfigWire) -> Security:
    """Parse the options, and the lists of paths that clients make of ``systempaths=unconfined``; of
    two options the later wins.

    Raises:
        InvalidRequest: an unknown option, or a seccomp profile that is not JSON.
        Unsupported: a profile of a security module that this engine does not drive.
    """
    seccomp = UNCONFINED if host.privileged else ""
    on = dict.fromkeys(("no-new-privileges", "writable-cgroups"), False)
    options = tuple(host.security_opt or ())
    for option in options:
        name, value = _split(option)
        if name == "seccomp":
            seccomp = _profile(value)
        elif name in ("label", "apparmor"):
            _check_off(name, value)
        elif name in on:
            on[name] = _boolean(option, value)
        else:
            raise _invalid(option)
    return Security(
        options,
        on["no-new-privileges"],
        seccomp,
        on["writable-cgroups"],
        _paths(host.masked_paths),
        _paths(host.readonly_paths),
    )


def _boolean(option: str, value: str) -> bool:
    try:
        return parse_bool(value)
    except ValueError:
        raise _invalid(option) from None


def _invalid(option: str) -> InvalidRequest:
    return InvalidRequest(f'invalid --security-opt 2: "{option}"')


def _split(option: str) -> tuple[str, str]:
    """Split ``NAME=VALUE``, or ``NAME:VALUE`` from before 1.11."""
    if option in _BARE:
        return ("label", option) if option == "disable" else (option, "true")
    for separator in "=:":
        name, found, value = option.partition(separator)
        if found:
            return name, value
    raise InvalidRequest(f'invalid --security-opt 1: "{option}"')


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
    """Accept that a security module is switched off, and refuse a profile for it: this engine does
    not drive these modules.
    """
    if value not in (UNCONFINED, "disable", ""):
        raise Unsupported(f'the security option "{name}={value}" is not supported')


def _paths(paths: list[str] | None) -> tuple[str, ...] | None:
    return None if paths is None else tuple(paths)


def security_json(spec: Spec) -> Json:
    """Return the security fields of ``HostConfig``.

    Of the default paths a privileged container has none, and what sees the host's processes has no
    SELinux label.
    """
    shares_host = HOST in (spec.pid_mode, spec.ipc_mode) or spec.privileged
    labelled = any(_split(option)[0] == "label" for option in spec.security_options)
    unlabelled = ("label=disable",) if shares_host and not labelled else ()
    hidden = spec.masked_paths is not None or not spec.privileged
    guarded = spec.readonly_paths is not None or not spec.privileged
    return {
        "SecurityOpt": (*spec.security_options, *unlabelled) or None,
        "MaskedPaths": masked_paths(spec) if hidden else None,
        "ReadonlyPaths": readonly_paths(spec) if guarded else None,
    }
