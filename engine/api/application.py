"""Register all paths of the API with their handlers."""

from engine.api.containers.attach_websocket import WebSocketHandlers
from engine.api.containers.files import ArchiveHandlers
from engine.api.containers.handlers import ContainerHandlers
from engine.api.containers.lifecycle import LifecycleHandlers
from engine.api.containers.stats import StatsHandlers
from engine.api.containers.streams import ContainerStreamHandlers
from engine.api.containers.update import UpdateHandlers
from engine.api.events.handlers import EventHandlers
from engine.api.execs.handlers import ExecHandlers
from engine.api.history.handlers import HistoryHandlers
from engine.api.http.http11 import Application
from engine.api.http.router import Route, Router
from engine.api.images.commit import CommitHandlers
from engine.api.images.handlers import ImageHandlers
from engine.api.networks.handlers import NetworkHandlers
from engine.api.openapi.serving import description_routes
from engine.api.system.auth import AuthHandlers
from engine.api.system.disk_usage import DiskUsageHandlers
from engine.api.system.handlers import SystemHandlers
from engine.api.unsupported.routes import routes as unsupported_routes
from engine.service.engine import Service


def application(service: Service) -> Application:
    """Return what a :class:`~engine.api.http.server.Server` serves."""
    return Router(routes(service)).answer


def routes(service: Service) -> tuple[Route, ...]:
    """Return every route. Where two templates fit a path, the first one counts."""
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
        *unsupported_routes(service.prunes),
    )
    return (*described, *description_routes(described))
