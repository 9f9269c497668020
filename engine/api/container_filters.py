"""Which containers a list shows: every filter that Docker has."""

from collections.abc import Iterator, Sequence
from typing import Final

from engine.api.filters import Filters, parse_filters, refused
from engine.api.requests import Query
from engine.api.shapes_container import docker_phase
from engine.api.shapes_health import health_name
from engine.api.shapes_ports import parse_ports
from engine.domain.container import Container
from engine.domain.ids import ImageId
from engine.errors import InvalidRequest, NotFound
from engine.service.images import Images

_KNOWN: Final = frozenset(
    {
        *(
            "ancestor",
            "before",
            "exited",
            "expose",
            "health",
            "id",
            "is-task",
            "label",
            "name",
            "network",
        ),
        *("publish", "since", "status", "volume"),
    }
)
_PHASES: Final = ("created", "restarting", "running", "removing", "paused", "exited", "dead")
_HEALTHS: Final = ("none", "starting", "healthy", "unhealthy")


class ContainerFilter:
    """The question of one ``GET /containers/json``."""

    def __init__(self, query: Query, images: Images) -> None:
        self._filters = parse_filters(query.text("filters"), _KNOWN)
        self._limit = query.integer("limit")
        self._stopped_too = (
            query.flag("all") or self._limit > 0 or bool(self._filters.values("status"))
        )
        self._ancestors = _image_ids(self._filters, images)
        self._check_values()
        self._ports = {
            name: {
                f"{port}/{protocol}"
                for value in self._filters.values(name)
                for port, protocol in parse_ports(value)
            }
            for name in ("expose", "publish")
        }

    def _check_values(self) -> None:
        for name, known in (
            ("status", _PHASES),
            ("health", _HEALTHS),
            ("is-task", ("true", "false", "1", "0")),
        ):
            for value in self._filters.values(name):
                if value not in known:
                    raise refused(name, value)
        for value in self._filters.values("exited"):
            if not value.removeprefix("-").isdecimal():
                raise InvalidRequest(f'strconv.Atoi: parsing "{value}": invalid syntax')

    def chosen(self, containers: Sequence[Container]) -> Iterator[Container]:
        """Those to show, of containers in the order newest first."""
        older_than = self._created(containers, "before")
        newer_than = self._created(containers, "since")
        left = self._limit if self._limit > 0 else len(containers)
        for container in containers:
            if left == 0:
                return
            if older_than is not None and container.created_ns >= older_than:
                continue
            if newer_than is not None and container.created_ns <= newer_than:
                continue
            if self._matches(container):
                left -= 1
                yield container

    def _created(self, containers: Sequence[Container], name: str) -> int | None:
        """When the container was made that ``before`` or ``since`` names."""
        for value in self._filters.values(name):
            for container in containers:
                if container.name == value.removeprefix("/") or container.id.startswith(value):
                    return container.created_ns
            raise NotFound(f"No such container: {value}")
        return None

    def _matches(self, container: Container) -> bool:
        wanted, spec = self._filters, container.spec
        if not self._stopped_too and not container.is_running:
            return False
        if not wanted:
            return True
        return (
            wanted.pattern("id", container.id)
            and wanted.pattern("name", container.name, f"/{container.name}")
            and wanted.exact("status", docker_phase(container))
            and wanted.labels(spec.labels)
            and wanted.any_of("exited", lambda value: _exited(container, int(value)))
            and (self._ancestors is None or spec.image_id in self._ancestors)
            and wanted.exact(
                "network",
                spec.network_mode,
                container.endpoint.network if container.endpoint else "",
            )
            and wanted.exact(
                "volume", *(path for bind in spec.binds for path in (bind.source, bind.destination))
            )
            and wanted.exact("health", health_name(container))
            and wanted.exact("is-task", "false", "0")
            and self._has_port(
                "publish", {f"{port.container_port}/{port.protocol}" for port in container.ports}
            )
            and self._has_port("expose", set(spec.exposed_ports))
        )

    def _has_port(self, name: str, ports: set[str]) -> bool:
        return not self._ports[name] or not self._ports[name].isdisjoint(ports)


def _exited(container: Container, code: int) -> bool:
    return not container.is_running and bool(container.finished_ns) and container.exit_code == code


def _image_ids(filters: Filters, images: Images) -> set[ImageId] | None:
    """The images that ``ancestor`` names; None when it is not asked for. One that is not there has no descendants."""
    words = filters.values("ancestor")
    if not words:
        return None
    found = set()
    for word in words:
        try:
            found.add(images.get(word).id)
        except (NotFound, InvalidRequest):
            continue
    return found
