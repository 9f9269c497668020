"""Handle ``docker commit``."""

from typing import Any, Final

from engine.api.answers import Identity
from engine.api.containers.spec.body import CreateWire, words
from engine.api.containers.spec.health import healthcheck_of
from engine.api.http.json_bodies import read_json
from engine.api.http.operations import Operation, flag, text, texts
from engine.api.http.replies import Reply, json_answer
from engine.api.http.requests import Request
from engine.api.http.router import Route
from engine.domain.image.config import ImageConfig
from engine.domain.image.reference import parse_repository
from engine.domain.signals import parse_signal
from engine.errors import InvalidRequest
from engine.service.commits import CommitOptions
from engine.service.engine import Service

_BODY: Final[Any] = CreateWire | None  # Any: for mypy a union is no type to decode
_NOTHING: Final = CreateWire()


class CommitHandlers:
    """Handles ``docker commit``."""

    def __init__(self, service: Service) -> None:
        self._commits = service.commits

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of these handlers."""
        return (
            Route(
                "POST",
                "/commit",
                self.commit,
                Operation(
                    summary="Make an image of what a container has changed.",
                    query=(
                        text("container", required=True),
                        text("repo"),
                        text("tag"),
                        text("comment"),
                        text("author"),
                        flag("pause", "Freeze it meanwhile; true if absent."),
                        texts("changes", "Instructions of a Dockerfile."),
                    ),
                    body=_BODY,
                    answers={201: Identity},
                    refusals=(404, 409),
                ),
            ),
        )

    async def commit(self, request: Request) -> Reply:
        """Handle ``docker commit``."""
        query = request.query
        asked: CreateWire | None = await read_json(request, _BODY)
        repository, container = query.text("repo"), query.text("container")
        reference = parse_repository(repository, query.text("tag")) if repository else None
        if not container:
            raise InvalidRequest('invalid name or ID supplied: ""')
        options = CommitOptions(
            reference=reference,
            config=_config_of(asked) if asked and asked != _NOTHING else None,
            changes=query.texts("changes"),
            author=query.text("author"),
            comment=query.text("comment"),
            pause=query.flag("pause", default=True),
        )
        identity = await self._commits.commit(container, options, request.origin)
        return json_answer({"Id": identity}, 201)


def _config_of(asked: CreateWire) -> ImageConfig:
    """Return the config that the body contains.

    Raises:
        InvalidRequest: a check, or a signal, that can't be.
    """
    if asked.stop_signal:
        parse_signal(asked.stop_signal)
    return ImageConfig(
        user=asked.user or "",
        exposed_ports=tuple(sorted(asked.exposed_ports or ())),
        env=tuple(asked.env or ()),
        cmd=words(asked.cmd),
        healthcheck=healthcheck_of(asked.healthcheck, None),
        volumes=tuple(sorted(asked.volumes or ())),
        working_dir=asked.working_dir or "",
        entrypoint=words(asked.entrypoint),
        on_build=words(asked.on_build),
        labels=dict(asked.labels or {}),
        stop_signal=asked.stop_signal or "",
        stop_timeout=asked.stop_timeout,
        shell=words(asked.shell),
    )
