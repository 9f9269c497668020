"""Everything between fork(2) and execve(2): a child of the monitor becomes a container's first process, or one more.

Theory of operation::

    monitor                                  child
       │ share_pid_namespace(bundle)           (once, before its first fork)
       │ fork ─────────────────────────────▶ become_init(...) | become_exec(...)
       │                                       │ the steps, in the order of their table
       │ ◀── console socket: the pty's master ─┤ (with a terminal)
       │ ◀── report pipe: a failure, as JSON ──┤ (then it exits with the failure's exit code)
       │ ◀── report pipe: end of file ─────────┘ execve(2) closed it: the process runs
"""

from typing import NoReturn

from engine.runtime.bundle import Bundle, Process


def share_pid_namespace(bundle: Bundle) -> None:
    """Let every later child of the calling process be born in the container's PID namespace.

    The monitor calls it once, before it forks: its first child is then PID 1 of a new namespace (unshare(2)), and the
    later ones, for exec, are born beside it. With a ``path`` the namespace is joined, without an entry it is the host's.
    Once PID 1 has ended, fork(2) fails with ENOMEM (pid_namespaces(7)).

    Raises:
        OSError: the namespace can't be made or joined.
    """
    raise NotImplementedError


def become_init(
    bundle: Bundle,
    stdio: tuple[int, int, int] | None,
    report_fd: int,
    console_socket: int | None = None,
) -> NoReturn:
    """Turn a freshly forked child of the monitor into the container's first process. Never returns, never raises.

    ``stdio`` are the descriptors to become 0, 1 and 2. With ``process.terminal`` they are ignored (None will do): a pty of
    the container's own devpts takes their place, and its master is sent over ``console_socket`` (a connected AF_UNIX
    socket, one message with one descriptor, before the report pipe closes).

    ``report_fd`` is the write end of a pipe. End of file without a byte: execve(2) succeeded. Otherwise one JSON object
    ``{"step", "errno", "message", "exit_code"}`` and then end of file; the child exits with that code.

    Every other descriptor is closed; the caller's need not be O_CLOEXEC. The caller's death kills the container
    (PR_SET_PDEATHSIG), so the calling *thread* must live as long as the process.
    """
    raise NotImplementedError


def become_exec(
    process: Process,
    init_pidfd: int,
    stdio: tuple[int, int, int] | None,
    report_fd: int,
    console_socket: int | None = None,
    *,
    seccomp_path: str | None = None,
    cgroup_procs: list[str] | tuple[str, ...] = (),
) -> NoReturn:
    """Turn a freshly forked child of the monitor into one more process of a running container. Never returns, never raises.

    The child must have been forked after :func:`share_pid_namespace`. ``cgroup_procs`` are joined first, then all
    namespaces of the process behind ``init_pidfd`` at once. The rest as in :func:`become_init`.
    """
    raise NotImplementedError
