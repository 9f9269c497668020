"""Collect all commands and queries for the API."""

from dataclasses import dataclass

from engine.queries.events import Events
from engine.queries.history import History
from engine.queries.system import System
from engine.queries.usage import Statistics
from engine.service.commits import Commits
from engine.service.containers.streams import ContainerStreams
from engine.service.containers.updates import Updates
from engine.service.containers.verbs import Containers
from engine.service.execs import Execs
from engine.service.files import Files
from engine.service.images import Images
from engine.service.networks import Networks
from engine.service.prunes import Prunes
from engine.service.registries import Registries


@dataclass(frozen=True, slots=True)
class Service:
    """All commands and queries, by subject."""

    commits: Commits
    containers: Containers
    events: Events
    execs: Execs
    files: Files
    images: Images
    history: History
    networks: Networks
    prunes: Prunes
    registries: Registries
    streams: ContainerStreams
    system: System
    statistics: Statistics
    updates: Updates
