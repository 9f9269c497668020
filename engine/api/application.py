"""The whole API: every path and who answers it."""

from engine.api import plugins, swarm, unavailable, volumes
from engine.api.archive import ArchiveHandlers
from engine.api.attach_websocket import WebSocketHandlers
from engine.api.auth import AuthHandlers
from engine.api.commit import CommitHandlers
from engine.api.container_streams import ContainerStreamHandlers
from engine.api.containers import ContainerHandlers
from engine.api.disk_usage import DiskUsageHandlers
from engine.api.events import EventHandlers
from engine.api.exec import ExecHandlers
from engine.api.history import HistoryHandlers
from engine.api.http.http11 import Application
from engine.api.http.router import Route, Router
from engine.api.images import ImageHandlers
from engine.api.lifecycle import LifecycleHandlers
from engine.api.networks import NetworkHandlers
from engine.api.openapi.serving import description_routes
from engine.api.stats import StatsHandlers
from engine.api.system import SystemHandlers
from engine.api.update import UpdateHandlers
from engine.service.engine import Service


def application(service: Service) -> Application:
    """What a :class:`~engine.api.http.server.Server` serves."""
    return Router(routes(service)).answer


def routes(service: Service) -> tuple[Route, ...]:
    """Every route. Where two templates fit a path, the first one counts."""
    described = (
        *SystemHandlers(service).routes(),
        *AuthHandlers(service).routes(),
        *DiskUsageHandlers(service).routes(),
        *LifecycleHandlers(service).routes(),
        *ContainerStreamHandlers(service).routes(),
        *WebSocketHandlers(service).routes(),
        *ExecHandlers(service).routes(),
        *StatsHandlers(service).routes(),
        *UpdateHandlers(service).routes(),
        *ArchiveHandlers(service).routes(),
        *ContainerHandlers(service).routes(),
        *CommitHandlers(service).routes(),
        *ImageHandlers(service).routes(),
        *NetworkHandlers(service).routes(),
        *EventHandlers(service).routes(),
        *HistoryHandlers(service).routes(),
        *volumes.routes(service.system),
        *plugins.routes(),
        *swarm.routes(),
        *unavailable.routes(service.system),
    )
    return (*described, *description_routes(described))
