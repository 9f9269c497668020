"""Run ``stop``, ``kill``, ``restart``, ``pause``, ``wait``, ``rename``, ``rm`` and ``prune``."""

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from engine.cli import output
from engine.cli.command import Command, Invocation
from engine.cli.failures import EngineRefused, Failure
from engine.cli.filters import FILTER, encoded
from engine.cli.flags import Flag, integer, switch, text
from engine.cli.questions import confirmed
from engine.cli.units import human_size
from engine.cli.waiting import RETRY_S, Wait

_SIGNAL: Final = text("signal", "s", "Signal to send to the container")
_STATUS_NOT_FOUND: Final = 404


def for_each(containers: Iterable[str], act: Callable[[str], str | None]) -> int:
    """Call a function for each container, print its name when done, and go on after a refusal;
    return 1 if there was one.
    """
    code = 0
    for container in containers:
        try:
            said = act(container)
            output.line(container if said is None else said)
        except EngineRefused as refused:
            output.error_line(str(refused))
            code = 1
    return code


def _posts(verb: str, **flags: str) -> Callable[[Invocation], int]:
    """Return a verb that sends one POST per container; ``flags`` maps query names to options."""

    def run(invocation: Invocation) -> int:
        options = invocation.options
        query = {name: options.text(flag) for name, flag in flags.items() if options.given(flag)}

        def act(container: str) -> None:
            invocation.engine.ask("POST", f"/containers/{container}/{verb}", query)

        return for_each(invocation.arguments, act)

    return run


def _stop(verb: str) -> Callable[[Invocation], int]:
    def run(invocation: Invocation) -> int:
        if invocation.options.given("time"):
            output.error_line("Flag --time has been deprecated, use --timeout instead")
        seconds = "time" if invocation.options.given("time") else "timeout"
        return _posts(verb, signal="signal", t=seconds)(invocation)

    return run


def _wait(invocation: Invocation) -> int:
    def act(container: str) -> str:
        wait = Wait(invocation.engine, container, "not-running")
        while wait.code is None:
            _wait_once(wait)
        return str(wait.code)

    return for_each(invocation.arguments, act)


def _wait_once(wait: Wait) -> None:
    if wait.fd is not None:
        wait.ready()
    else:
        time.sleep(RETRY_S)
        wait.retry()


def _rename(invocation: Invocation) -> int:
    container, new_name = invocation.arguments
    try:
        invocation.engine.ask("POST", f"/containers/{container}/rename", {"name": new_name})
    except EngineRefused as refused:
        output.error_line(str(refused))
        raise Failure(f"Error: failed to rename container named {container}") from refused
    return 0


def _rm(invocation: Invocation) -> int:
    options = invocation.options
    force = options.on("force")
    query = {
        "force": "1" if force else "",
        "link": "1" if options.on("link") else "",
        "v": "1" if options.on("volumes") else "",
    }
    refused = missing = 0

    def act(container: str) -> None:
        nonlocal refused, missing
        try:
            invocation.engine.ask("DELETE", f"/containers/{container}", query)
        except EngineRefused as refusal:
            refused += 1
            missing += refusal.status == _STATUS_NOT_FOUND
            raise

    code = for_each(invocation.arguments, act)
    return 0 if force and refused == missing else code  # the container to remove is gone already


def _prune(invocation: Invocation) -> int:
    options = invocation.options
    if not options.on("force") and not confirmed(
        "WARNING! This will remove all stopped containers."
    ):
        return 0
    filters = encoded(options.many("filter"))
    report: dict[str, Any] = invocation.engine.ask(
        "POST", "/containers/prune", {"filters": filters}
    )
    if deleted := report.get("ContainersDeleted"):
        output.line("Deleted Containers:\n" + "\n".join(deleted) + "\n")
    output.line(f"Total reclaimed space: {human_size(report.get('SpaceReclaimed') or 0)}")
    return 0


def _containers(verb: str, summary: str, run: Callable[[Invocation], int], *flags: Flag) -> Command:
    options = "[OPTIONS] " if flags else ""
    return Command(f"{verb} {options}CONTAINER [CONTAINER...]", summary, run, tuple(flags), least=1)


_TIMEOUT: Final = (
    integer("timeout", "t", "Seconds to wait before killing the container"),
    Flag("time", "", integer("time", "", "").kind, "", hidden=True),
)

COMMANDS: Final = {
    "stop": _containers(
        "stop", "Stop one or more running containers", _stop("stop"), _SIGNAL, *_TIMEOUT
    ),
    "kill": _containers(
        "kill", "Kill one or more running containers", _posts("kill", signal="signal"), _SIGNAL
    ),
    "restart": _containers(
        "restart", "Restart one or more containers", _stop("restart"), _SIGNAL, *_TIMEOUT
    ),
    "pause": _containers(
        "pause", "Pause all processes within one or more containers", _posts("pause")
    ),
    "unpause": _containers(
        "unpause", "Unpause all processes within one or more containers", _posts("unpause")
    ),
    "wait": _containers(
        "wait", "Block until one or more containers stop, then print their exit codes", _wait
    ),
    "rename": Command("rename CONTAINER NEW_NAME", "Rename a container", _rename, least=2, most=2),
    "rm": _containers(
        "rm",
        "Remove one or more containers",
        _rm,
        switch("force", "f", "Force the removal of a running container (uses SIGKILL)"),
        switch("link", "l", "Remove the specified link"),
        switch("volumes", "v", "Remove anonymous volumes associated with the container"),
    ),
    "prune": Command(
        "prune [OPTIONS]",
        "Remove all stopped containers",
        _prune,
        (FILTER, switch("force", "f", "Do not prompt for confirmation")),
        most=0,
    ),
}
