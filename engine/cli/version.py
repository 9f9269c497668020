"""Run ``version``."""

import os
import sys
from typing import Any, Final

from engine.cli import output
from engine.cli.columns import aligned
from engine.cli.command import Command, Invocation
from engine.cli.failures import Failure
from engine.cli.flags import text
from engine.cli.times import ansi_c

VERSION: Final = "0.1.0"
API_VERSION: Final = "1.51"
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}

Details = dict[str, Any]  # Any: JSON of the API


def short_version() -> str:
    """Return the line for ``shipslog -v``."""
    return f"Shipslog version {VERSION}"


def _client() -> Details:
    machine = os.uname().machine
    return {
        "Version": VERSION,
        "ApiVersion": API_VERSION,
        "DefaultAPIVersion": API_VERSION,
        "PythonVersion": sys.version.split()[0],
        "Os": "linux",
        "Arch": _ARCHITECTURES.get(machine, machine),
    }


def _version(invocation: Invocation) -> int:
    versions: Details = {"Client": _client(), "Server": None}
    failure: Failure | None = None
    try:
        versions["Server"] = invocation.engine.ask("GET", "/version")
    except Failure as unreachable:
        failure = unreachable
    wanted = invocation.options.text("format")
    output.line(_formatted(wanted, versions) if wanted else _shown(versions))
    if failure is not None:
        raise failure
    return 0


def _formatted(wanted: str, versions: Details) -> str:
    from engine.cli.template.evaluation import Template
    from engine.cli.template.values import to_json

    if wanted == "json":
        return to_json(versions)
    try:
        return Template(wanted).render(versions)
    except LookupError as error:
        raise Failure(error.args[0]) from None


def _shown(versions: Details) -> str:
    client = versions["Client"]
    lines = [
        "Client:",
        f" Version:\t{client['Version']}",
        f" API version:\t{client['ApiVersion']}",
        f" Python version:\t{client['PythonVersion']}",
        f" OS/Arch:\t{client['Os']}/{client['Arch']}",
    ]
    if versions["Server"] is not None:
        lines += ["", *_server_lines(versions["Server"])]
    return aligned("\n".join(lines), narrowest=20, padding=1)


def _server_lines(server: Details) -> list[str]:
    lines = [f"Server: {(server.get('Platform') or {}).get('Name', '')}".rstrip()]
    for component in server.get("Components") or [_as_component(server)]:
        details = component.get("Details") or {}
        lines += [f" {component['Name']}:", f"  Version:\t{component['Version']}"]
        if component["Name"] in ("Engine", "Shipslog"):
            lines += _engine_lines(details)
        else:
            lines += [f"  {name}:\t{details[name]}" for name in sorted(details)]
    return lines


def _as_component(server: Details) -> Details:
    return {"Name": "Engine", "Version": server.get("Version", ""), "Details": server}


def _engine_lines(details: Details) -> list[str]:
    lines = [f"  API version:\t{details.get('ApiVersion', '')} (minimum version {details.get('MinAPIVersion', '')})"]  # fmt: skip
    for title, name in (("Go version", "GoVersion"), ("Python version", "PythonVersion"), ("Git commit", "GitCommit")):  # fmt: skip
        if details.get(name):
            lines.append(f"  {title}:\t{details[name]}")
    if details.get("BuildTime"):
        lines.append(f"  Built:\t{ansi_c(str(details['BuildTime']))}")
    lines.append(f"  OS/Arch:\t{details.get('Os', '')}/{details.get('Arch', '')}")
    lines.append(f"  Experimental:\t{str(details.get('Experimental', False)).lower()}")
    return lines


COMMANDS: Final = {
    "version": Command(
        "version [OPTIONS]",
        "Show the Shipslog version information",
        _version,
        (text("format", "f", "Format output: 'json' or a Go template"),),
        most=0,
    )
}
