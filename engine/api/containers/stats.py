"""Handle ``GET /containers/{name}/stats``: usage once, or every second."""

from contextlib import aclosing

from engine.api.containers.show_stats import stats_json
from engine.api.containers.stats_answers import ContainerStats
from engine.api.http.operations import Lines, Operation, flag
from engine.api.http.replies import JSON, Reply, Sink, Streamed, json_answer, json_line
from engine.api.http.requests import Request
from engine.api.http.router import Route
from engine.errors import InvalidRequest
from engine.service.engine import Service


class StatsHandlers:
    """Handles resource usage."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of these handlers."""
        return (
            Route(
                "GET",
                "/containers/{name}/stats",
                self.stats,
                Operation(
                    summary="Tell what a container uses, once or every second.",
                    query=(
                        flag("stream", "Every second; true if absent."),
                        flag("one-shot", "At once, without rates."),
                    ),
                    answers={200: Lines(ContainerStats)},
                    refusals=(404,),
                ),
            ),
        )

    async def stats(self, request: Request) -> Reply:
        """Handle ``docker stats``."""
        reference, query = request.params["name"], request.query
        is_stream, is_one_shot = query.flag("stream", default=True), query.flag("one-shot")
        if is_stream and is_one_shot:
            raise InvalidRequest("cannot have stream=true and one-shot=true")
        statistics = self._service.statistics
        if not is_stream:
            reading = await statistics.once(reference, with_rates=not is_one_shot)
            return json_answer(stats_json(reading))
        self._service.containers.get(reference)  # refuse before the head is sent

        async def produce(send: Sink) -> None:
            async with aclosing(statistics.follow(reference)) as readings:
                async for reading in readings:
                    await send(json_line(stats_json(reading)))

        return Streamed(produce, JSON, endless=True)
