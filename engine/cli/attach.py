"""Run ``attach`` and ``start``."""

from collections.abc import Mapping
from typing import Any, Final

from engine.cli import output, terminal
from engine.cli.command import Command, Invocation
from engine.cli.connection import Connection
from engine.cli.engine import Engine
from engine.cli.failures import Failure
from engine.cli.flags import switch, text
from engine.cli.session import Session
from engine.cli.waiting import Wait

DETACH_KEYS: Final = text("detach-keys", "", "Override the key sequence for detaching a container")
DETACHED: Final = "read escape sequence"
SIG_PROXY: Final = switch("sig-proxy", "", "Proxy received signals to the process", "true")


def need_terminal(*, tty: bool, stdin: bool) -> None:
    """Raise Failure if a terminal was asked for and standard input is not one."""
    import os

    if tty and stdin and not os.isatty(output.STDIN):
        raise Failure("the input device is not a TTY")


def checked_keys(written: str) -> bytes:
    """Parse the detach keys.

    Raises:
        Failure: they are malformed.
    """
    try:
        return terminal.parse_keys(written)
    except ValueError as error:
        raise Failure(f"invalid detach keys ({written}): {error}") from None


def open_streams(
    engine: Engine, container: str, streams: Mapping[str, bool], detach_keys: str
) -> Connection:
    """Attach to a container; ``streams`` says to which of stdin, stdout and stderr."""
    query = {"detachKeys": detach_keys, "stream": "1"}
    query |= {name: "1" for name in ("stderr", "stdin", "stdout") if streams.get(name)}
    return engine.hijack(f"/containers/{container}/attach", query)


def _attach(invocation: Invocation) -> int:
    engine, options = invocation.engine, invocation.options
    keys = options.text("detach-keys")
    detach_keys = checked_keys(keys)
    container = engine.ask("GET", f"/containers/{invocation.arguments[0]}/json")
    _refuse_unless_running(container["State"])
    tty = bool(container["Config"]["Tty"])
    stdin = bool(container["Config"]["OpenStdin"]) and not options.on("no-stdin")
    need_terminal(tty=tty, stdin=stdin)
    identity = str(container["Id"])
    wait = Wait(engine, identity, "not-running")
    forward = options.on("sig-proxy", default=True)
    session = Session(
        engine, f"/containers/{identity}", tty=tty, stdin=stdin, forward_signals=forward
    )
    with session:
        streams = {"stdin": stdin, "stdout": True, "stderr": True}
        connection = open_streams(engine, identity, streams, keys)
        session.take_terminal()
        session.redraw()
        code = session.converse(connection, wait, detach_keys)
    if session.detached:
        raise Failure(DETACHED)
    return code or 0


def _refuse_unless_running(status: Mapping[str, Any]) -> None:  # Any: JSON of the API
    if not status.get("Running"):
        raise Failure("You cannot attach to a stopped container, start it first")
    if status.get("Paused"):
        raise Failure("You cannot attach to a paused container, unpause it first")
    if status.get("Restarting"):
        raise Failure("You cannot attach to a restarting container, wait until it is running")


def _start(invocation: Invocation) -> int:
    options = invocation.options
    if options.on("attach") or options.on("interactive"):
        if len(invocation.arguments) > 1:
            raise Failure("you cannot start and attach multiple containers at once")
        return _start_attached(invocation)
    failed = []
    query = {"detachKeys": options.text("detach-keys")}
    for container in invocation.arguments:
        try:
            invocation.engine.ask("POST", f"/containers/{container}/start", query)
            output.line(container)
        except Failure as failure:
            output.error_line(str(failure))
            failed.append(container)
    if failed:
        raise Failure(f"Error: failed to start containers: {', '.join(failed)}")
    return 0


def _start_attached(invocation: Invocation) -> int:
    engine, options = invocation.engine, invocation.options
    keys = options.text("detach-keys")
    detach_keys = checked_keys(keys)
    container = engine.ask("GET", f"/containers/{invocation.arguments[0]}/json")
    identity, tty = str(container["Id"]), bool(container["Config"]["Tty"])
    stdin = options.on("interactive") and bool(container["Config"]["OpenStdin"])
    need_terminal(tty=tty, stdin=stdin)
    session = Session(engine, f"/containers/{identity}", tty=tty, stdin=stdin, forward_signals=True)
    with session:
        streams = {"stdin": stdin, "stdout": True, "stderr": True}
        connection = open_streams(engine, identity, streams, keys)
        removed = bool(container["HostConfig"]["AutoRemove"])
        wait = Wait(engine, identity, "removed" if removed else "next-exit")
        session.take_terminal()
        engine.ask("POST", f"/containers/{identity}/start")
        session.resize()
        code = session.converse(connection, wait, detach_keys)
    return code or 0


COMMANDS: Final = {
    "attach": Command(
        "attach [OPTIONS] CONTAINER",
        "Attach local standard input, output, and error streams to a running container",
        _attach,
        (DETACH_KEYS, switch("no-stdin", "", "Do not attach STDIN"), SIG_PROXY),
        least=1,
        most=1,
    ),
    "start": Command(
        "start [OPTIONS] CONTAINER [CONTAINER...]",
        "Start one or more stopped containers",
        _start,
        (
            switch("attach", "a", "Attach STDOUT/STDERR and forward signals"),
            DETACH_KEYS,
            switch("interactive", "i", "Attach container's STDIN"),
        ),
        least=1,
    ),
}
