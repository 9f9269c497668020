"""Test BPF programs: loaded once for each policy, and only a limited number kept."""

import os

import pytest

from engine.drivers.cgroups.programs import PROGRAMS_MAX, Programs
from tests.harness.descriptor_limit import open_descriptors


def load(code: bytes) -> int:
    if code == b"refused":
        raise OSError("verifier")
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


def test_a_policy_s_program_is_loaded_once() -> None:
    loaded: list[bytes] = []

    def noted(code: bytes) -> int:
        loaded.append(code)
        return load(code)

    programs = Programs(noted)

    for code in (b"a", b"b", b"a", b"a"):
        with programs.loaded(code) as fd:
            os.fstat(fd)

    assert loaded == [b"a", b"b"]


def test_any_number_of_policies_holds_a_bounded_number_of_descriptors() -> None:
    programs, before = Programs(load), len(open_descriptors())

    for number in range(10 * PROGRAMS_MAX):
        with programs.loaded(f"policy {number}".encode()) as fd:
            os.fstat(fd)

    assert len(open_descriptors()) - before <= PROGRAMS_MAX


def test_a_program_that_the_kernel_refuses_is_tried_again() -> None:
    programs = Programs(load)

    for _ in range(2):
        with pytest.raises(OSError, match="verifier"), programs.loaded(b"refused"):
            pass
