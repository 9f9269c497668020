"""Run ``quickstart``: a demonstration of two minutes on an empty machine, without any network.

A daemon of its own runs a container that counts; the daemon is killed with SIGKILL and started
again; the container has kept running, its log has no gap, and its history is complete. Each claim
is checked, and the first false one ends the demonstration with exit code 1. Each step waits for its
condition instead of a fixed time.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from engine.cli import output
from engine.cli.builtin_image import REFERENCE, find_busybox, import_builtin
from engine.cli.columns import aligned
from engine.cli.command import Command, Invocation
from engine.cli.containers import container_fields
from engine.cli.failures import Failure
from engine.cli.history import row
from engine.cli.own_daemon import OwnDaemon, enter_own_namespaces
from engine.cli.signals import Killed
from engine.cli.template.values import Fields
from engine.runtime.process_stat import process_stat

_NAME: Final = "lighthouse"
_SCRIPT: Final = (
    "trap 'echo dark; exit 0' TERM; n=0; while true; do n=$((n+1)); echo flash $n; sleep 0.1; done"
)
_FLASHES: Final = 10
"""How many lines are waited for: a second's worth."""
_PATIENCE_S: Final = 30.0
_LOOK_S: Final = 0.05
_STEP_S: Final = 60
"""Time limit of each step: an engine that does not answer fails the demonstration."""
_TIDY_S: Final = 20


class Demonstration:
    """The steps, in order; each uses the results of those before."""

    def __init__(self, daemon: OwnDaemon) -> None:
        self._daemon = daemon
        self._ask = daemon.engine.ask
        self._step = 0
        self._identity = ""
        self._pid = 0
        self._started = ""
        self._log_path = ""

    def play(self) -> None:
        """Run all steps.

        Raises:
            Failure: a claim that does not hold.
        """
        self._start_daemon()
        self._make_image()
        self._run_container()
        self._kill_daemon()
        self._start_daemon_again()
        self._stop_container()
        self._show_history()

    def tidy(self) -> None:
        """Remove the container, even after a failure."""
        if not self._identity:
            return
        signal.alarm(_TIDY_S)
        with contextlib.suppress(Failure):
            if not self._daemon.answers():
                self._daemon.start()
            self._ask("DELETE", f"/containers/{self._identity}", {"force": "1"})
        if self._pid and _start_time(self._pid) == self._started:
            os.kill(self._pid, signal.SIGKILL)

    def _start_daemon(self) -> None:
        self._heading("A daemon of its own, in a place to be thrown away")
        self._command(" ".join(self._daemon.command))
        took_s = self._daemon.start()
        self._claim(True, f"it answers after {took_s:.2f} s; its process is {self._daemon.pid}")

    def _make_image(self) -> None:
        self._heading("An image, made of this machine's own busybox")
        self._command(f"shipslog import - {REFERENCE}        (from {find_busybox()})")
        identity = import_builtin(self._daemon.engine)
        self._claim(identity.startswith("sha256:"), f"{REFERENCE} is {identity[:19]}")

    def _run_container(self) -> None:
        self._heading("A container that counts")
        self._command(
            f"shipslog run -d --name {_NAME} busybox sh -c 'while true; do … echo flash $n; …'"
        )
        body = {"Image": REFERENCE, "Cmd": ["sh", "-c", _SCRIPT]}
        self._identity = self._ask("POST", "/containers/create", {"name": _NAME}, body)["Id"]
        self._ask("POST", f"/containers/{self._identity}/start")
        details = self._details()
        self._pid, self._log_path = int(details["State"]["Pid"]), details["LogPath"]
        self._started = _start_time(self._pid)
        self._claim(bool(self._started), f"its first process is {self._pid} on this machine")
        self._until(lambda: len(self._written()) >= _FLASHES, f"{_FLASHES} flashes")
        self._quote(self._written()[-3:])
        self._show_ps()

    def _kill_daemon(self) -> None:
        self._heading("The daemon is killed, without warning")
        self._command(f"kill -9 {self._daemon.pid}")
        self._daemon.kill()
        before = len(self._written())
        self._claim(not self._daemon.answers(), "no process answers at the socket any more")
        self._claim(self._alive(), f"process {self._pid} goes on, started when it was started")
        self._until(lambda: len(self._written()) >= before + _FLASHES, "the log to go on")
        self._claim(
            True,
            f"its log goes on without a daemon: {before} lines then, {len(self._written())} now",
        )

    def _start_daemon_again(self) -> None:
        self._heading("The daemon is started again")
        self._command(" ".join(self._daemon.command[:1]) + " …")
        took_s = self._daemon.start()
        self._claim(True, f"it answers after {took_s:.2f} s; its process is {self._daemon.pid}")
        status = self._details()["State"]
        same = status["Running"] and status["Pid"] == self._pid and self._alive()
        self._claim(bool(same), f"{_NAME} is running, and still process {self._pid}")
        self._show_ps()
        self._command(f"shipslog logs {_NAME}")
        lines = self._logs()
        self._quote([*lines[:2], f"… {len(lines) - 4} more …", *lines[-2:]])
        self._claim(
            lines == _counted(len(lines)), f"lines 1 to {len(lines)}: none missing, none twice"
        )

    def _stop_container(self) -> None:
        self._heading("The container is stopped")
        self._command(f"shipslog stop {_NAME}")
        self._ask("POST", f"/containers/{self._identity}/stop")
        status = self._details()["State"]
        lines = self._logs()
        self._quote(lines[-2:])
        self._claim(
            lines == [*_counted(len(lines) - 1), "dark"], "the log is whole to its last line"
        )
        exited = not status["Running"] and status["ExitCode"] == 0 and not self._alive()
        self._claim(exited, f"it exited with {status['ExitCode']} at {status['FinishedAt']}")

    def _show_history(self) -> None:
        self._heading("And this is what the log knows")
        self._command(f"shipslog history {_NAME}")
        events = list(self._daemon.engine.stream("/shipslog/history", {"stream_of": _NAME}))
        titles = ("TIME", "EVENT", "CONTAINER", "WHO", "OUTCOME")
        table = [titles, *(row(event, verbose=False) for event in events)]
        self._quote(aligned("\n".join("\t".join(cells) for cells in table)).split("\n"))
        types = [event["type"] for event in events]
        wanted = ["container_created", "container_started", "container_exited"]
        found = [name for name in types if name in wanted]
        self._claim(
            found == wanted, "created, started once, exited: through two lives of the daemon"
        )
        self._command("shipslog verify")
        report = self._ask("GET", "/shipslog/verify")
        self._claim(bool(report["ok"]), f"the chain of {report['events']} events is whole")

    def _details(self) -> dict[str, Any]:  # Any: JSON of the API
        details: dict[str, Any] = self._ask("GET", f"/containers/{self._identity}/json")
        return details

    def _show_ps(self) -> None:
        self._command("shipslog ps")
        found = self._ask("GET", "/containers/json")
        rows = [container_fields(c, truncated=True, moment_s=time.time()) for c in found]
        table = [("CONTAINER ID", "IMAGE", "STATUS", "NAMES"), *map(_ps_row, rows)]
        self._quote(aligned("\n".join("\t".join(cells) for cells in table)).split("\n"))

    def _logs(self) -> list[str]:
        """Return the container's output, as the engine reports it."""
        from engine.cli.streams import Demultiplexer

        query = {"stdout": "1", "stderr": "1"}
        response = self._daemon.engine.request("GET", f"/containers/{self._identity}/logs", query)
        pieces = list(Demultiplexer().feed(response.body()))
        return b"".join(piece for _, piece in pieces).decode().splitlines()

    def _written(self) -> list[str]:
        """Return the container's output from the log's file, which needs no daemon."""
        with open(self._log_path, encoding="utf-8") as log:  # noqa: PTH123  (pathlib costs 10 ms)
            whole = [line for line in log if line.endswith("\n")]
        return [str(json.loads(line)["log"]).rstrip("\n") for line in whole]

    def _alive(self) -> bool:
        """True if the very same process lives: same pid *and* start time, because pids are
        reused.
        """
        return _start_time(self._pid) == self._started != ""

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not holds():
            if time.monotonic() > deadline:
                raise Failure(f"timed out waiting for {what}")
            time.sleep(_LOOK_S)

    def _heading(self, text: str) -> None:
        signal.alarm(_STEP_S)
        self._step += 1
        output.line(f"\n{self._step}. {text}\n")

    def _command(self, text: str) -> None:
        output.line(f"   $ {text}")

    def _quote(self, lines: list[str]) -> None:
        output.line("\n".join(f"     {line}" for line in lines) + "\n")

    def _claim(self, holds: bool, text: str) -> None:
        if not holds:
            raise Failure(f"   ✗ not so: {text}")
        output.line(f"   ✓ {text}")


def _ps_row(fields: Fields) -> tuple[str, ...]:
    return tuple(str(fields.columns[name]()) for name in ("ID", "Image", "Status", "Names"))


def _counted(count: int) -> list[str]:
    return [f"flash {number}" for number in range(1, count + 1)]


def _start_time(pid: int) -> str:
    """Return a process's start time; empty if it is gone, or dead and not yet reaped."""
    stat = process_stat(pid)
    return "" if stat is None or stat.has_ended else str(stat.start_ticks)


def _too_long(_number: int, _frame: FrameType | None) -> None:
    raise Failure("   ✗ the engine does not answer")


def _killed(number: int, _frame: FrameType | None) -> None:
    raise Killed(number)


def _quickstart(invocation: Invocation) -> int:
    del invocation
    enter_own_namespaces()
    signal.signal(signal.SIGALRM, _too_long)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _killed)
    began = time.monotonic()
    with OwnDaemon() as daemon:
        output.line(
            f"Shipslog keeps a log, and the log is the truth. All of this happens in {daemon.directory}."
        )
        demonstration = Demonstration(daemon)
        try:
            demonstration.play()
        finally:
            demonstration.tidy()
            signal.alarm(0)
    output.line(f"\nEverything is removed again. That took {time.monotonic() - began:.0f} seconds.")
    return 0


COMMANDS: Final = {
    "quickstart": Command(
        "quickstart",
        "Show in two minutes what survives when the daemon is killed",
        _quickstart,
        most=0,
    )
}
