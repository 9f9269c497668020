"""Handle create, list, inspect, remove, connect and disconnect of networks."""

from typing import Final

from engine.api.containers.spec.body import EndpointWire
from engine.api.containers.spec.networking import membership
from engine.api.filters import Filters, parse_boolean_filter, parse_filters
from engine.api.http.json_bodies import read_json
from engine.api.http.operations import Operation, filters, flag, text
from engine.api.http.replies import NO_CONTENT, Answer, Reply, json_answer
from engine.api.http.requests import Request
from engine.api.http.router import Route
from engine.api.networks import answers as network_answers
from engine.api.networks.create import (
    ConnectWire,
    DisconnectWire,
    NetworkCreateWire,
    parse_network,
)
from engine.api.networks.show import network_json
from engine.api.times import parse_until
from engine.domain.booleans import parse_bool
from engine.domain.network.decisions import PREDEFINED
from engine.domain.network.state import Network
from engine.errors import InvalidRequest, NotFound
from engine.service.engine import Service

_LIST_FILTERS: Final = frozenset({"dangling", "driver", "id", "label", "name", "scope", "type"})
_PRUNE_FILTERS: Final = frozenset({"label", "label!", "until"})
_TYPES: Final = frozenset({"builtin", "custom"})


class NetworkHandlers:
    """Handles networks."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._networks = service.networks

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of these handlers."""
        return (
            Route(
                "GET",
                "/networks",
                self.list,
                Operation(
                    summary="List networks.",
                    query=(filters(*_LIST_FILTERS),),
                    answers={200: list[network_answers.Network]},
                ),
            ),
            Route(
                "POST",
                "/networks/create",
                self.create,
                Operation(
                    summary="Create a network.",
                    body=NetworkCreateWire,
                    answers={201: network_answers.NetworkCreated},
                    refusals=(403, 404, 409),
                ),
            ),
            Route(
                "POST",
                "/networks/prune",
                self.prune,
                Operation(
                    summary="Remove the networks that nobody uses.",
                    query=(filters(*_PRUNE_FILTERS),),
                    answers={200: network_answers.NetworksPruned},
                ),
            ),
            Route(
                "POST",
                "/networks/{id}/connect",
                self.connect,
                Operation(
                    summary="Connect a container to a network.",
                    body=ConnectWire,
                    answers={200: None},
                    refusals=(403, 404, 409),
                ),
            ),
            Route(
                "POST",
                "/networks/{id}/disconnect",
                self.disconnect,
                Operation(
                    summary="Disconnect a container from a network.",
                    body=DisconnectWire,
                    answers={200: None},
                    refusals=(403, 404, 409),
                ),
            ),
            Route(
                "GET",
                "/networks/{id}",
                self.inspect,
                Operation(
                    summary="Inspect a network.",
                    query=(
                        flag("verbose"),
                        text("scope", "local, or nothing is found."),
                    ),
                    answers={200: network_answers.Network},
                    refusals=(404,),
                ),
            ),
            Route(
                "DELETE",
                "/networks/{id}",
                self.remove,
                Operation(
                    summary="Remove a network.", answers={204: None}, refusals=(403, 404, 409)
                ),
            ),
        )

    async def list(self, request: Request) -> Reply:
        """Handle ``docker network ls``."""
        requested = parse_filters(request.query.text("filters"), _LIST_FILTERS)
        dangling = _dangling(requested)
        for value in requested.values("type"):
            if value not in _TYPES:
                raise InvalidRequest(f"invalid filter: 'type'='{value}'")
        return json_answer(
            [
                network_json(network, self._networks.members(network), request.version)
                for network in self._networks.all()
                if requested.pattern("name", network.name)
                and requested.pattern("id", network.id)
                and requested.exact("driver", network.driver)
                and requested.exact("scope", "local")
                and requested.exact("type", "builtin" if network.name in PREDEFINED else "custom")
                and requested.labels(network.labels)
                and (dangling is None or dangling == self._is_dangling(network))
            ]
        )

    async def inspect(self, request: Request) -> Reply:
        """Handle ``docker network inspect``."""
        query = request.query
        verbose = query.text("verbose")
        try:
            parse_bool(verbose or "false")
        except ValueError as malformed:
            raise InvalidRequest(f"invalid value for verbose: {verbose}: {malformed}") from None
        word = request.params["id"]
        if query.text("scope", "local") not in ("", "local"):
            raise NotFound(f"network {word} not found")
        network = self._networks.get(word)
        return json_answer(network_json(network, self._networks.members(network), request.version))

    async def create(self, request: Request) -> Reply:
        """Handle ``docker network create``."""
        asked = await read_json(request, NetworkCreateWire)
        identity = await self._networks.create(parse_network(asked), request.origin)
        return json_answer({"Id": identity, "Warning": ""}, 201)

    async def connect(self, request: Request) -> Reply:
        """Handle ``docker network connect``."""
        asked = await read_json(request, ConnectWire)
        network = self._networks.get(request.params["id"])
        requested = membership(network.name, asked.endpoint_config or EndpointWire())
        await self._networks.connect(
            network.id, _container(asked.container), requested, request.origin
        )
        return Answer(200)

    async def disconnect(self, request: Request) -> Reply:
        """Handle ``docker network disconnect``."""
        asked = await read_json(request, DisconnectWire)
        await self._networks.disconnect(
            request.params["id"],
            _container(asked.container),
            request.origin,
            force=bool(asked.force),
        )
        return Answer(200)

    async def remove(self, request: Request) -> Reply:
        """Handle ``docker network rm``."""
        await self._networks.remove(request.params["id"], request.origin)
        return NO_CONTENT

    async def prune(self, request: Request) -> Reply:
        """Handle ``docker network prune``: networks that every engine has are not taken away."""
        requested = parse_filters(request.query.text("filters"), _PRUNE_FILTERS)
        limits = requested.values("until")
        if len(limits) > 1:
            raise InvalidRequest("more than one until filter specified")
        now_ns = self._service.system.wall_ns()
        before_ns = [parse_until(limit, now_ns) for limit in limits]

        def is_meant(network: Network) -> bool:
            return requested.prunes(network.labels) and all(
                network.created_ns < limit_ns for limit_ns in before_ns
            )

        deleted = await self._service.prunes.networks(is_meant, request.origin)
        return json_answer({"NetworksDeleted": deleted or None})

    def _is_dangling(self, network: Network) -> bool:
        """Return whether a network was made by a user and no container uses it."""
        return network.name not in PREDEFINED and not self._networks.members(network)


def _container(word: str | None) -> str:
    if not word:
        raise InvalidRequest('invalid name or ID supplied: ""')
    return word


def _dangling(filters: Filters) -> bool | None:
    """Return whether only unused networks are requested, or only used ones; None: all."""
    try:
        return parse_boolean_filter(filters, "dangling")
    except InvalidRequest:
        raise InvalidRequest(
            'invalid value for filter \'dangling\', must be "true" (or "1"), or "false" (or "0")'
        ) from None
