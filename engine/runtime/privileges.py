"""Drop privileges: set user, limits and capabilities, in the order that the kernel allows.

Each step drops what the next no longer needs::

    limits ▶ bounding set ▶ groups, user ▶ parent-death signal ▶ capabilities ▶ seccomp ▶ (execve)

Without no_new_privs a filter needs CAP_SYS_ADMIN (seccomp(2)), so there the last reduction of
capabilities comes after it: a profile must allow capset(2), prctl(2) and execve(2). With
no_new_privs only execve(2) comes after the filter.
"""

import os
import resource
import select
from typing import Final

from engine.runtime import linux as k
from engine.runtime.bundle import Process, Rlimit
from engine.runtime.capabilities import (
    CAP_SYS_ADMIN,
    Sets,
    attainable_sets,
    limit_bounding,
    raise_ambient,
)
from engine.runtime.failure import SetupFailed, words
from engine.runtime.users import Identity

_DEFAULT_UMASK: Final = 0o022
_INFINITY: Final = (-1, (1 << 64) - 1)


def set_limits(limits: list[Rlimit]) -> None:
    """Set resource limits, setrlimit(2).

    Raises:
        SetupFailed: an unknown name, or a hard limit beyond what this machine allows.
    """
    for limit in limits:
        number = getattr(resource, limit["type"], None)
        if number is None or not limit["type"].startswith("RLIMIT_"):
            raise SetupFailed(f"unknown rlimit {limit['type']!r}")
        pair = (_bounded(limit["soft"]), _bounded(limit["hard"]))
        try:
            resource.prlimit(0, number, pair)
        except (OSError, ValueError) as error:
            # ValueError is this module's EINVAL: the soft limit is above the hard one.
            reason = words(error.errno or 0) if isinstance(error, OSError) else "invalid argument"
            message = f"error setting rlimits for ready process: error setting rlimit type {number}: {reason}"
            raise SetupFailed(message, getattr(error, "errno", 0)) from error


def _bounded(value: int) -> int:
    return resource.RLIM_INFINITY if value in _INFINITY else value


def become_user(identity: Identity, umask: int | None) -> None:
    """Change all user and group IDs permanently, keeping capabilities for the steps that follow."""
    k.prctl(k.PR_SET_KEEPCAPS, 1)
    os.setgroups(identity.groups)
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)
    k.prctl(k.PR_SET_KEEPCAPS, 0)
    os.umask(_DEFAULT_UMASK if umask is None else umask)


def die_with_parent(report_fd: int, number: int) -> None:
    """Ask the kernel for a signal when the parent ends, PR_SET_PDEATHSIG of prctl(2).

    Must follow the last change of user, which resets the setting. A parent that is already gone
    sends nothing, but then the other end of the report pipe is closed.
    """
    k.prctl(k.PR_SET_PDEATHSIG, number)
    poll = select.poll()
    poll.register(report_fd, select.POLLERR)
    if poll.poll(0):
        raise SetupFailed("the monitor is gone")


def drop_privileges(process: Process, identity: Identity, seccomp: bytes | None) -> None:
    """Reduce the capabilities, set no_new_privs, install the filter, in the order that works.

    Raises:
        OSError: as prctl(2), capset(2) and seccomp(2).
        SetupFailed: an unknown capability.
    """
    sets = attainable_sets(process.get("capabilities", {}), identity.uid)
    if process.get("noNewPrivileges"):
        _reduce(sets)
        k.prctl(k.PR_SET_NO_NEW_PRIVS, 1)
        if seccomp:
            k.seccomp_set_mode_filter(seccomp)
        return
    if seccomp:
        _, own, _ = k.capget()
        k.capset(sets.effective | CAP_SYS_ADMIN & own, own, sets.inheritable)
        k.seccomp_set_mode_filter(seccomp)
    _reduce(sets)


def _reduce(sets: Sets) -> None:
    k.capset(sets.effective, sets.permitted, sets.inheritable)
    raise_ambient(sets.ambient)


def limit_capabilities(process: Process) -> None:
    """Reduce the bounding set, so that no program of the container, setuid or not, can have
    more.
    """
    limit_bounding(attainable_sets(process.get("capabilities", {}), 0).bounding)
