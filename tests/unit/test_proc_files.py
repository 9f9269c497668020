"""Test the parsers of the kernel's files about processes and mounts."""

import os
import signal
from pathlib import Path

from engine.runtime.mountinfo import is_below, mounts, parse_mounts
from engine.runtime.process_stat import parse_stat, process_stat

STAT = (
    b"4711 (a) R ) b\xff) Z 7 4711 4711 34816 -1 4194308 113 0 0 0 21 34 0 0 20 0 1 0 5005 "
    b"0 0 18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0\n"
)
MOUNT = rb"36 35 98:0 /mnt1 /a\040b\134c rw shared:1 master:2 - ext3 /dev/root rw,errors=continue"


def test_a_process_may_be_called_anything() -> None:
    stat = parse_stat(STAT)

    assert stat.name == "a) R ) b\N{REPLACEMENT CHARACTER}"
    assert (stat.state, stat.parent_pid, stat.terminal) == ("Z", 7, 34816)
    assert (stat.user_ticks, stat.system_ticks, stat.start_ticks) == (21, 34, 5005)


def test_a_zombie_has_ended_and_what_exits_is_about_to() -> None:
    dead = parse_stat(STAT)
    exiting = dead._replace(state="S")
    alive = exiting._replace(flags=0)

    assert (dead.has_ended, dead.is_exiting) == (True, True)
    assert (exiting.has_ended, exiting.is_exiting) == (False, True)
    assert (alive.has_ended, alive.is_exiting) == (False, False)


def test_a_process_is_killed_from_when_the_signal_waits_for_it() -> None:
    alive = parse_stat(STAT)
    killed = alive._replace(pending=1 << (signal.SIGKILL - 1))
    other = alive._replace(pending=~killed.pending & 0x7FFF_FFFF)

    assert [each.is_killed for each in (alive, killed, other)] == [False, True, False]


def test_a_signal_that_is_blocked_is_pending() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        signal.raise_signal(signal.SIGUSR1)
        mine = process_stat(os.getpid())
        signal.sigwait({signal.SIGUSR1})
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})

    assert mine is not None
    assert mine.pending == 1 << (signal.SIGUSR1 - 1)


def test_this_process_is_described_and_one_that_can_not_be_is_not() -> None:
    mine = process_stat(os.getpid())

    assert mine is not None
    assert mine.parent_pid == os.getppid()
    assert not mine.is_exiting
    assert process_stat(2**22 + 1) is None


def test_a_mount_is_read_with_what_stands_before_and_after_the_separator() -> None:
    (mount,) = parse_mounts(MOUNT)

    assert mount.place == "/a b\\c"
    assert mount.propagation == ("shared:1", "master:2")
    assert (mount.filesystem, mount.super_options) == ("ext3", ("rw", "errors=continue"))


def test_the_table_of_this_thread_is_read_whole() -> None:
    lines = Path("/proc/thread-self/mountinfo").read_bytes().splitlines()

    assert len(mounts()) == len(lines)
    assert mounts()[-1] == next(parse_mounts(lines[-1]))


def test_below_is_meant_by_whole_names() -> None:
    assert is_below("/var/lib", "/var")
    assert is_below("/var", "/var")
    assert is_below("/var", "/")
    assert not is_below("/variety", "/var")
