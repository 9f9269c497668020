"""Networks, to look at: the three that every engine has."""

from typing import Final

from engine.api.filters import parse_filters
from engine.api.replies import Reply, json_answer
from engine.api.requests import Request
from engine.api.router import Route
from engine.api.shapes_network import network_json
from engine.domain.network import Network
from engine.service.engine import Service

_KNOWN: Final = frozenset({"dangling", "driver", "id", "label", "name", "scope", "type"})


class NetworkHandlers:
    """What containers are connected to."""

    def __init__(self, service: Service) -> None:
        self._system = service.system

    def routes(self) -> tuple[Route, ...]:
        """Who answers what."""
        return (("GET", "/networks", self.list), ("GET", "/networks/{id}", self.inspect))

    async def list(self, request: Request) -> Reply:
        """``docker network ls``."""
        filters = parse_filters(request.query.text("filters"), _KNOWN)
        return json_answer(
            [
                network_json(network, self._system.connected(network))
                for network in self._system.networks()
                if filters.pattern("name", network.name)
                and filters.pattern("id", network.id)
                and filters.exact("driver", network.driver)
                and filters.exact("scope", "local")
                and filters.exact("type", "builtin")
                and filters.labels({})
                and filters.any_of("dangling", lambda value: value in ("0", "false"))
            ]
        )

    async def inspect(self, request: Request) -> Reply:
        """``docker network inspect``."""
        network = self._find(request.params["id"])
        return json_answer(network_json(network, self._system.connected(network)))

    def _find(self, word: str) -> Network:
        """By name, ID, or the unique beginning of an ID."""
        beginning = [network for network in self._system.networks() if network.id.startswith(word)]
        return beginning[0] if len(beginning) == 1 else self._system.network(word)
