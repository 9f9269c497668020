"""Handle ``GET /openapi.json``; the document is made at the first request."""

from collections.abc import Sequence

from engine.api.http.json_bodies import Json
from engine.api.http.operations import Operation
from engine.api.http.replies import Answer, Reply, json_answer
from engine.api.http.requests import Request
from engine.api.http.router import Route


def description_routes(described: Sequence[Route]) -> tuple[Route, ...]:
    """Return the route that answers with the description of these routes, and of itself."""
    made: list[Answer] = []

    async def describe_api(_request: Request) -> Reply:
        if not made:
            from engine.api.openapi.description import (
                describe,
            )  # imported when it is first asked for

            made.append(json_answer(describe((*described, own))))
        return made[0]

    own = Route(
        "GET",
        "/openapi.json",
        describe_api,
        Operation(summary="Describe this API, as OpenAPI 3.1.", answers={200: Json}),
    )
    return (own,)
