"""Run ``top`` and ``port``."""

from typing import Final

from engine.cli import output
from engine.cli.columns import aligned
from engine.cli.command import Command, Invocation
from engine.cli.failures import Failure

_TOP_NARROWEST: Final = 20


def _top(invocation: Invocation) -> int:
    container, *ps_options = invocation.arguments
    query = {"ps_args": " ".join(ps_options)}
    answer = invocation.engine.ask("GET", f"/containers/{container}/top", query)
    rows = [answer["Titles"], *(answer["Processes"] or ())]
    output.line(aligned("\n".join("\t".join(row) for row in rows), narrowest=_TOP_NARROWEST))
    return 0


def _port(invocation: Invocation) -> int:
    container, *wanted = invocation.arguments
    details = invocation.engine.ask("GET", f"/containers/{container}/json")
    published = {
        port: bindings
        for port, bindings in (details["NetworkSettings"]["Ports"] or {}).items()
        if bindings
    }
    if not wanted:
        lines = [
            f"{port} -> {_address(binding)}"
            for port in sorted(published, key=_order)
            for binding in published[port]
        ]
    else:
        port = wanted[0] if "/" in wanted[0] else f"{wanted[0]}/tcp"
        if port not in published:
            raise Failure(f"Error: No public port '{wanted[0]}' published for {container}")
        lines = [_address(binding) for binding in published[port]]
    output.write("".join(f"{line}\n" for line in lines))
    return 0


def _order(port: str) -> tuple[int, str]:
    number, _, protocol = port.partition("/")
    return int(number), protocol


def _address(binding: dict[str, str]) -> str:
    address = binding["HostIp"]
    return (
        f"[{address}]:{binding['HostPort']}"
        if ":" in address
        else f"{address}:{binding['HostPort']}"
    )


COMMANDS: Final = {
    "top": Command(
        "top CONTAINER [ps OPTIONS]",
        "Display the running processes of a container",
        _top,
        least=1,
        interspersed=False,
    ),
    "port": Command(
        "port CONTAINER [PRIVATE_PORT[/PROTO]]",
        "List port mappings or a specific mapping for the container",
        _port,
        least=1,
        most=2,
    ),
}
