"""Compile seccomp profiles to BPF programs, and cache them.

libseccomp does the work, with two things put in front of its program (:func:`_prelude`):

- calls that are younger than the library, but in our table, are allowed where the profile allows
  them;
- a call that is younger than everything the profile mentions answers ENOSYS, not EPERM, so that a
  C library which tries it falls back on an older one (as runc does since 1.0.0-rc93; moby issue
  40734 shows what happens otherwise).

The program holds for one set of capabilities: Docker's profile allows a capability's system calls
if the container has it.
"""

import contextlib
import ctypes
import errno
import hashlib
import importlib
import os
import struct
import tempfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from engine.drivers.runs.seccomp_profile import (
    Condition,
    Profile,
    Rule,
    other_architectures,
    parse_profile,
    rules_for,
)
from engine.errors import DriverError, InvalidRequest

UNCONFINED: Final = "unconfined"

_SCHEMA: Final = b"1"
"""Part of every file name: to be raised when the same profile is compiled differently."""
_ERRNO_MAX: Final = 4095
_INSTRUCTIONS_MAX: Final = 4096

# asm-generic/unistd.h: calls that libseccomp 2.5 does not know. From 424 on, numbers are the same
# on every architecture.
RECENT_CALLS: Final = {
    "cachestat": 451,
    "fchmodat2": 452,
    "map_shadow_stack": 453,
    "futex_wake": 454,
    "futex_wait": 455,
    "futex_requeue": 456,
    "statmount": 457,
    "listmount": 458,
    "lsm_get_self_attr": 459,
    "lsm_set_self_attr": 460,
    "lsm_list_modules": 461,
    "mseal": 462,
    "setxattrat": 463,
    "getxattrat": 464,
    "listxattrat": 465,
    "removexattrat": 466,
}

# linux/bpf_common.h, linux/seccomp.h
_LOAD_WORD: Final = 0x20
_JUMP_EQUAL: Final = 0x15
_JUMP_GREATER: Final = 0x25
_JUMP_GREATER_EQUAL: Final = 0x35
_RETURN: Final = 0x06
_NR_OFFSET: Final = 0
_X32_BIT: Final = 0x40000000
_RET_ERRNO: Final = 0x00050000
_INSTRUCTION: Final = struct.Struct("=HBBI")

_UNKNOWN: Final = -1
"""libseccomp's __NR_SCMP_ERROR: the library does not know this call."""
_LAST_NUMBER: Final = _X32_BIT - 2
_LAST_ARGUMENT: Final = 5
_WORD_MAX: Final = (1 << 64) - 1
_BINARY_TREE: Final = 2
"""For SCMP_FLTATR_CTL_OPTIMIZE: any call is decided in about ten steps, seccomp_attr_set(3)."""
_OPERATORS: Final = tuple(
    f"SCMP_CMP_{name}" for name in ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
)
_REFUSING: Final = tuple(
    f"SCMP_ACT_{name}" for name in ("ERRNO", "KILL", "KILL_PROCESS", "KILL_THREAD", "TRAP")
)
_ACTIONS: Final = (*_REFUSING, "SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")


def default_profile_path() -> Path:
    """Return the path of the default profile: beside the package in a source tree, inside it when
    installed.
    """
    package = Path(__file__).resolve().parents[2]
    installed = package / "_config" / "seccomp.json"
    return installed if installed.exists() else package.parent / "config" / "seccomp.json"


class SeccompPrograms:
    """Compiled programs of one engine, each an array of struct sock_filter in a file of
    ``directory``.

    Safe to call from any thread: a file is written atomically, and always with the same content.
    """

    def __init__(self, directory: Path, default_profile: Path | None = None) -> None:
        self._directory = directory
        self._default = (default_profile or default_profile_path()).read_bytes()
        self._known: dict[tuple[str, frozenset[str]], Path] = {}

    def path(self, profile: str, capabilities: Iterable[str]) -> Path | None:
        """Return the program for a container, compiled if needed: 5 ms for the default profile,
        else microseconds.

        ``profile`` is a JSON document, empty for the default one, or ``unconfined``, which has no
        program.

        Raises:
            InvalidRequest: the profile is invalid, or asks for what this machine does not support.
            DriverError: the program can't be written.
        """
        if profile == UNCONFINED:
            return None
        key = (profile, frozenset(capabilities))
        found = self._known.get(key)
        if found is None or not found.exists():
            found = self._known[key] = self._find_or_compile(
                profile.encode() or self._default, key[1]
            )
        return found

    def _find_or_compile(self, document: bytes, capabilities: frozenset[str]) -> Path:
        machine = os.uname()
        terms = (
            _SCHEMA,
            machine.release.encode(),
            machine.machine.encode(),
            *sorted(name.encode() for name in capabilities),
        )
        digest = hashlib.sha256(b"\0".join((*terms, document))).hexdigest()
        path = self._directory / f"{digest}.bpf"
        if not path.exists():
            program = compile_profile(parse_profile(document), capabilities, machine)
            try:
                _write_whole(path, program)
            except OSError as error:
                raise DriverError(f"write seccomp program {path}") from error
        return path


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
        Path(name).rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def compile_profile(
    profile: Profile, capabilities: Collection[str], machine: os.uname_result
) -> bytes:
    """Compile a profile to an array of struct sock_filter, for containers with these capabilities
    on this machine.

    Raises:
        InvalidRequest: an action, operator or architecture that does not exist here, or a program
            beyond the kernel's limit.
    """
    # Imported when first needed: finding the library costs tens of milliseconds, and a program is
    # compiled once in a machine's life.
    library = importlib.import_module("pyseccomp")
    compiler = _Compiler(library, profile, list(rules_for(profile, capabilities, machine)))
    try:
        program = compiler.prelude() + compiler.body(other_architectures(profile, machine.machine))
    except (OSError, ctypes.ArgumentError) as error:
        raise InvalidRequest(f"invalid seccomp profile: {error}") from error
    if len(program) > _INSTRUCTIONS_MAX * _INSTRUCTION.size:
        raise InvalidRequest(f"invalid seccomp profile: more than {_INSTRUCTIONS_MAX} instructions")
    return program


class _Compiler:
    """Compiles one profile with libseccomp."""

    def __init__(self, library: ModuleType, profile: Profile, rules: list[Rule]) -> None:
        self._library = library
        self._rules = rules
        self._default = self._action(profile.defaultAction, profile.defaultErrnoRet)
        self._refusing = profile.defaultAction in _REFUSING

    def body(self, others: Iterable[str]) -> bytes:
        """Return the program for the calls that the library knows, of this architecture and of
        ``others``.
        """
        compiled = self._library.SyscallFilter(self._default)
        compiled.set_attr(self._library.Attr.CTL_OPTIMIZE, _BINARY_TREE)
        for name in others:
            compiled.add_arch(self._architecture(name))
        for rule in self._rules:
            action = self._action(rule.action, rule.errno)
            conditions = [self._argument(condition) for condition in rule.conditions]
            # The default action needs no rule, and libseccomp refuses one.
            for number in self._numbers(rule.names) if action != self._default else ():
                compiled.add_rule(action, number, *conditions)
        with tempfile.TemporaryFile() as file:
            compiled.export_bpf(file)
            file.seek(0)
            return file.read()

    def prelude(self) -> bytes:
        """Return the instructions that run before libseccomp's program, for calls that it does not
        know.

        The kernel remembers for each call whether it is always allowed (seccomp_cache_prepare() in
        kernel/seccomp.c, Linux 5.11), so this costs an ordinary call nothing.
        """
        decisions = [
            (RECENT_CALLS[name], self._action(rule.action, rule.errno))
            for rule in self._rules
            for name in rule.names
            if not rule.conditions and name in RECENT_CALLS and self._number(name) == _UNKNOWN
        ]
        mentioned = [number for rule in self._rules for number in self._numbers(rule.names)]
        last = max([*mentioned, *(number for number, _ in decisions)], default=_LAST_NUMBER)
        if self._refusing:
            decisions.append((last + 1, _RET_ERRNO | errno.ENOSYS))
        return _encode_prelude(dict(sorted(decisions)), last) if decisions else b""

    def _number(self, name: str) -> int:
        return int(self._library.resolve_syscall(self._library.Arch.NATIVE, name))

    def _numbers(self, names: Iterable[str]) -> Iterator[int]:
        """Return the numbers of those calls that the library knows; numbers below zero are calls of
        other architectures only.
        """
        return (number for number in map(self._number, names) if number != _UNKNOWN)

    def _action(self, name: str, number: int | None) -> int:
        verb = name.removeprefix("SCMP_ACT_")
        if name not in _ACTIONS:
            raise InvalidRequest(f"invalid seccomp profile: action {name!r} is not supported")
        if verb not in ("ERRNO", "TRACE"):
            return int(getattr(self._library, verb))
        code = errno.EPERM if number is None else number
        if not 0 <= code <= _ERRNO_MAX:
            raise InvalidRequest(f"invalid seccomp profile: errnoRet {code} is out of range")
        return int(getattr(self._library, verb)(code))

    def _argument(self, condition: Condition) -> Any:
        operator = condition.op.removeprefix("SCMP_CMP_")
        if condition.op not in _OPERATORS:
            raise InvalidRequest(
                f"invalid seccomp profile: operator {condition.op!r} is not supported"
            )
        if not 0 <= condition.index <= _LAST_ARGUMENT:
            raise InvalidRequest(f"invalid seccomp profile: there is no argument {condition.index}")
        if not 0 <= condition.value <= _WORD_MAX or not 0 <= condition.valueTwo <= _WORD_MAX:
            raise InvalidRequest("invalid seccomp profile: a value is no unsigned 64-bit number")
        return self._library.Arg(
            condition.index, getattr(self._library, operator), condition.value, condition.valueTwo
        )

    def _architecture(self, name: str) -> int:
        token = getattr(self._library.Arch, name.removeprefix("SCMP_ARCH_"), None)
        if token is None or not name.startswith("SCMP_ARCH_"):
            raise InvalidRequest(f"invalid seccomp profile: architecture {name!r} is unknown")
        return int(token)


def _encode_prelude(decisions: dict[int, int], last: int) -> bytes:
    """Encode a program that returns at once for these numbers, and for all beyond ``last`` the
    decision of ``last + 1``.
    """
    beyond = decisions.pop(last + 1, None)
    first = min([*decisions, last + 1])
    length = 2 * len(decisions) + (2 if beyond is not None else 0)
    code = [
        (_LOAD_WORD, 0, 0, _NR_OFFSET),
        (_JUMP_GREATER_EQUAL, 0, length + 1, first),
        (_JUMP_GREATER_EQUAL, length, 0, _X32_BIT),  # x32 has calls of its own at the upper end
    ]
    for number, action in decisions.items():
        code += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, action)]
    if beyond is not None:
        code += [(_JUMP_GREATER, 0, 1, last), (_RETURN, 0, 0, beyond)]
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in code)
