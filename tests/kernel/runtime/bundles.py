"""Make a container without an engine: a bundle, and a minimal monitor that starts it and returns
the outcome.
"""

import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

from engine.domain.container.oci import MASKED_PATHS, READONLY_PATHS
from engine.domain.container.spec import DEFAULT_CAPABILITIES
from engine.runtime import init, linux
from engine.runtime.bundle import Bundle, Process, read_bundle

Json = dict[str, Any]

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


DIED: Final = 99
TIMEOUT_S: Final = 10


class Outcome(NamedTuple):
    """The outcome of a process: ``report`` is its error if it could not be started."""

    output: str
    code: int
    report: Json

    @property
    def lines(self) -> list[str]:
        return self.output.splitlines()


RunContainer = Callable[..., Outcome]
"""Runs a command in a container of Docker's defaults, with changes by keyword."""


def shell(script: str) -> tuple[str, str, str]:
    return "sh", "-c", script


def link(path: str) -> str:
    return str(Path(path).readlink())


def mounts_of(outcome: Outcome) -> dict[str, tuple[str, str]]:
    """Return mount point → (file system, options of the mount), from mountinfo."""
    found = {}
    for line in outcome.lines:
        fields = line.split()
        found[fields[4]] = (fields[fields.index("-") + 1], fields[5])
    return found


def breaks_at(failpoint: str, action: str) -> Callable[[str], None]:
    """Replace :func:`engine.failpoints.failpoint`: SIGKILL has no effect on PID 1 of a namespace
    from inside.
    """

    def pass_by(name: str) -> None:
        if name != failpoint:
            return
        if action == "die":
            os._exit(DIED)
        if action == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        raise OSError(errno.EIO, "broken on purpose")

    return pass_by


def busybox_root(place: Path) -> Path:
    """Make a root file system of the distribution's static busybox, as ``docker import`` would have
    it.
    """
    for name in ("bin", "etc", "tmp", "proc", "sys", "dev", "root", "var", "home"):
        (place / name).mkdir(parents=True)
    (place / "tmp").chmod(0o1777)
    busybox = shutil.which("busybox")
    assert busybox, "needs the package busybox-static"
    shutil.copy(busybox, place / "bin" / "busybox")
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout
    for applet in set(applets.split()) - {"busybox"}:
        (place / "bin" / applet).symlink_to("busybox")
    (place / "etc" / "passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/var:/bin/false\nnobody:x:65534:65534::/:/bin/false\n"
    )
    (place / "etc" / "group").write_text(
        "root:x:0:\nwheel:x:10:root,daemon\naudio:x:63:daemon\nnogroup:x:65534:\n"
    )
    return place


def config(*args: str, **changes: Any) -> Json:
    """Return Docker's defaults. ``process``, ``linux`` and the rest are merged into them,
    ``mounts`` are added.
    """
    document: Json = {
        "process": {
            "terminal": False,
            "user": {"username": ""},
            "args": list(args),
            "env": [PATH],
            "cwd": "/",
            "capabilities": {
                kind: list(DEFAULT_CAPABILITIES) for kind in ("bounding", "effective", "permitted")
            },
            **changes.pop("process", {}),
        },
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "container",
        "mounts": [*_default_mounts(), *changes.pop("mounts", [])],
        "linux": {
            "namespaces": [
                {"type": name} for name in ("mount", "pid", "uts", "ipc", "network", "cgroup")
            ],
            "maskedPaths": list(MASKED_PATHS),
            "readonlyPaths": list(READONLY_PATHS),
            **changes.pop("linux", {}),
        },
    }
    return document | changes


def _default_mounts() -> list[Json]:
    private = ["nosuid", "noexec", "nodev"]
    return [
        mount("/proc", "proc", "proc", *private),
        mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        mount("/sys", "sysfs", "sysfs", *private, "ro"),
        mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        mount("/dev/shm", "tmpfs", "shm", *private, "mode=1777", "size=65536k"),
        mount("/dev/mqueue", "mqueue", "mqueue", *private),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", *private, "ro"),
    ]  # fmt: skip


def mount(destination: str, kind: str, source: str, *options: str) -> Json:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def bind(source: Path, destination: str, *options: str) -> Json:
    return mount(destination, "bind", str(source), "rbind", *options)


def bundle(place: Path, image: Path, document: Json, **monitor: Any) -> Bundle:
    """Write a bundle to disk, as the daemon does, and read it again."""
    for name in ("rootfs", "upper", "work"):
        (place / name).mkdir(parents=True)
    overlay = {"lower": [str(image)], "upper": str(place / "upper"), "work": str(place / "work")}
    settings: Json = {
        "container": "container",
        "overlay": overlay,
        "cgroup_procs": [],
        "seccomp_path": None,
    }
    (place / "config.json").write_text(json.dumps(document))
    (place / "monitor.json").write_text(json.dumps(settings | monitor))
    return read_bundle(str(place))


def run(made: Bundle) -> Outcome:
    """Start a container's first process and wait until it has ended."""
    return Outcome(*in_monitor(made, lambda monitor: monitor.init().wait()))


def in_monitor(made: Bundle, act: Callable[["Monitor"], Any]) -> Any:
    """Run a function in a process of its own, because sharing a PID namespace can't be undone."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        _report(made, act, write_fd)
    os.close(write_fd)
    with os.fdopen(read_fd) as pipe:
        answer = json.loads(pipe.read() or '{"error": "the monitor died"}')
    os.waitpid(pid, 0)
    assert "error" not in answer, answer["error"]
    return answer["result"]


def _report(made: Bundle, act: Callable[["Monitor"], Any], write_fd: int) -> NoReturn:
    answer: Json
    try:
        signal.alarm(TIMEOUT_S)  # its containers end with the monitor
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
        init.share_pid_namespace(made)
        answer = {"result": act(Monitor(made))}
    except BaseException as error:
        answer = {"error": repr(error)}
    os.write(write_fd, json.dumps(answer).encode())
    os._exit(0)


class Joiner(NamedTuple):
    """A process that has joined a container, but not executed its command yet."""

    pid: int
    inside: int
    """Its pid in the container's PID namespace."""

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


class Monitor:
    """Forks the children of one container."""

    def __init__(self, made: Bundle) -> None:
        self._bundle = made
        self.first: Started | None = None

    def init(self) -> "Started":
        terminal = self._bundle.config["process"].get("terminal", False)
        self.first = Started(lambda *ends: init.become_init(self._bundle, *ends), terminal=terminal)
        return self.first

    def exec(self, *args: str, seccomp_path: str | None = None, **changes: Any) -> Outcome:
        """Run one more process beside the first, and wait for it."""
        assert self.first is not None
        process: Process = {**self._bundle.config["process"], "args": list(args), **changes}  # type: ignore[typeddict-item]  # changes are a test's
        pidfd = os.pidfd_open(self.first.pid)
        started = Started(
            lambda *ends: init.become_exec(process, pidfd, *ends, seccomp_path=seccomp_path),
            terminal=process.get("terminal", False),
        )
        os.close(pidfd)
        return started.wait()

    def joiner_that_stops_at(self, failpoint: str) -> Joiner:
        """Start one more process that stops after it has joined all namespaces."""
        assert self.first is not None
        pidfd = os.pidfd_open(self.first.pid)
        pid = os.fork()
        if pid == 0:
            init.failpoint = breaks_at(failpoint, "stop")  # type: ignore[assignment, attr-defined]  # in this process it is ours
            null_fd = os.open(os.devnull, os.O_RDWR)
            init.become_exec(self._bundle.config["process"], pidfd, (null_fd,) * 3, null_fd)
        os.close(pidfd)
        os.waitpid(pid, os.WUNTRACED)
        status = Path(f"/proc/{pid}/status").read_text()
        inside = re.search(r"^NSpid:.*\t(\d+)$", status, re.MULTILINE)
        assert inside
        return Joiner(pid, int(inside[1]))


class Started:
    """A forked child whose report has been read: it runs, or has failed."""

    def __init__(self, become: Callable[..., NoReturn], *, terminal: bool) -> None:
        report_fd, report_end = os.pipe()
        self._output_fd, output_end = os.pipe()
        ours, theirs = socket.socketpair()
        null_fd = os.open(os.devnull, os.O_RDWR)
        self.pid = os.fork()
        if self.pid == 0:
            os.set_inheritable(output_end, True)  # as a careless caller would
            become((null_fd, output_end, output_end), report_end, theirs.fileno())
        for fd in (report_end, output_end, null_fd):
            os.close(fd)
        theirs.close()
        with os.fdopen(report_fd) as pipe:
            self.report: Json = json.loads(pipe.read() or "{}")
        if terminal and not self.report:
            os.close(self._output_fd)
            _, (self._output_fd,), _, _ = socket.recv_fds(ours, 16, 1)
        ours.close()

    @property
    def console_fd(self) -> int:
        return self._output_fd

    def read_until(self, mark: str) -> str:
        """Return what its terminal shows, up to a mark."""
        text = ""
        while mark not in text:
            text += os.read(self._output_fd, 1024).decode()
        return text

    def wait(self) -> Outcome:
        output = b""
        with suppress(OSError):  # EIO: the terminal's other end is closed
            while piece := os.read(self._output_fd, 65536):
                output += piece
        os.close(self._output_fd)
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        text = output.decode(errors="replace").replace("\r\n", "\n")
        return Outcome(text, code, self.report)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
