"""Test the default seccomp profile, by the decisions of the program that the kernel gets.

The decisions were compared, for every number of every architecture, with the program that dockerd
20.10 installs (read back with PTRACE_SECCOMP_GET_FILTER). The differences are those of Docker's
later releases, and each has its test below.
"""

import errno
import functools
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.domain.container.spec import DEFAULT_CAPABILITIES
from engine.drivers.runs.seccomp import SeccompPrograms, compile_profile, default_profile_path
from engine.drivers.runs.seccomp_profile import parse_profile
from engine.errors import InvalidRequest
from tests.unit import classic_bpf as bpf

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers are x86-64's")

# asm/unistd_64.h
NUMBERS = {
    "read": 0, "socket": 41, "clone": 56, "execve": 59, "ptrace": 101, "syslog": 103, "personality": 135, "modify_ldt": 154,
    "prctl": 157, "arch_prctl": 158, "acct": 163, "mount": 165, "umount2": 166, "swapon": 167, "reboot": 169,
    "sethostname": 170, "iopl": 172, "ioperm": 173, "init_module": 175, "delete_module": 176, "io_setup": 206,
    "lookup_dcookie": 212, "clock_settime": 227, "vserver": 236, "mbind": 237, "set_mempolicy": 238, "get_mempolicy": 239,
    "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272, "vmsplice": 278,
    "perf_event_open": 298, "fanotify_init": 300, "name_to_handle_at": 303, "open_by_handle_at": 304,
    "clock_adjtime": 305, "setns": 308, "process_vm_readv": 310, "kcmp": 312, "finit_module": 313, "seccomp": 317,
    "bpf": 321, "userfaultfd": 323, "pkey_alloc": 330, "rseq": 334, "io_uring_setup": 425, "io_uring_enter": 426,
    "io_uring_register": 427, "open_tree": 428, "move_mount": 429, "fsopen": 430, "clone3": 435, "openat2": 437,
    "pidfd_getfd": 438, "mount_setattr": 442, "landlock_create_ruleset": 444, "memfd_secret": 447, "futex_waitv": 449,
    "set_mempolicy_home_node": 450, "cachestat": 451, "fchmodat2": 452, "futex_wake": 454, "statmount": 457, "listmount": 458,
    "lsm_list_modules": 461, "mseal": 462, "setxattrat": 463, "removexattrat": 466,
}  # fmt: skip
CLONE_NEWUSER = 0x10000000
CLONE_NEWNS = 0x00020000
CLONE_THREAD_OF_GLIBC = 0x003D0F00
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_ALG, AF_VSOCK = 1, 2, 10, 16, 17, 38, 40


def words(text: str) -> list[str]:
    return text.split()


@functools.cache
def program(*more: str) -> bytes:
    capabilities = {*DEFAULT_CAPABILITIES, *more}
    return compile_profile(
        parse_profile(default_profile_path().read_bytes()), capabilities, os.uname()
    )


def decision(call: str, *args: int, capabilities: tuple[str, ...] = ()) -> int:
    return bpf.decide(program(*capabilities), NUMBERS[call], args)


def custom(**profile: Any) -> bytes:
    return compile_profile(parse_profile(json.dumps(profile)), (), os.uname())


@pytest.mark.parametrize(
    "call",
    words(
        """
        read execve prctl seccomp arch_prctl modify_ldt io_setup vmsplice rseq openat2 ptrace
        process_vm_readv clock_adjtime
        """
    ),
)
def test_ordinary_calls_are_allowed(call: str) -> None:
    assert decision(call) == bpf.ALLOW


@pytest.mark.parametrize(
    "call",
    words(
        """
        keyctl add_key request_key swapon kexec_load userfaultfd vserver unshare setns mount umount2
        open_tree move_mount fsopen mount_setattr bpf perf_event_open fanotify_init lookup_dcookie
        sethostname reboot init_module finit_module delete_module acct kcmp pidfd_getfd iopl ioperm
        clock_settime mbind set_mempolicy get_mempolicy syslog open_by_handle_at set_mempolicy_home_node
        """
    ),
)
def test_what_would_reach_beyond_the_container_is_not_permitted(call: str) -> None:
    assert decision(call) == bpf.refusal(errno.EPERM)


@pytest.mark.parametrize(
    ("capability", "calls"),
    [
        ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
        (
            "CAP_SYS_ADMIN",
            """
            bpf clone3 fanotify_init fsopen lookup_dcookie mount mount_setattr move_mount open_tree
            perf_event_open sethostname setns syslog umount2 unshare lsm_list_modules
            """,
        ),
        ("CAP_SYS_BOOT", "reboot"),
        ("CAP_SYS_MODULE", "init_module finit_module delete_module"),
        ("CAP_SYS_PACCT", "acct"),
        ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_vm_readv ptrace"),
        ("CAP_SYS_RAWIO", "iopl ioperm"),
        ("CAP_SYS_TIME", "clock_settime"),
        ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
        ("CAP_SYSLOG", "syslog"),
        ("CAP_BPF", "bpf"),
        ("CAP_PERFMON", "perf_event_open"),
    ],
)
def test_a_capability_brings_its_calls(capability: str, calls: str) -> None:
    assert {decision(call, capabilities=(capability,)) for call in calls.split()} == {bpf.ALLOW}


@pytest.mark.parametrize("flags", [0, 0x11, CLONE_THREAD_OF_GLIBC])
def test_clone_makes_processes_and_threads(flags: int) -> None:
    assert decision("clone", flags) == bpf.ALLOW


@pytest.mark.parametrize(
    "flag", [CLONE_NEWNS, CLONE_NEWUSER, 0x02000000, 0x04000000, 0x08000000, 0x20000000, 0x40000000]
)
def test_clone_makes_no_namespace(flag: int) -> None:
    assert decision("clone", flag | 0x11) == bpf.refusal(errno.EPERM)
    assert decision("clone", flag | 0x11, capabilities=("CAP_SYS_ADMIN",)) == bpf.ALLOW


def test_clone3_fails_with_enosys() -> None:
    """A filter can't see its flags, and a C library falls back on clone only after ENOSYS."""
    assert decision("clone3") == bpf.refusal(errno.ENOSYS)


@pytest.mark.parametrize("persona", [0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF])
def test_harmless_personalities_can_be_taken(persona: int) -> None:
    assert decision("personality", persona) == bpf.ALLOW


@pytest.mark.parametrize("persona", [0x40000, 0x400000, 0x10, 1])
def test_a_personality_that_weakens_the_process_can_not(persona: int) -> None:
    assert decision("personality", persona) == bpf.refusal(errno.EPERM)


@pytest.mark.parametrize("family", [AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET])
def test_sockets_of_the_usual_families_can_be_made(family: int) -> None:
    assert decision("socket", family) == bpf.ALLOW


@pytest.mark.parametrize("family", [AF_VSOCK, AF_ALG])
def test_sockets_that_know_no_namespace_can_not(family: int) -> None:
    assert decision("socket", family) == bpf.refusal(errno.EPERM)


@pytest.mark.parametrize("call", ["io_uring_setup", "io_uring_enter", "io_uring_register"])
def test_io_uring_is_not_permitted(call: str) -> None:
    """Docker 25 removed it: it does what other calls do, without being filtered."""
    assert decision(call) == bpf.refusal(errno.EPERM)


@pytest.mark.parametrize(
    "call",
    words(
        """
        pkey_alloc landlock_create_ruleset memfd_secret futex_waitv name_to_handle_at cachestat fchmodat2
        futex_wake statmount listmount mseal setxattrat removexattrat
        """
    ),
)
def test_calls_that_docker_allows_since_then_are_allowed(call: str) -> None:
    """Some are younger than the libseccomp of a long-lived distribution."""
    assert decision(call) == bpf.ALLOW


@pytest.mark.parametrize("number", [467, 470, 500, 1000])
def test_an_unknown_newer_system_call_fails_with_enosys(number: int) -> None:
    """EPERM would make a C library give up where ENOSYS makes it try the older call."""
    assert bpf.decide(program(), number) == bpf.refusal(errno.ENOSYS)


def test_the_other_architectures_of_the_machine_are_filtered_too() -> None:
    i386_mount, i386_read = 21, 3
    x32_read, x32_readv, x32_mount = 0x40000000, 0x40000000 + 515, 0x40000000 + 165

    assert bpf.decide(program(), i386_read, arch=bpf.AUDIT_ARCH_I386) == bpf.ALLOW
    assert bpf.decide(program(), i386_mount, arch=bpf.AUDIT_ARCH_I386) == bpf.refusal(errno.EPERM)
    assert bpf.decide(program(), x32_read) == bpf.ALLOW
    assert bpf.decide(program(), x32_readv) == bpf.ALLOW
    assert bpf.decide(program(), x32_mount) == bpf.refusal(errno.EPERM)


def test_an_unknown_architecture_ends_the_process() -> None:
    assert bpf.decide(program(), 0, arch=0x1234) in (bpf.KILL_THREAD, bpf.KILL_PROCESS)


def test_a_profile_that_allows_by_default_refuses_only_what_it_names() -> None:
    code = custom(
        defaultAction="SCMP_ACT_ALLOW",
        syscalls=[
            {"names": ["mount", "mseal"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EACCES}
        ],
    )

    assert bpf.decide(code, NUMBERS["mount"]) == bpf.refusal(errno.EACCES)
    assert bpf.decide(code, NUMBERS["mseal"]) == bpf.refusal(errno.EACCES)
    assert bpf.decide(code, NUMBERS["reboot"]) == bpf.ALLOW
    assert bpf.decide(code, 1000) == bpf.ALLOW


def test_conditions_on_one_argument_are_alternatives() -> None:
    arguments = [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"} for value in (3, 5)]
    code = custom(
        defaultAction="SCMP_ACT_ERRNO",
        syscalls=[{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": arguments}],
    )

    assert [bpf.decide(code, 0, (fd,)) == bpf.ALLOW for fd in (3, 4, 5)] == [True, False, True]


def test_a_rule_for_a_later_kernel_does_not_count_yet() -> None:
    profile = parse_profile(default_profile_path().read_bytes())
    old = SimpleNamespace(machine="x86_64", release="4.4.0-210-generic")
    code = compile_profile(profile, (), cast("os.uname_result", old))

    assert bpf.decide(code, NUMBERS["ptrace"]) == bpf.refusal(errno.EPERM)


def killing_read(**more: Any) -> str:
    rule = {"names": ["read"], "action": "SCMP_ACT_KILL", **more}
    return json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{",
        "{}",
        '{"defaultAction": 7}',
        '{"defaultAction": "SCMP_ACT_NOTIFY"}',
        '{"defaultAction": "ALLOW"}',
        '{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5000}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_PDP11"]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "archMap": [{"architecture": "SCMP_ARCH_ARM"}]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "a", "names": ["b"], "action": "SCMP_ACT_KILL"}]}',
        killing_read(args=[{"index": 9, "value": 1, "op": "SCMP_CMP_EQ"}]),
        killing_read(args=[{"index": 0, "value": 1, "op": "=="}]),
        killing_read(args=[{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]),
        killing_read(args=[{"index": 0, "value": 1 << 64, "op": "SCMP_CMP_EQ"}]),
        killing_read(includes={"minKernel": "new"}),
    ],
)  # fmt: skip
def test_a_profile_that_is_none_is_an_invalid_request(document: str) -> None:
    with pytest.raises(InvalidRequest):
        compile_profile(parse_profile(document), (), os.uname())


def test_a_program_is_compiled_once_and_kept(tmp_path: Path) -> None:
    first = SeccompPrograms(tmp_path).path("", DEFAULT_CAPABILITIES)
    assert first is not None
    written = first.stat().st_mtime_ns
    again = SeccompPrograms(tmp_path).path("", reversed(DEFAULT_CAPABILITIES))

    assert (again, first.stat().st_mtime_ns) == (first, written)
    assert first.read_bytes() == program()
    assert [path.name for path in tmp_path.iterdir()] == [first.name]


def test_other_capabilities_are_another_program(tmp_path: Path) -> None:
    programs = SeccompPrograms(tmp_path)

    assert programs.path("", ()) != programs.path("", ("CAP_SYS_ADMIN",))


def test_a_program_that_was_removed_is_made_again(tmp_path: Path) -> None:
    programs = SeccompPrograms(tmp_path)
    path = programs.path("", ())
    assert path is not None
    path.unlink()

    assert programs.path("", ()) == path
    assert path.exists()


def test_unconfined_has_no_program(tmp_path: Path) -> None:
    assert SeccompPrograms(tmp_path).path("unconfined", ()) is None
