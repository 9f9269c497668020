"""Run ``exec``."""

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from engine.cli import output, terminal
from engine.cli.attach import DETACH_KEYS, DETACHED, checked_keys, need_terminal
from engine.cli.command import Command, Invocation
from engine.cli.engine import Engine
from engine.cli.environment import ENV, ENV_FILE, environment
from engine.cli.failures import Failure, Unreachable
from engine.cli.flags import Options, switch, text
from engine.cli.session import Session
from engine.cli.waiting import PATIENCE_S, RETRY_S

_SETTLE_S: Final = 2.0
"""How long an ended exec may still be reported as running: its monitor knows before the daemon
does.
"""


def exec_body(options: Options, command: list[str]) -> dict[str, Any]:  # Any: JSON of the API
    """Return the body of ``POST /containers/{id}/exec``."""
    detached = options.on("detach")
    body: dict[str, Any] = {
        "User": options.text("user"),
        "Privileged": options.on("privileged"),
        "Tty": options.on("tty"),
        "AttachStdin": options.on("interactive") and not detached,
        "AttachStderr": not detached,
        "AttachStdout": not detached,
        "Detach": detached,
        "DetachKeys": options.text("detach-keys"),
        "Env": environment(options) or None,
        "WorkingDir": options.text("workdir"),
        "Cmd": command,
    }
    return body | _console(tty=options.on("tty") and not detached)


def _console(*, tty: bool) -> dict[str, list[int]]:
    dimensions = terminal.size(output.STDOUT) if tty else None
    return {"ConsoleSize": list(dimensions)} if dimensions else {}


def _exec(invocation: Invocation) -> int:
    engine, options = invocation.engine, invocation.options
    container, *command = invocation.arguments
    detach_keys = checked_keys(options.text("detach-keys"))
    body = exec_body(options, command)
    engine.ask(
        "GET", f"/containers/{container}/json"
    )  # report a missing container before a missing terminal
    tty, stdin = options.on("tty"), bool(body["AttachStdin"])
    need_terminal(tty=tty, stdin=stdin)
    identity = engine.ask("POST", f"/containers/{container}/exec", None, body)["Id"]
    path = f"/exec/{identity}"
    if options.on("detach"):
        engine.ask("POST", f"{path}/start", None, {"Detach": True, "Tty": tty})
        return 0
    with Session(engine, path, tty=tty, stdin=stdin, forward_signals=False) as session:
        start = {"Detach": False, "Tty": tty} | _console(tty=tty)
        connection = engine.hijack(f"{path}/start", None, start)
        session.take_terminal()
        session.resize()
        session.converse(connection, None, detach_keys)
    if session.detached:
        raise Failure(DETACHED)
    return _exit_code(engine, path)


def _exit_code(engine: Engine, path: str) -> int:
    """Return the process's exit code; zero while it keeps running, detached."""
    process: dict[str, Any] = {}
    settled = time.monotonic() + _SETTLE_S
    for process in _answers(lambda: engine.ask("GET", f"{path}/json")):
        if not process["Running"] or time.monotonic() > settled:
            break
    return int(process.get("ExitCode") or 0)


def _answers(ask: Callable[[], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield answers, one after the other, through a restart of the daemon."""
    patience = time.monotonic() + PATIENCE_S
    while True:
        try:
            yield ask()
        except Unreachable:
            if time.monotonic() > patience:
                raise
        time.sleep(RETRY_S)


COMMANDS: Final = {
    "exec": Command(
        "exec [OPTIONS] CONTAINER COMMAND [ARG...]",
        "Execute a command in a running container",
        _exec,
        (
            switch("detach", "d", "Detached mode: run command in the background"),
            DETACH_KEYS,
            ENV,
            ENV_FILE,
            switch("interactive", "i", "Keep STDIN open even if not attached"),
            switch("privileged", "", "Give extended privileges to the command"),
            switch("tty", "t", "Allocate a pseudo-TTY"),
            text("user", "u", 'Username or UID (format: "<name|uid>[:<group|gid>]")'),
            text("workdir", "w", "Working directory inside the container"),
        ),
        least=2,
        interspersed=False,
    )
}
