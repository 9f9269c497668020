"""Test what the cgroup drivers compute: hierarchies, permitted devices, weights."""

import struct
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.container.resources import DeviceRule
from engine.drivers.cgroups import detect as cgroup
from engine.drivers.cgroups.devices import Kind, Policy, fold, v1_lines, v2_program
from engine.drivers.cgroups.files import parse_flat, parse_nested
from engine.drivers.cgroups.hierarchies import find_hierarchies
from engine.drivers.cgroups.settings import weight
from engine.errors import InvalidRequest
from engine.runtime.mountinfo import parse_mounts

HYBRID = r"""
23 1 0:23 / /sys rw - sysfs sysfs rw
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/uni\040fied rw,relatime - cgroup2 cgroup2 rw,nsdelegate
42 31 0:32 /a /mnt/again rw,relatime - cgroup cgroup rw,memory
""".strip()
PURE = "30 23 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate"


def test_every_controller_is_found_where_init_mounted_it() -> None:
    found = find_hierarchies(parse_mounts(HYBRID.encode()))

    assert found.controllers == {
        "cpu": Path("/sys/fs/cgroup/cpu,cpuacct"),
        "cpuacct": Path("/sys/fs/cgroup/cpu,cpuacct"),
        "memory": Path("/sys/fs/cgroup/memory"),
        "name=systemd": Path("/sys/fs/cgroup/systemd"),
    }
    assert found.unified == Path("/sys/fs/cgroup/uni fied")


def test_version_2_alone_has_no_controllers_of_version_1() -> None:
    found = find_hierarchies(parse_mounts(PURE.encode()))

    assert (found.controllers, found.unified) == ({}, Path("/sys/fs/cgroup"))


@pytest.mark.parametrize("parent", ["", "/", "..", "a/../../b", "a\0b"])
def test_an_invalid_cgroup_parent_is_refused(parent: str) -> None:
    with pytest.raises(InvalidRequest, match="invalid cgroup parent"):
        cgroup.detect(parent)


def test_shares_become_weights_as_oci_runtimes_agreed() -> None:
    assert [weight(shares) for shares in (0, 2, 1024, 262144, 999999)] == [1, 1, 39, 10000, 10000]


def test_control_files_are_read_in_both_of_their_forms() -> None:
    assert parse_flat("populated 1\nfrozen 0\nodd line here\nmax max") == {
        "populated": 1,
        "frozen": 0,
    }
    assert dict(parse_nested("8:0 rbytes=5 wbytes=6\n8:16")) == {
        "8:0": {"rbytes": 5, "wbytes": 6},
        "8:16": {},
    }


KMSG_READ = DeviceRule(kind="c", major=1, minor=11, access="r")
KMSG_WRITE = DeviceRule(kind="c", major=1, minor=11, access="w")
NO_NULL = DeviceRule(kind="c", major=1, minor=3, allow=False)


def test_an_allowance_adds_to_what_is_allowed_for_the_same_node() -> None:
    assert fold([KMSG_READ, KMSG_WRITE]).exceptions["c", 1, 11] == {"r", "w"}


def test_a_denial_revokes_an_earlier_allowance() -> None:
    assert ("c", 1, 3) not in fold([NO_NULL]).exceptions


def test_a_denial_is_an_exception_from_all_devices() -> None:
    policy = fold([NO_NULL], all_devices=True)

    assert policy.allow
    assert v1_lines(policy) == ["c 1:3 rwm"]


def test_the_default_list_reads_as_the_kernel_writes_it() -> None:
    assert v1_lines(fold([]))[:3] == ["c *:* m", "b *:* m", "c 1:3 rwm"]


RULES = st.lists(
    st.builds(
        DeviceRule,
        kind=st.sampled_from(["b", "c"]) | st.sampled_from(["a"]),
        major=st.none() | st.integers(0, 2),
        minor=st.none() | st.integers(0, 2),
        access=st.sampled_from(["r", "w", "m", "rw", "rm", "wm", "rwm"]),
        allow=st.booleans(),
    ),
    max_size=6,
)


@given(
    RULES,
    st.booleans(),
    st.sampled_from(get_args(Kind)),
    st.integers(0, 3),
    st.integers(0, 3),
    st.sets(st.sampled_from("rwm"), min_size=1),
)
def test_the_program_decides_as_the_policy(
    rules: list[DeviceRule], everything: bool, kind: Kind, major: int, minor: int, wanted: set[str]
) -> None:
    policy = fold(rules, all_devices=everything)

    decision = run_program(v2_program(policy), kind, major, minor, wanted)

    assert decision == permits(policy, kind, major, minor, wanted)


def permits(policy: Policy, kind: Kind, major: int, minor: int, wanted: set[str]) -> bool:
    """Apply the rule of security/device_cgroup.c, match_exception() and
    match_exception_partial().
    """
    for (of_kind, of_major, of_minor), access in policy.exceptions.items():
        meant = of_kind == kind and of_major in (None, major) and of_minor in (None, minor)
        if meant and (wanted & access if policy.allow else wanted <= access):
            return not policy.allow
    return policy.allow


def run_program(code: bytes, kind: Kind, major: int, minor: int, wanted: set[str]) -> bool:
    """Run a BPF program, as far as such programs need it."""
    access = sum({"m": 1, "r": 2, "w": 4}[one] for one in wanted)
    context = struct.pack("=III", access << 16 | {"b": 1, "c": 2}[kind], major, minor)
    registers = dict.fromkeys(range(11), 0)
    position = 0
    while True:
        operation, pair, offset, immediate = struct.unpack_from("=BBhi", code, 8 * position)
        target, source = pair & 15, pair >> 4
        position += 1
        match operation:
            case 0x61:
                (registers[target],) = struct.unpack_from("=I", context, offset)
            case 0xBF:
                registers[target] = registers[source]
            case 0xB7:
                registers[target] = immediate
            case 0x57:
                registers[target] &= immediate
            case 0x77:
                registers[target] >>= immediate
            case 0x55:
                position += offset * (registers[target] != immediate)
            case 0x15:
                position += offset * (registers[target] == immediate)
            case 0x95:
                return registers[0] == 1
            case unknown:
                raise AssertionError(f"instruction {unknown:#x}")
