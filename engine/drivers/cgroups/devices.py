"""Compute which device nodes a container may use: a list (v1), or a BPF program (v2).

Rules are folded into the form that version 1 keeps in the kernel (``security/device_cgroup.c``): a
default, and exceptions from it. A later rule overrides an earlier one; an allowance for a node adds
to what is already allowed for exactly that node. Both drivers use the folded form, so that they
agree.

The program gets ``struct bpf_cgroup_dev_ctx`` (linux/bpf.h): requested access and kind of node in
one word, major, minor; it returns 1 to permit. Each exception is a sequence of comparisons that
jump to the next exception when one fails.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from engine.domain.container.resources import DeviceRule

Kind = Literal["b", "c"]
Node = tuple[Kind, int | None, int | None]


DEFAULT_RULES: Final = (
    DeviceRule(kind="c", access="m"),
    DeviceRule(kind="b", access="m"),
    DeviceRule(kind="c", major=1, minor=3),  # null
    DeviceRule(kind="c", major=1, minor=5),  # zero
    DeviceRule(kind="c", major=1, minor=7),  # full
    DeviceRule(kind="c", major=1, minor=8),  # random
    DeviceRule(kind="c", major=1, minor=9),  # urandom
    DeviceRule(kind="c", major=5, minor=0),  # tty
    DeviceRule(kind="c", major=5, minor=1),  # console
    DeviceRule(kind="c", major=5, minor=2),  # ptmx
    DeviceRule(kind="c", major=10, minor=200),  # net/tun
    DeviceRule(kind="c", major=136),  # pts/*
)
"""Devices that every container may use: Docker's list, as ``devices.list`` shows it in a container
of dockerd 20.10.

Any node may be made (``m``), since making one opens nothing.
"""


@dataclass(frozen=True, slots=True)
class Policy:
    """The folded rules: the default for all nodes, and the exceptions."""

    allow: bool
    exceptions: Mapping[Node, frozenset[str]]


def fold(rules: Iterable[DeviceRule], *, all_devices: bool = False) -> Policy:
    """Fold rules on top of the defaults, or on top of all devices."""
    allow, exceptions = False, dict[Node, frozenset[str]]()
    everything = (DeviceRule(kind="a"),) if all_devices else DEFAULT_RULES
    for rule in (*everything, *rules):
        if rule.kind == "a":
            allow, exceptions = rule.allow, {}
            continue
        node: Node = (rule.kind, rule.major, rule.minor)
        known = exceptions.get(node, frozenset())
        adds = rule.allow is not allow
        exceptions[node] = known | set(rule.access) if adds else known - set(rule.access)
    return Policy(allow, {node: access for node, access in exceptions.items() if access})


def v1_lines(policy: Policy) -> list[str]:
    """Return the exceptions as ``devices.allow`` or ``devices.deny`` accept them and
    ``devices.list`` shows them.
    """
    return [
        f"{kind} {_number(major)}:{_number(minor)} {''.join(a for a in 'rwm' if a in access)}"
        for (kind, major, minor), access in policy.exceptions.items()
    ]


def _number(number: int | None) -> str:
    return "*" if number is None else str(number)


# linux/bpf_common.h, linux/bpf.h
_LDX_MEM_W: Final = 0x61
_MOV64_REG: Final = 0xBF
_MOV64_IMM: Final = 0xB7
_AND64_IMM: Final = 0x57
_RSH64_IMM: Final = 0x77
_JNE_IMM: Final = 0x55
_JEQ_IMM: Final = 0x15
_EXIT: Final = 0x95
_CONTEXT, _KIND, _ACCESS, _MAJOR, _MINOR, _SCRATCH, _RESULT = 1, 2, 3, 4, 5, 6, 0
_DEVCG_KIND: Final = {"b": 1, "c": 2}
_DEVCG_ACCESS: Final = {"m": 1, "r": 2, "w": 4}
_DEVCG_ACCESS_ALL: Final = 7


def _insn(code: int, dst: int = 0, src: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("=BBhi", code, src << 4 | dst, offset, immediate)


_PROLOGUE: Final = (
    _insn(_LDX_MEM_W, _KIND, _CONTEXT, 0),  # access_type: access above, kind below
    _insn(_MOV64_REG, _ACCESS, _KIND),
    _insn(_AND64_IMM, _KIND, immediate=0xFFFF),
    _insn(_RSH64_IMM, _ACCESS, immediate=16),
    _insn(_LDX_MEM_W, _MAJOR, _CONTEXT, 4),
    _insn(_LDX_MEM_W, _MINOR, _CONTEXT, 8),
)


def v2_program(policy: Policy) -> bytes:
    """Return the BPF_PROG_TYPE_CGROUP_DEVICE instructions that implement the policy."""
    exceptions = b"".join(
        _exception(node, access, policy) for node, access in policy.exceptions.items()
    )
    return b"".join(_PROLOGUE) + exceptions + _return(policy.allow)


def _exception(node: Node, access: frozenset[str], policy: Policy) -> bytes:
    """Encode one exception: return the opposite of the default if the node matches and all
    requested access (for a ban: any of it) is listed.
    """
    kind, major, minor = node
    listed = sum(_DEVCG_ACCESS[one] for one in access)
    tests = [(_JNE_IMM, _KIND, _DEVCG_KIND[kind])]
    tests += [(_JNE_IMM, _MAJOR, major)] if major is not None else []
    tests += [(_JNE_IMM, _MINOR, minor)] if minor is not None else []
    test = (_JEQ_IMM if policy.allow else _JNE_IMM, _SCRATCH, 0)
    mask = listed if policy.allow else _DEVCG_ACCESS_ALL & ~listed
    tail = [
        _insn(_MOV64_REG, _SCRATCH, _ACCESS),
        _insn(_AND64_IMM, _SCRATCH, immediate=mask),
        _insn(test[0], test[1], offset=2, immediate=test[2]),
        _return(not policy.allow),
    ]
    tail_insns = 5
    head = [
        _insn(code, register, offset=len(tests) - index - 1 + tail_insns, immediate=value)
        for index, (code, register, value) in enumerate(tests)
    ]
    return b"".join(head + tail)


def _return(allow: bool) -> bytes:
    return _insn(_MOV64_IMM, _RESULT, immediate=int(allow)) + _insn(_EXIT)
