"""Run ``ps``, for now or for a point in the past."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from engine.cli import output
from engine.cli.columns import ellipsis, short_id
from engine.cli.command import Command, Invocation
from engine.cli.failures import Failure
from engine.cli.filters import FILTER, encoded
from engine.cli.flags import integer, switch, text
from engine.cli.ports import displayed
from engine.cli.tables import Layout
from engine.cli.template.values import Fields
from engine.cli.times import NANO, created_at, now_ns, parse_moment
from engine.cli.units import human_duration, human_size

_TABLE: Final = (
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
)
_TITLES: Final = {
    "ID": "CONTAINER ID",
    "Names": "NAMES",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Ports": "PORTS",
    "State": "STATE",
    "Status": "STATUS",
    "Size": "SIZE",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Networks": "NETWORKS",
    "Platform": "PLATFORM",
}
_COMMAND_COLUMNS: Final = 20
_MOUNT_COLUMNS: Final = 15
FORMAT: Final = text(
    "format", "", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"
)


def container_fields(
    container: Mapping[str, Any], *, truncated: bool, moment_s: float
) -> Fields:  # Any: JSON of the API
    """Return the fields of one container for Docker's formatter; ages are relative to
    ``moment_s``.
    """
    identity = str(container["Id"])
    labels: dict[str, str] = container.get("Labels") or {}
    columns: dict[str, Callable[[], Any]] = {
        "ID": lambda: short_id(identity) if truncated else identity,
        "Names": lambda: _names(container, truncated=truncated),
        "Image": lambda: _image(container, truncated=truncated),
        "Command": lambda: _command(str(container.get("Command") or ""), truncated=truncated),
        "CreatedAt": lambda: created_at(int(container["Created"])),
        "RunningFor": lambda: f"{human_duration(moment_s - int(container['Created']))} ago",
        "Ports": lambda: displayed(container.get("Ports") or []),
        "State": lambda: container.get("State", ""),
        "Status": lambda: container.get("Status", ""),
        "Size": lambda: _size(container),
        "Labels": lambda: ",".join(f"{name}={labels[name]}" for name in sorted(labels)),
        "Mounts": lambda: _mounts(container, truncated=truncated),
        "LocalVolumes": lambda: str(_local_volumes(container)),
        "Networks": lambda: ",".join(_networks(container)),
        "Platform": lambda: None,
    }
    return Fields("*formatter.ContainerContext", columns, {"Label": lambda n: labels.get(n, "")})


def _names(container: Mapping[str, Any], *, truncated: bool) -> str:
    names = [str(name).removeprefix("/") for name in container.get("Names") or ()]
    if truncated:
        names = [name for name in names if "/" not in name]  # an alias that a link made
    return ",".join(names)


def _image(container: Mapping[str, Any], *, truncated: bool) -> str:
    image = str(container.get("Image") or "<no image>")
    if truncated and image.removeprefix("sha256:") == str(
        container.get("ImageID", "")
    ).removeprefix("sha256:"):
        return short_id(image)
    return image


def _command(command: str, *, truncated: bool) -> str:
    return go_quoted(ellipsis(command, _COMMAND_COLUMNS) if truncated else command)


def go_quoted(value: str) -> str:
    """Quote as Go's strconv.Quote does: printable text stays, the rest is escaped."""
    escaped = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    pieces = (
        escaped.get(character)
        or (character if character.isprintable() else f"\\x{ord(character):02x}")
        for character in value
    )
    return f'"{"".join(pieces)}"'


def _size(container: Mapping[str, Any]) -> str:
    size = human_size(int(container.get("SizeRw") or 0))
    total = int(container.get("SizeRootFs") or 0)
    return f"{size} (virtual {human_size(total)})" if total > 0 else size


def _mounts(container: Mapping[str, Any], *, truncated: bool) -> str:
    names = (
        str(mount.get("Name") or mount.get("Source")) for mount in container.get("Mounts") or ()
    )
    return ",".join(ellipsis(name, _MOUNT_COLUMNS) if truncated else name for name in names)


def _local_volumes(container: Mapping[str, Any]) -> int:
    return sum(mount.get("Driver") == "local" for mount in container.get("Mounts") or ())


def _networks(container: Mapping[str, Any]) -> list[str]:
    return sorted((container.get("NetworkSettings") or {}).get("Networks") or {})


def _ps(invocation: Invocation) -> int:
    options = invocation.options
    with_size = options.on("size")
    wanted = options.text("format")
    layout = Layout(wanted, _TABLE + ("\t{{.Size}}" if with_size else ""), _TITLES)
    last = 1 if options.on("latest") and not options.given("last") else options.number("last", -1)
    asks_size = with_size or ".Size" in wanted or "{{json .}}" in wanted
    query = {
        "all": "1" if options.on("all") else "",
        "limit": str(last) if last > 0 else "",
        "size": "1" if asks_size else "",
        "filters": encoded(options.many("filter")),
    }
    path, moment_s = "/containers/json", time.time()
    if options.given("at"):
        path, query["at"] = "/shipslog/containers/json", parse_at(options.text("at"))
        moment_s = int(query["at"]) / NANO
    truncated = not options.on("no-trunc")
    containers = invocation.engine.ask("GET", path, query)
    rows = [container_fields(c, truncated=truncated, moment_s=moment_s) for c in containers]
    if options.on("quiet") and not wanted:
        output.write("".join(f"{row.columns['ID']()}\n" for row in rows))
    else:
        layout.show(rows)
    return 0


def parse_at(written: str) -> str:
    """Convert ``--at`` to Unix nanoseconds, as the API takes it.

    Raises:
        Failure: it is not a time.
    """
    try:
        return str(parse_moment(written, now_ns()))
    except ValueError as error:
        raise Failure(str(error)) from None


COMMANDS: Final = {
    "ps": Command(
        "ps [OPTIONS]",
        "List containers",
        _ps,
        (
            switch("all", "a", "Show all containers (default shows just running)"),
            text("at", "", "Show what was there at a moment: '10m ago', '2026-11-20 10:00', RFC 3339, Unix time"),
            FILTER,
            FORMAT,
            integer("last", "n", "Show n last created containers (includes all states)", "-1"),
            switch("latest", "l", "Show the latest created container (includes all states)"),
            switch("no-trunc", "", "Don't truncate output"),
            switch("quiet", "q", "Only display container IDs"),
            switch("size", "s", "Display total file sizes"),
        ),
        most=0,
    )
}  # fmt: skip
