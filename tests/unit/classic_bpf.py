"""Run classic BPF programs, as far as seccomp(2) uses them, to get the kernel's decision."""

import struct
from collections.abc import Callable, Sequence

AUDIT_ARCH_X86_64 = 0xC000003E
AUDIT_ARCH_I386 = 0x40000003
ALLOW = 0x7FFF0000
KILL_PROCESS = 0x80000000
KILL_THREAD = 0x00000000

_COMPARISONS: dict[int, Callable[[int, int], bool]] = {
    0x10: lambda a, k: a == k,
    0x20: lambda a, k: a > k,
    0x30: lambda a, k: a >= k,
    0x40: lambda a, k: bool(a & k),
}


def refusal(number: int) -> int:
    """Return SECCOMP_RET_ERRNO with this errno."""
    return 0x00050000 | number


def decide(
    program: bytes, number: int, args: Sequence[int] = (), arch: int = AUDIT_ARCH_X86_64
) -> int:
    """Run a program on one system call; return its decision.

    Only forward jumps exist, so it ends: BPF_LD|W|ABS, BPF_ALU|AND|K, BPF_JMP, BPF_RET|K,
    linux/filter.h.
    """
    words = [*args, *(0,) * (6 - len(args))]
    seccomp_data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, arch, 0, *words)
    accumulator = position = 0
    while True:
        code, jump_true, jump_false, k = struct.unpack_from("=HBBI", program, position * 8)
        position += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", seccomp_data, k)
        elif code == 0x54:
            accumulator &= k
        elif code == 0x06:
            return int(k)
        elif code == 0x05:
            position += k
        else:
            assert code & 0x0F == 0x05, f"unknown instruction {code:#x}"
            position += jump_true if _COMPARISONS[code & 0xF0](accumulator, k) else jump_false
