"""Define the constants, structs and calls of bpf(2) that programs for device nodes need.

In the manner of :mod:`engine.runtime.linux`, which every forked process loads.
"""

import ctypes
import os
from typing import Final

from engine.runtime.linux import checked, system_call

# linux/bpf.h
BPF_PROG_LOAD: Final = 5
BPF_PROG_ATTACH: Final = 8
BPF_PROG_DETACH: Final = 9
BPF_PROG_GET_FD_BY_ID: Final = 13
BPF_PROG_QUERY: Final = 16
BPF_PROG_TYPE_CGROUP_DEVICE: Final = 15
BPF_CGROUP_DEVICE: Final = 6
BPF_F_ALLOW_MULTI: Final = 2
BPF_F_REPLACE: Final = 4
BPF_INSN_BYTES: Final = 8
"""sizeof(struct bpf_insn)."""

# asm/unistd.h
_NR_BPF: Final = {"x86_64": 321, "aarch64": 280}.get(os.uname().machine, -1)


class _BpfProgLoad(ctypes.Structure):
    """The first fields of union bpf_attr for BPF_PROG_LOAD; the kernel takes the rest as zeroes."""

    _fields_ = (
        ("prog_type", ctypes.c_uint32),
        ("insn_cnt", ctypes.c_uint32),
        ("insns", ctypes.c_uint64),
        ("license", ctypes.c_uint64),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_uint64),
        ("kern_version", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
        ("prog_name", ctypes.c_char * 16),
    )


class _BpfProgAttach(ctypes.Structure):
    """union bpf_attr for BPF_PROG_ATTACH and BPF_PROG_DETACH."""

    _fields_ = (
        ("target_fd", ctypes.c_uint32),
        ("attach_bpf_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("attach_flags", ctypes.c_uint32),
        ("replace_bpf_fd", ctypes.c_uint32),
    )


class _BpfProgGetFd(ctypes.Structure):
    """union bpf_attr for BPF_PROG_GET_FD_BY_ID."""

    _fields_ = (
        ("prog_id", ctypes.c_uint32),
        ("next_id", ctypes.c_uint32),
        ("open_flags", ctypes.c_uint32),
    )


class _BpfProgQuery(ctypes.Structure):
    """union bpf_attr for BPF_PROG_QUERY."""

    _fields_ = (
        ("target_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("query_flags", ctypes.c_uint32),
        ("attach_flags", ctypes.c_uint32),
        ("prog_ids", ctypes.c_uint64),
        ("prog_cnt", ctypes.c_uint32),
    )


_bpf = system_call(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint)


def bpf_prog_load(prog_type: int, insns: bytes, name: str = "", license_name: str = "GPL") -> int:
    """Verify and load a program, an array of struct bpf_insn; return its descriptor. BPF_PROG_LOAD
    of bpf(2).

    Raises:
        OSError: EACCES or EINVAL when the verifier refuses it.
    """
    code = ctypes.create_string_buffer(insns, len(insns))
    terms = ctypes.create_string_buffer(license_name.encode())
    attr = _BpfProgLoad(
        prog_type, len(insns) // BPF_INSN_BYTES, ctypes.addressof(code), ctypes.addressof(terms)
    )
    attr.prog_name = name.encode()[:15]
    return _check_bpf(BPF_PROG_LOAD, attr)


def bpf_prog_attach(
    target_fd: int, prog_fd: int, attach_type: int, flags: int = 0, replace_fd: int = 0
) -> None:
    """Attach a loaded program to a cgroup; with ``BPF_F_REPLACE`` replace another one atomically.
    bpf(2).
    """
    _check_bpf(BPF_PROG_ATTACH, _BpfProgAttach(target_fd, prog_fd, attach_type, flags, replace_fd))


def bpf_prog_detach(target_fd: int, prog_fd: int, attach_type: int) -> None:
    """Detach a program from a cgroup. BPF_PROG_DETACH of bpf(2).

    Raises:
        OSError: ENOENT when it is not attached there.
    """
    _check_bpf(BPF_PROG_DETACH, _BpfProgAttach(target_fd, prog_fd, attach_type, 0, 0))


def bpf_prog_query(target_fd: int, attach_type: int) -> tuple[int, ...]:
    """Return the IDs of the programs attached to this very cgroup. BPF_PROG_QUERY of bpf(2).

    Raises:
        OSError: ENOSPC when there are more than 64 of them.
    """
    ids = (ctypes.c_uint32 * 64)()
    attr = _BpfProgQuery(target_fd, attach_type, 0, 0, ctypes.addressof(ids), len(ids))
    _check_bpf(BPF_PROG_QUERY, attr)
    return tuple(ids[: attr.prog_cnt])


def bpf_prog_get_fd_by_id(prog_id: int) -> int:
    """Return a descriptor of a loaded program. BPF_PROG_GET_FD_BY_ID of bpf(2)."""
    return _check_bpf(BPF_PROG_GET_FD_BY_ID, _BpfProgGetFd(prog_id, 0, 0))


def _check_bpf(cmd: int, attr: ctypes.Structure) -> int:
    return checked(_bpf(_NR_BPF, cmd, ctypes.addressof(attr), ctypes.sizeof(attr)), "bpf")
