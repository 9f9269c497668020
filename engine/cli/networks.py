"""Run ``network``."""

from collections.abc import Mapping
from typing import Any, Final

from engine.cli import output
from engine.cli.address_pools import POOL_FLAGS, address_pools
from engine.cli.columns import short_id
from engine.cli.command import Command, Invocation
from engine.cli.environment import LABEL, labels
from engine.cli.failures import EngineRefused
from engine.cli.filters import FILTER, encoded
from engine.cli.flags import integer, switch, text, texts
from engine.cli.questions import confirmed
from engine.cli.tables import Layout
from engine.cli.template.values import Fields

_TABLE: Final = "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}"
_TITLES: Final = {"ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE"}

Network = Mapping[str, Any]  # Any: JSON of the API


def _list(invocation: Invocation) -> int:
    options = invocation.options
    query = {"filters": encoded(options.many("filter"))}
    networks: list[Network] = invocation.engine.ask("GET", "/networks", query)
    networks.sort(key=lambda network: str(network["Name"]))
    whole = options.on("no-trunc")
    if options.on("quiet") and not options.text("format"):
        for network in networks:
            output.line(network["Id"] if whole else short_id(network["Id"]))
        return 0
    Layout(options.text("format"), _TABLE, _TITLES).show(
        _fields(network, whole=whole) for network in networks
    )
    return 0


def _fields(network: Network, *, whole: bool) -> Fields:
    columns = {
        "ID": lambda: network["Id"] if whole else short_id(network["Id"]),
        "Name": lambda: network["Name"],
        "Driver": lambda: network["Driver"],
        "Scope": lambda: network["Scope"],
        "Internal": lambda: network["Internal"],
        "IPv6": lambda: network["EnableIPv6"],
        "CreatedAt": lambda: network["Created"],
    }
    return Fields("*network.networkContext", columns)


def _create(invocation: Invocation) -> int:
    options = invocation.options
    body = {
        "Name": invocation.arguments[0],
        "Driver": options.text("driver", "bridge"),
        "Attachable": options.on("attachable"),
        "Internal": options.on("internal"),
        "EnableIPv6": options.on("ipv6"),
        "IPAM": {"Driver": "default", "Config": address_pools(options)},
        "Options": _pairs(options.many("opt")),
        "Labels": labels(options),
    }
    output.line(invocation.engine.ask("POST", "/networks/create", {}, body)["Id"])
    return 0


def _pairs(texts: list[str]) -> dict[str, str]:
    split = (text.partition("=") for text in texts)
    return {name: value for name, _, value in split}


def _remove(invocation: Invocation) -> int:
    code = 0
    for name in invocation.arguments:
        try:
            invocation.engine.ask("DELETE", f"/networks/{name}")
        except EngineRefused as refused:
            output.error_line(str(refused))
            code = 1
        else:
            output.line(name)
    return code


def _connect(invocation: Invocation) -> int:
    options = invocation.options
    network, container = invocation.arguments
    address = {"IPv4Address": options.text("ip"), "IPv6Address": options.text("ip6")}
    endpoint = {
        "IPAMConfig": {name: value for name, value in address.items() if value} or None,
        "Aliases": options.many("alias") or None,
        "Links": options.many("link") or None,
        "DriverOpts": _pairs(options.many("driver-opt")) or None,
        "GwPriority": options.number("gw-priority"),
    }
    body = {"Container": container, "EndpointConfig": endpoint}
    invocation.engine.ask("POST", f"/networks/{network}/connect", {}, body)
    return 0


def _disconnect(invocation: Invocation) -> int:
    network, container = invocation.arguments
    body = {"Container": container, "Force": invocation.options.on("force")}
    invocation.engine.ask("POST", f"/networks/{network}/disconnect", {}, body)
    return 0


def _prune(invocation: Invocation) -> int:
    options = invocation.options
    if not options.on("force") and not confirmed(
        "WARNING! This will remove all custom networks not used by at least one container."
    ):
        return 0
    filters = encoded(options.many("filter"))
    report: dict[str, Any] = invocation.engine.ask("POST", "/networks/prune", {"filters": filters})
    if deleted := report.get("NetworksDeleted"):
        output.line("Deleted Networks:\n" + "\n".join(deleted) + "\n")
    return 0


COMMANDS: Final = {
    "network ls": Command(
        "network ls [OPTIONS]",
        "List networks",
        _list,
        (
            FILTER,
            text("format", "", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"),
            switch("no-trunc", "", "Don't truncate output"),
            switch("quiet", "q", "Only display network IDs"),
        ),
        most=0,
    ),
    "network create": Command(
        "network create [OPTIONS] NETWORK",
        "Create a network",
        _create,
        (
            text("driver", "d", "Driver to manage the network", '"bridge"'),
            switch("attachable", "", "Enable manual container attachment"),
            *POOL_FLAGS,
            switch("internal", "", "Restrict external access to the network"),
            switch("ipv6", "", "Enable IPv6 address assignment"),
            LABEL,
            texts("opt", "o", "Set driver specific options"),
        ),
        least=1,
        most=1,
    ),
    "network connect": Command(
        "network connect [OPTIONS] NETWORK CONTAINER",
        "Connect a container to a network",
        _connect,
        (
            texts("alias", "", "Add network-scoped alias for the container"),
            text("ip", "", "IPv4 address (e.g., 172.30.100.104)"),
            text("ip6", "", "IPv6 address (e.g., 2001:db8::33)"),
            texts("link", "", "Add link to another container"),
            texts("driver-opt", "", "driver options for the network"),
            integer("gw-priority", "", "Highest gw-priority provides the default gateway"),
        ),
        least=2,
        most=2,
    ),
    "network disconnect": Command(
        "network disconnect [OPTIONS] NETWORK CONTAINER",
        "Disconnect a container from a network",
        _disconnect,
        (switch("force", "f", "Force the container to disconnect from a network"),),
        least=2,
        most=2,
    ),
    "network prune": Command(
        "network prune [OPTIONS]",
        "Remove all unused networks",
        _prune,
        (FILTER, switch("force", "f", "Do not prompt for confirmation")),
        most=0,
    ),
    "network rm": Command(
        "network rm NETWORK [NETWORK...]",
        "Remove one or more networks",
        _remove,
        least=1,
    ),
}
