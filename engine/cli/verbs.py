"""Find the module of a verb, so that only that one is imported."""

from typing import Final

from engine.cli.command import Command

_LIFECYCLE: Final = "engine.cli.lifecycle"
_IMAGES: Final = "engine.cli.images"
_NETWORKS: Final = "engine.cli.networks"

MODULES: Final = {
    "run": "engine.cli.run",
    "create": "engine.cli.run",
    "start": "engine.cli.attach",
    "attach": "engine.cli.attach",
    "exec": "engine.cli.execute",
    "stop": _LIFECYCLE,
    "kill": _LIFECYCLE,
    "restart": _LIFECYCLE,
    "pause": _LIFECYCLE,
    "unpause": _LIFECYCLE,
    "wait": _LIFECYCLE,
    "rename": _LIFECYCLE,
    "update": "engine.cli.update",
    "rm": _LIFECYCLE,
    "prune": _LIFECYCLE,
    "ps": "engine.cli.containers",
    "cp": "engine.cli.copying",
    "export": "engine.cli.exporting",
    "diff": "engine.cli.exporting",
    "logs": "engine.cli.logs",
    "inspect": "engine.cli.inspection",
    "top": "engine.cli.processes",
    "port": "engine.cli.processes",
    "images": _IMAGES,
    "rmi": _IMAGES,
    "import": _IMAGES,
    "load": _IMAGES,
    "tag": _IMAGES,
    "network ls": _NETWORKS,
    "network create": _NETWORKS,
    "network connect": _NETWORKS,
    "network disconnect": _NETWORKS,
    "network prune": _NETWORKS,
    "network rm": _NETWORKS,
    "commit": "engine.cli.committing",
    "save": "engine.cli.committing",
    "events": "engine.cli.events",
    "version": "engine.cli.version",
    "info": "engine.cli.information",
    "history": "engine.cli.history",
    "verify": "engine.cli.verification",
    "quickstart": "engine.cli.quickstart",
}
"""In the order of the help."""

_GROUPED: Final = {
    ("container", "ls"): "ps",
    ("container", "list"): "ps",
    ("container", "ps"): "ps",
    ("image", "ls"): "images",
    ("image", "list"): "images",
    ("image", "rm"): "rmi",
    ("image", "remove"): "rmi",
    ("image", "import"): "import",
    ("image", "load"): "load",
    ("image", "save"): "save",
    ("image", "tag"): "tag",
    ("image", "inspect"): "inspect",
    ("network", "ls"): "network ls",
    ("network", "list"): "network ls",
    ("network", "create"): "network create",
    ("network", "connect"): "network connect",
    ("network", "disconnect"): "network disconnect",
    ("network", "prune"): "network prune",
    ("network", "rm"): "network rm",
    ("network", "remove"): "network rm",
    ("network", "inspect"): "inspect",
    ("system", "events"): "events",
    ("system", "info"): "info",
}
_OF_CONTAINERS: Final = frozenset(
    [
        "run",
        "create",
        "start",
        "attach",
        "exec",
        "stop",
        "kill",
        "restart",
        "pause",
        "unpause",
        "wait",
        "rename",
        "update",
        "rm",
        "prune",
        "commit",
        "cp",
        "export",
        "diff",
        "logs",
        "inspect",
        "top",
        "port",
    ]
)


def resolve(words: list[str]) -> tuple[str | None, list[str]]:
    """Return the verb and what follows it; Docker's longer spellings (``container ls``) mean the
    same verbs.
    """
    group = words[0]
    if len(words) > 1 and group in ("container", "image", "network", "system"):
        verb = _GROUPED.get((group, words[1]))
        if verb is None and group == "container" and words[1] in _OF_CONTAINERS:
            verb = words[1]
        kind = ["--type", group] if verb == "inspect" else []
        return verb, kind + words[2:]
    return (group if group in MODULES else None), words[1:]


def load(verb: str) -> Command:
    """Import the verb's module and return the verb."""
    module = __import__(MODULES[verb], fromlist=["COMMANDS"])
    commands: dict[str, Command] = module.COMMANDS
    return commands[verb]
