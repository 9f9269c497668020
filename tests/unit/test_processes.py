"""Test ``top``: which arguments ps may get, and how its output is read."""

import os
import time
from pathlib import Path

import pytest
import trio

from engine.drivers.host.port import LinuxHost
from engine.drivers.host.process_list import (
    TITLES,
    duration_text,
    full_listing,
    start_text,
    terminal_name,
)
from engine.drivers.host.ps import table_of
from engine.drivers.lanes import Lanes
from engine.errors import InvalidRequest

HOST = LinuxHost(Path("/"), Lanes())
NO_BREAK = "\u00a0"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("-o ppid=PID,comm", 'specifying "ppid=PID,comm" is not allowed'),
        ("-oppid=PID", 'specifying "-oppid=PID" is not allowed'),
        ("-o pid,comm /etc/passwd", "ps: path /etc/passwd is not allowed"),
        ("-efn names", "ps: option n is not allowed"),
        ("auxN names", "ps: option N is not allowed"),
        ("x" * 600, "ps: arguments are too long"),
        ("-o cmd", "Couldn't find PID field in ps output"),
        ("--bogus", "ps: error: unknown gnu long option"),
    ],
)
def test_what_ps_must_not_see_or_does_not_know_is_refused(arguments: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        trio.run(HOST.processes, arguments, {os.getpid()})

    assert str(refusal.value) == words


@pytest.mark.parametrize(
    "arguments", ["aux", "-o pid,nice,cmd", "-o pid=PID -o comm", "-eF", "axf"]
)
def test_whatever_has_a_pid_is_shown_of_its_own_processes_alone(arguments: str) -> None:
    table = trio.run(HOST.processes, arguments, {os.getpid()})

    column = table.titles.index("PID")
    assert [row[column] for row in table.rows] == [str(os.getpid())]


def test_a_title_can_not_hide_behind_a_blank_that_is_none_for_ps() -> None:
    with pytest.raises(InvalidRequest, match="Couldn't find PID"):
        table_of(f"A{NO_BREAK}PID\n1 2\n", {2})


def test_the_command_keeps_its_blanks() -> None:
    table = table_of("  PID CMD\n    7 sh -c  'a  b'\n    8 other\n", {7})

    assert table.rows == (("7", "sh -c  'a  b'"),)


def test_the_usual_table_is_that_of_ps() -> None:
    pid = os.getpid()
    ours = trio.run(HOST.processes, "-ef", {pid})
    theirs = trio.run(HOST.processes, "-e -f", {pid})

    ((*row, command),), ((*other, other_command),) = ours.rows, theirs.rows
    assert ours.titles == theirs.titles == TITLES
    assert command.split() == other_command.split()
    unsteady = {TITLES.index("C"), TITLES.index("TIME"), TITLES.index("STIME")}
    steady = [index for index in range(len(row)) if index not in unsteady]
    assert [row[index] for index in steady] == [other[index] for index in steady]


def test_who_has_ended_is_left_out() -> None:
    assert full_listing([2**22 + 1]).rows == ()


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, "?"), (136 << 8 | 3, "pts/3"), (4 << 8 | 1, "tty1"), (4 << 8 | 64, "ttyS0"), (1281, "console")],
)  # fmt: skip
def test_terminals_have_their_names(number: int, name: str) -> None:
    assert terminal_name(number) == name


def test_times_are_shown_as_ps_does() -> None:
    noon = time.mktime((2026, 7, 15, 12, 0, 0, 0, 0, -1))

    assert start_text(noon - 3600, noon) == "11:00"
    assert start_text(noon - 3 * 86400, noon) == "Jul12"
    assert start_text(noon - 400 * 86400, noon) == "2025"
    assert duration_text(3 * 86400 + 3723) == "03-01:02:03"
    assert duration_text(59) == "00:00:59"
