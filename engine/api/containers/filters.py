"""Apply the filters of the list of containers."""

from collections.abc import Iterator, Sequence
from typing import Final

from engine.api.containers.show import docker_phase
from engine.api.containers.spec.health import health_name
from engine.api.containers.spec.ports import summary_ports
from engine.api.filters import Filters, parse_boolean_filter, parse_filters
from engine.api.http.requests import Query
from engine.domain.container.state import Container
from engine.domain.ids import ImageId
from engine.errors import InvalidRequest, NotFound
from engine.service.images import Images

CONTAINER_FILTERS: Final = frozenset(
    {
        *("ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation"),
        *("label", "name", "network", "publish", "since", "status", "volume"),
    }
)
"""``isolation`` distinguishes containers of Windows; all of ours match."""
_PHASES: Final = ("created", "restarting", "running", "removing", "paused", "exited", "dead")
_UP: Final = ("running", "paused", "restarting")
"""The phases that the list shows without ``all``."""
_PORT_MAX: Final = 65535
_HEALTHS: Final = ("none", "starting", "healthy", "unhealthy")


class ContainerFilter:
    """The filters of one ``GET /containers/json``."""

    def __init__(self, query: Query, images: Images) -> None:
        self._filters = parse_filters(query.text("filters"), CONTAINER_FILTERS)
        self._limit = query.number("limit", call="Atoi") or 0
        self._stopped_too = (
            query.flag("all") or self._limit > 0 or bool(self._filters.values("status"))
        )
        self._ancestors = _image_ids(self._filters, images)
        self._check_values()
        self._ports = {
            name: {port for value in self._filters.values(name) for port in port_range(name, value)}
            for name in ("expose", "publish")
        }

    def _check_values(self) -> None:
        for value in self._filters.values("status"):
            if value not in _PHASES:
                raise InvalidRequest(f"invalid filter 'status={value}'")
        for value in self._filters.values("health"):
            if value not in _HEALTHS:
                raise InvalidRequest(f"Unrecognised filter value for health: {value}")
        self._tasks = parse_boolean_filter(self._filters, "is-task")
        for value in self._filters.values("exited"):
            if not value.removeprefix("-").isdecimal():
                raise InvalidRequest(f'strconv.Atoi: parsing "{value}": invalid syntax')

    def chosen(self, containers: Sequence[Container]) -> Iterator[Container]:
        """Return the containers to show; the argument is in the order newest first."""
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
        """Return when the container was created that ``before`` or ``since`` names."""
        for value in self._filters.values(name):
            for container in containers:
                named = container.name == value.removeprefix("/")
                if named or (value and container.id.startswith(value)):
                    return container.created_ns
            raise NotFound(f"No such container: {value}")
        return None

    def _matches(self, container: Container) -> bool:
        requested, spec = self._filters, container.spec
        phase = docker_phase(container)
        if not self._stopped_too and phase not in _UP:
            return False
        if not requested:
            return True
        return (
            requested.any_of("id", container.id.startswith)
            and requested.pattern("name", container.name, f"/{container.name}")
            and requested.exact("status", phase)
            and requested.labels(spec.labels)
            and requested.any_of("exited", lambda value: _exited(container, int(value)))
            and (self._ancestors is None or spec.image_id in self._ancestors)
            and requested.any_of("network", lambda word: _is_on(container, word))
            and requested.exact(
                "volume", *(path for bind in spec.binds for path in (bind.source, bind.destination))
            )
            and requested.exact("health", health_name(container))
            and not self._tasks
            and self._has_port(container)
        )

    def _has_port(self, container: Container) -> bool:
        """Return whether a port is published or exposed as the filters ask: either will do, as in
        Docker.
        """
        published, exposed = self._ports["publish"], self._ports["expose"]
        if not published and not exposed:
            return True
        return any(
            (port.get("PublicPort", 0), port["Type"]) in published
            or (port["PrivatePort"], port["Type"]) in exposed
            for port in summary_ports(container)
        )


def _is_on(container: Container, word: str) -> bool:
    """Return whether a container is on the network of that name, or whose ID begins so."""
    return container.spec.network_mode == word or any(
        each.name == word or (each.network and each.network.startswith(word))
        for each in container.networks
    )


def port_range(name: str, value: str) -> Iterator[tuple[int, str]]:
    """Return the ports that ``80``, ``80/udp`` or ``80-90/tcp`` means, with their protocol.

    Raises:
        InvalidRequest: in the words of Docker's go-connections, which read it there.
    """
    ports, _, protocol = value.partition("/")
    first, _, last = ports.partition("-")
    if not ports:
        raise _no_ports(name, value, "Empty string specified for ports.")
    numbers = [_port(name, value, text) for text in (first, last or first)]
    if numbers[1] < numbers[0]:
        raise _no_ports(name, value, f"Invalid range specified for the Port: {ports}")
    return ((number, protocol or "tcp") for number in range(numbers[0], numbers[1] + 1))


def _port(name: str, value: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise _no_ports(name, value, f'strconv.ParseUint: parsing "{text}": invalid syntax')
    if len(text) > len(str(_PORT_MAX)) or int(text) > _PORT_MAX:
        raise _no_ports(name, value, f'strconv.ParseUint: parsing "{text}": value out of range')
    return int(text)


def _no_ports(name: str, value: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"error while looking up for {name} {value}: {why}")


def _exited(container: Container, code: int) -> bool:
    return not container.is_running and bool(container.finished_ns) and container.exit_code == code


def _image_ids(filters: Filters, images: Images) -> set[ImageId] | None:
    """Return the images that ``ancestor`` names; None when the filter is absent. A missing image
    has no descendants.
    """
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
