"""Run ``run`` and ``create``.

``run`` is create, attach, wait, start: in this order, so that neither the first byte nor the exit
of a short-lived container is missed. The client exits with the container's code.
"""

import contextlib
import json
import re
from typing import Any, Final

from engine.cli import output, terminal
from engine.cli.attach import checked_keys, need_terminal, open_streams
from engine.cli.command import Command, Invocation
from engine.cli.container_body import attached_streams, check_cidfile, create_body
from engine.cli.container_flags import RUN_ONLY, SHARED
from engine.cli.engine import Engine
from engine.cli.failures import (
    EXIT_ENGINE,
    EXIT_NOT_EXECUTABLE,
    EXIT_NOT_FOUND,
    EngineRefused,
    Failure,
)
from engine.cli.flags import Options
from engine.cli.session import Session
from engine.cli.waiting import Wait

_NOT_FOUND: Final = re.compile("executable file not found|no such file or directory")
_NOT_EXECUTABLE: Final = re.compile("permission denied|is a directory|exec format error")
_STATUS_NOT_FOUND: Final = 404
_REFERENCE: Final = re.compile(
    r"(?P<repository>.+?)(?::(?P<tag>[\w][\w.-]{0,127}))?(?P<digest>@.+)?"
)


def _run(invocation: Invocation) -> int:
    options = invocation.options
    if options.on("detach") and options.given("attach"):
        raise Failure("conflicting options: cannot specify both --attach and --detach")
    try:
        return _run_checked(invocation)
    except Failure as failure:
        raise _with_help_hint(failure, "run") from failure


def _with_help_hint(failure: Failure, verb: str) -> Failure:
    """Return the failure with the program's name before the message and a hint to the help after
    it; exit code 126 or 127 if the command was at fault.
    """
    if failure.exit_code not in (1, EXIT_ENGINE):
        return failure
    text = str(failure)
    code = EXIT_ENGINE
    if isinstance(failure, EngineRefused) and "exec" in text:
        if _NOT_FOUND.search(text):
            code = EXIT_NOT_FOUND
        elif _NOT_EXECUTABLE.search(text):
            code = EXIT_NOT_EXECUTABLE
    return Failure(f"shipslog: {text}\n\nRun 'shipslog {verb} --help' for more information", code)


def _run_checked(invocation: Invocation) -> int:
    engine, options = invocation.engine, invocation.options
    keys = options.text("detach-keys")
    detach_keys = checked_keys(keys)
    streams = attached_streams(options)
    tty = options.on("tty")
    body = _body(invocation)
    try:
        need_terminal(tty=tty, stdin=streams["stdin"])
    except Failure as failure:
        output.error_line(str(failure))
        return 1
    if not any(streams.values()):
        identity = _create(engine, options, body)
        engine.ask("POST", f"/containers/{identity}/start")
        output.line(identity)
        return 0
    forward = options.on("sig-proxy", default=True)
    identity = _create(engine, options, body)
    path = f"/containers/{identity}"
    session = Session(engine, path, tty=tty, stdin=streams["stdin"], forward_signals=forward)
    with session:
        connection = open_streams(engine, identity, streams, keys)
        wait = Wait(engine, identity, "removed" if options.on("rm") else "next-exit")
        session.take_terminal()
        try:
            engine.ask("POST", f"{path}/start")
        except EngineRefused:
            _await_removal(wait, removed=options.on("rm"))
            raise
        session.resize()
        code = session.converse(connection, wait, detach_keys)
    return code or 0


def _await_removal(wait: Wait, *, removed: bool) -> None:
    """Wait for the removal after a failed start with ``--rm``, so that the name is free when the
    client exits.
    """
    if removed and wait.fd is not None:
        with contextlib.suppress(Failure):
            wait.ready()


def _body(invocation: Invocation) -> dict[str, Any]:  # Any: JSON of the API
    options = invocation.options
    image, *command = invocation.arguments
    pull = options.text("pull", "missing")
    if pull not in ("always", "missing", "never"):
        raise Failure(
            f'invalid pull option: \'{pull}\': must be one of "always", "missing" or "never"'
        )
    body = create_body(options, image, command)
    check_cidfile(options.text("cidfile"))
    if options.on("tty") and not options.on("detach"):
        body["HostConfig"]["ConsoleSize"] = list(terminal.size(output.STDOUT) or (0, 0))
    return body


def _create(engine: Engine, options: Options, body: dict[str, Any]) -> str:
    """Create the container, pulling the image first if asked to or if it is missing; write the ID
    to the cidfile.
    """
    query = {"name": options.text("name"), "platform": options.text("platform")}
    pull = options.text("pull", "missing")
    if pull == "always":
        _pull(engine, body["Image"])
    try:
        answer = engine.ask("POST", "/containers/create", query, body)
    except EngineRefused as refused:
        if (
            refused.status != _STATUS_NOT_FOUND
            or "image" not in refused.reason
            or pull != "missing"
        ):
            raise
        output.error_line(f"Unable to find image '{tagged(body['Image'])}' locally")
        _pull(engine, body["Image"])
        answer = engine.ask("POST", "/containers/create", query, body)
    for warning in answer.get("Warnings") or ():
        output.error_line(f"WARNING: {warning}")
    identity = str(answer["Id"])
    if path := options.text("cidfile"):
        _write_cidfile(path, identity)
    return identity


def _write_cidfile(path: str, identity: str) -> None:
    try:
        with open(path, "x", encoding="ascii") as file:  # noqa: PTH123  (pathlib costs 10 ms)
            file.write(identity)
    except OSError as error:
        raise Failure(f"failed to create the container ID file: {error}") from None


def tagged(image: str) -> str:
    """Return the reference with its tag, which is ``latest`` if none is written."""
    last = image.rpartition("/")[2]
    return image if ":" in last or "@" in last else f"{image}:latest"


def _pull(engine: Engine, image: str) -> None:
    """Let the engine pull the image; write its progress to standard error.

    Raises:
        Failure: the pull failed.
    """
    match = _REFERENCE.fullmatch(image)
    assert match is not None
    query = {"fromImage": match["repository"] + (match["digest"] or ""), "tag": match["tag"] or ""}
    query["tag"] = query["tag"] or ("" if match["digest"] else "latest")
    for progress in (engine.request("POST", "/images/create", query)).lines():
        message = json.loads(progress)
        if "error" in message:
            raise Failure(str(message["error"]))
        output.error_line(": ".join(str(message[k]) for k in ("id", "status") if k in message))


def _create_only(invocation: Invocation) -> int:
    try:
        body = _body(invocation)
    except Failure as failure:
        raise _with_help_hint(failure, "create") from failure
    output.line(_create(invocation.engine, invocation.options, body))
    return 0


COMMANDS: Final = {
    "run": Command(
        "run [OPTIONS] IMAGE [COMMAND] [ARG...]",
        "Create and run a new container from an image",
        _run,
        SHARED + RUN_ONLY,
        least=1,
        interspersed=False,
    ),
    "create": Command(
        "create [OPTIONS] IMAGE [COMMAND] [ARG...]",
        "Create a new container",
        _create_only,
        SHARED,
        least=1,
        interspersed=False,
    ),
}
