"""Test the port ``Host``: facts, paths and processes of a simulated machine, and of this one."""

import os
from dataclasses import fields
from pathlib import Path

import pytest
import trio

from engine.drivers.host.port import LinuxHost
from engine.drivers.lanes import Lanes
from engine.errors import InvalidRequest
from engine.ports.host import Host, HostFacts, ProcessTable
from tests.fakes.host import SimulatedHost

PIDS = (os.getpid(), os.getppid())


@pytest.fixture(params=["fake", "real"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    """A host that has everything but the path ``missing``."""
    if request.param == "fake":
        return SimulatedHost(missing=[str(tmp_path / "missing")])
    return LinuxHost(tmp_path, Lanes())


def test_every_fact_is_known(host: Host) -> None:
    facts = trio.run(host.facts)

    assert facts.name == host.name() != ""
    may_be_empty = {"forwards_ipv4", "operating_system_version"}
    known = {each.name for each in fields(HostFacts) if getattr(facts, each.name)}
    assert known | may_be_empty == {each.name for each in fields(HostFacts)}


def test_a_path_is_there_or_it_is_not(host: Host, tmp_path: Path) -> None:
    assert trio.run(host.path_exists, str(tmp_path))
    assert not trio.run(host.path_exists, str(tmp_path / "missing"))


@pytest.mark.parametrize("arguments", ["", "-ef"])
def test_processes_are_those_that_are_asked_for(host: Host, arguments: str) -> None:
    table: ProcessTable = trio.run(host.processes, arguments, PIDS)

    column = table.titles.index("PID")
    assert sorted(int(row[column]) for row in table.rows) == sorted(PIDS)
    assert all(len(row) == len(table.titles) for row in table.rows)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("-o user=PID", 'specifying "user=PID" is not allowed'),
        ("/etc/shadow", "ps: path /etc/shadow is not allowed"),
        ("-n x", "ps: option n is not allowed"),
    ],
)
def test_arguments_that_hide_the_pid_or_read_files_are_refused(
    host: Host, arguments: str, words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words):
        trio.run(host.processes, arguments, PIDS)
