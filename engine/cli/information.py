"""Run ``info``."""

from collections.abc import Iterator
from typing import Any, Final

from engine.cli import output
from engine.cli.command import Command, Invocation
from engine.cli.failures import Failure
from engine.cli.flags import text
from engine.cli.units import binary_size
from engine.cli.version import VERSION

Info = dict[str, Any]  # Any: JSON of the API
_LINES: Final = (
    (" Containers", "Containers"),
    ("  Running", "ContainersRunning"),
    ("  Paused", "ContainersPaused"),
    ("  Stopped", "ContainersStopped"),
    (" Images", "Images"),
    (" Server Version", "ServerVersion"),
    (" Storage Driver", "Driver"),
)
_LATER: Final = (
    (" Logging Driver", "LoggingDriver"),
    (" Cgroup Driver", "CgroupDriver"),
    (" Cgroup Version", "CgroupVersion"),
)
_MACHINE: Final = (
    (" Kernel Version", "KernelVersion"),
    (" Operating System", "OperatingSystem"),
    (" OSType", "OSType"),
    (" Architecture", "Architecture"),
    (" CPUs", "NCPU"),
)
_LAST: Final = (
    (" Name", "Name"),
    (" ID", "ID"),
    (" Docker Root Dir", "DockerRootDir"),
)


def _info(invocation: Invocation) -> int:
    wanted = invocation.options.text("format")
    details: Info = invocation.engine.ask("GET", "/info")
    if not wanted:
        output.line("\n".join(_shown(details)))
        return 0
    from engine.cli.template.evaluation import Template
    from engine.cli.template.values import to_json

    details |= {"ClientInfo": {"Version": VERSION}}
    try:
        output.line(to_json(details) if wanted == "json" else Template(wanted).render(details))
    except LookupError as error:
        raise Failure(error.args[0]) from None
    return 0


def _shown(details: Info) -> Iterator[str]:
    yield from ("Client:", f" Version:    {VERSION}", "", "Server:")
    yield from _simple(details, _LINES)
    for name, value in details.get("DriverStatus") or ():
        yield f"  {name}: {value}"
    yield from _simple(details, _LATER)
    yield " Plugins:"
    for kind in ("Volume", "Network", "Log"):
        yield f"  {kind}: {' '.join((details.get('Plugins') or {}).get(kind) or ())}"
    if (details.get("Swarm") or {}).get("LocalNodeState"):
        yield f" Swarm: {details['Swarm']['LocalNodeState']}"
    if details.get("Runtimes"):
        yield f" Runtimes: {' '.join(sorted(details['Runtimes']))}"
        yield f" Default Runtime: {details.get('DefaultRuntime', '')}"
    if details.get("SecurityOptions"):
        yield " Security Options:"
        yield from _security(details["SecurityOptions"])
    yield from _simple(details, _MACHINE)
    yield f" Total Memory: {binary_size(details.get('MemTotal') or 0)}"
    yield from _simple(details, _LAST)
    yield f" Debug Mode: {str(bool(details.get('Debug'))).lower()}"
    for warning in details.get("Warnings") or ():
        yield f"{warning}"


def _simple(details: Info, lines: tuple[tuple[str, str], ...]) -> Iterator[str]:
    yield from (f"{title}: {details[key]}" for title, key in lines if details.get(key) is not None)


def _security(options: list[str]) -> Iterator[str]:
    """Format ``name=seccomp,profile=default`` as a name with its attributes."""
    for option in options:
        for part in option.split(","):
            name, separator, value = part.partition("=")
            if name == "name" or not separator:
                yield f"  {value or name}"
            else:
                yield f"   {name.capitalize()}: {value}"


COMMANDS: Final = {
    "info": Command(
        "info [OPTIONS]",
        "Display system-wide information",
        _info,
        (text("format", "f", "Format output: 'json' or a Go template"),),
        most=0,
    )
}
