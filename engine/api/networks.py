"""Networks, to look at: the three that every engine has."""

from typing import Final

from engine.api.filters import Filters, parse_boolean_filter, parse_filters
from engine.api.http.json_bodies import Wire, read_json
from engine.api.http.replies import Reply, json_answer
from engine.api.http.requests import Request
from engine.api.http.router import Route
from engine.api.shapes.network import network_json
from engine.api.times import parse_until
from engine.domain.network import Network
from engine.errors import Forbidden, InvalidRequest, NotFound, Unsupported
from engine.service.engine import Service

_LIST_FILTERS: Final = frozenset({"dangling", "driver", "id", "label", "name", "scope", "type"})
_PRUNE_FILTERS: Final = frozenset({"label", "label!", "until"})
_TYPES: Final = frozenset({"builtin", "custom"})
_PREDEFINED: Final = frozenset({"bridge", "default", "host", "none"})
_BOOLEANS: Final = frozenset({"1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"})  # fmt: skip
"""What Go's strconv.ParseBool takes."""


class NetworkCreateBody(Wire, frozen=True, kw_only=True):
    """NetworkCreateRequest, as far as it can be wrong."""

    name: str | None = None


class MembershipBody(Wire, frozen=True, kw_only=True):
    """NetworkConnectRequest and NetworkDisconnectRequest."""

    container: str | None = None


class NetworkHandlers:
    """What containers are connected to."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._system = service.system

    def routes(self) -> tuple[Route, ...]:
        """Who answers what."""
        return (
            ("GET", "/networks", self.list),
            ("POST", "/networks/create", self.create),
            ("POST", "/networks/prune", self.prune),
            ("POST", "/networks/{id}/connect", self.connect),
            ("POST", "/networks/{id}/disconnect", self.connect),
            ("GET", "/networks/{id}", self.inspect),
            ("DELETE", "/networks/{id}", self.remove),
        )

    async def list(self, request: Request) -> Reply:
        """``docker network ls``."""
        filters = parse_filters(request.query.text("filters"), _LIST_FILTERS)
        dangling = _dangling(filters)
        for value in filters.values("type"):
            if value not in _TYPES:
                raise InvalidRequest(f"invalid filter: 'type'='{value}'")
        return json_answer(
            [
                network_json(network, self._system.connected(network), request.version)
                for network in self._system.networks()
                if filters.pattern("name", network.name)
                and filters.pattern("id", network.id)
                and filters.exact("driver", network.driver)
                and filters.exact("scope", "local")
                and filters.exact("type", "builtin")
                and filters.labels({})
                and not dangling
            ]
        )

    async def inspect(self, request: Request) -> Reply:
        """``docker network inspect``."""
        query = request.query
        verbose = query.text("verbose")
        if verbose and verbose not in _BOOLEANS:
            raise InvalidRequest(
                f'invalid value for verbose: {verbose}: strconv.ParseBool: parsing "{verbose}": invalid syntax'
            )
        word = request.params["id"]
        if query.text("scope", "local") not in ("", "local"):
            raise NotFound(f"network {word} not found")
        network = self._find(word)
        return json_answer(network_json(network, self._system.connected(network), request.version))

    async def create(self, request: Request) -> Reply:
        """``docker network create``."""
        asked = await read_json(request, NetworkCreateBody)
        name = asked.name or ""
        if not name.strip():
            raise InvalidRequest("invalid name: name is empty")
        if name in _PREDEFINED:
            raise Forbidden(f"operation is not permitted on predefined {name} network ")
        raise Unsupported("creating networks is not supported yet")

    async def connect(self, request: Request) -> Reply:
        """``docker network connect`` and ``disconnect``."""
        asked = await read_json(request, MembershipBody)
        if not asked.container:
            raise InvalidRequest('invalid name or ID supplied: ""')
        self._service.containers.get(asked.container)
        self._find(request.params["id"])
        raise Unsupported("connecting and disconnecting networks is not supported yet")

    async def remove(self, request: Request) -> Reply:
        """``docker network rm``: there is none yet that could be removed."""
        network = self._find(request.params["id"])
        raise Forbidden(f"{network.name} is a pre-defined network and cannot be removed")

    async def prune(self, request: Request) -> Reply:
        """``docker network prune``: networks that every engine has are not taken away."""
        filters = parse_filters(request.query.text("filters"), _PRUNE_FILTERS)
        limits = filters.values("until")
        if len(limits) > 1:
            raise InvalidRequest("more than one until filter specified")
        for limit in limits:
            parse_until(limit, self._service.ledger.clock.wall_ns())
        await self._system.pruned("network", 0, request.origin)
        return json_answer({"NetworksDeleted": None})

    def _find(self, word: str) -> Network:
        """By whole ID or name, then by the unique beginning of an ID."""
        try:
            return self._system.network(word)
        except NotFound:
            beginning = [each for each in self._system.networks() if each.id.startswith(word)]
            if len(beginning) == 1:
                return beginning[0]
            if beginning:
                raise InvalidRequest(
                    f"network {word} is ambiguous ({len(beginning)} matches found based on ID prefix)"
                ) from None
            raise


def _dangling(filters: Filters) -> bool:
    """Whether only networks that nothing uses are wanted: none of those that every engine has."""
    try:
        return parse_boolean_filter(filters, "dangling") or False
    except InvalidRequest:
        raise InvalidRequest(
            'invalid value for filter \'dangling\', must be "true" (or "1"), or "false" (or "0")'
        ) from None
