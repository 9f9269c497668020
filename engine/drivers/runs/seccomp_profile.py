"""Parse seccomp profiles (config-linux.md, Seccomp) with Docker's conditions.

A rule may be limited to capabilities, architectures and a minimum kernel version: for a known
container and machine, a list of :class:`Rule` remains. This module does not know how filters are
compiled.
"""

import os
from collections.abc import Collection, Iterator
from typing import Final

import msgspec

from engine.errors import InvalidRequest

ARCHITECTURES: Final = {
    # uname -m: (Go's name, which profiles use in their conditions; libseccomp's, which they use for
    # the filter)
    "x86_64": ("amd64", "SCMP_ARCH_X86_64"),
    "aarch64": ("arm64", "SCMP_ARCH_AARCH64"),
    "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"),
    "riscv64": ("riscv64", "SCMP_ARCH_RISCV64"),
}


class Condition(msgspec.Struct, frozen=True):
    """A comparison of one argument: a rule applies if all of its conditions do."""

    index: int
    value: int
    op: str
    valueTwo: int = 0  # noqa: N815  (the specification's name)


class _Filter(msgspec.Struct, frozen=True):
    """When a rule applies (``includes``) or doesn't (``excludes``)."""

    caps: tuple[str, ...] | None = None
    arches: tuple[str, ...] | None = None
    minKernel: str | None = None  # noqa: N815


class _Entry(msgspec.Struct, frozen=True):
    action: str
    names: tuple[str, ...] | None = None
    name: str | None = None
    args: tuple[Condition, ...] | None = None
    errnoRet: int | None = None  # noqa: N815
    includes: _Filter | None = None
    excludes: _Filter | None = None


class _ArchMap(msgspec.Struct, frozen=True):
    architecture: str
    subArchitectures: tuple[str, ...] | None = None  # noqa: N815


class Profile(msgspec.Struct, frozen=True):
    """A whole profile."""

    defaultAction: str  # noqa: N815
    defaultErrnoRet: int | None = None  # noqa: N815
    architectures: tuple[str, ...] | None = None
    archMap: tuple[_ArchMap, ...] | None = None  # noqa: N815
    syscalls: tuple[_Entry, ...] | None = None


class Rule(msgspec.Struct, frozen=True):
    """The action for some system calls on this machine, for one container."""

    names: tuple[str, ...]
    action: str
    errno: int | None
    conditions: tuple[Condition, ...]


def parse_profile(document: str | bytes) -> Profile:
    """Parse a profile.

    Raises:
        InvalidRequest: it is not JSON, or not a profile.
    """
    try:
        profile = msgspec.json.decode(document, type=Profile)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"Decoding seccomp profile failed: {error}") from error
    if profile.architectures and profile.archMap:
        raise InvalidRequest(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, "
            "use either 'architectures' or 'archMap'"
        )
    for entry in profile.syscalls or ():
        if entry.name and entry.names:
            raise InvalidRequest(
                "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'"
            )
    return profile


def rules_for(
    profile: Profile, capabilities: Collection[str], machine: os.uname_result
) -> Iterator[Rule]:
    """Yield the rules that apply to a container with these capabilities in its bounding set, on
    this machine.
    """
    arch = ARCHITECTURES.get(machine.machine, (machine.machine, ""))[0]
    kernel = _version(machine.release)
    for entry in profile.syscalls or ():
        included, excluded = entry.includes or _Filter(), entry.excludes or _Filter()
        counts = (
            all(name in capabilities for name in included.caps or ())
            and (not included.arches or arch in included.arches)
            and (not included.minKernel or kernel >= _version(included.minKernel))
        )
        barred = (
            any(name in capabilities for name in excluded.caps or ())
            or arch in (excluded.arches or ())
            or (excluded.minKernel is not None and kernel >= _version(excluded.minKernel))
        )
        if counts and not barred:
            names = entry.names or ((entry.name,) if entry.name else ())
            yield from _by_alternative(names, entry)


def _by_alternative(names: tuple[str, ...], entry: _Entry) -> Iterator[Rule]:
    """Yield one rule for each alternative: conditions on one argument are alternatives, those on
    different arguments apply together, as runc reads the specification.
    """
    conditions = entry.args or ()
    indexes = [condition.index for condition in conditions]
    if len(set(indexes)) == len(indexes):
        yield Rule(names, entry.action, entry.errnoRet, conditions)
        return
    for condition in conditions:
        yield Rule(names, entry.action, entry.errnoRet, (condition,))


def other_architectures(profile: Profile, machine: str) -> tuple[str, ...]:
    """Return the architectures whose calls this machine can also make and which the profile wants
    filtered, not refused.
    """
    own = ARCHITECTURES.get(machine, ("", ""))[1]
    for entry in profile.archMap or ():
        if entry.architecture == own:
            return entry.subArchitectures or ()
    return tuple(name for name in profile.architectures or () if name != own)


def _version(release: str) -> tuple[int, int]:
    """Parse kernel and major revision, as in ``6.1.0-21-amd64``."""
    major, _, rest = release.partition(".")
    minor = rest[: next((i for i, letter in enumerate(rest) if not letter.isdigit()), len(rest))]
    try:
        return int(major), int(minor or 0)
    except ValueError as error:
        raise InvalidRequest(
            f"invalid kernel version {release!r} in the seccomp profile"
        ) from error
