"""Handle ``docker login``: ask the registry; the client keeps the credentials."""

from engine.api.http.json_bodies import Wire, read_json
from engine.api.http.operations import Operation
from engine.api.http.replies import Reply, json_answer
from engine.api.http.requests import Request
from engine.api.http.router import Route
from engine.api.system.answers import LoggedIn
from engine.domain.image.registry import Credentials
from engine.service.engine import Service


class AuthBody(Wire, frozen=True, kw_only=True, rename="lower"):
    """AuthConfig; its fields are written in lower case alone."""

    username: str | None = None
    password: str | None = None
    serveraddress: str | None = None
    identitytoken: str | None = None


class AuthHandlers:
    """Handles logins to registries."""

    def __init__(self, service: Service) -> None:
        self._registries = service.registries

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of these handlers."""
        return (
            Route(
                "POST",
                "/auth",
                self.log_in,
                Operation(
                    summary="Check credentials with a registry.",
                    body=AuthBody,
                    answers={200: LoggedIn},
                    refusals=(401, 403, 404),
                ),
            ),
        )

    async def log_in(self, request: Request) -> Reply:
        """Handle ``docker login``: SystemAuthResponse."""
        asked = await read_json(request, AuthBody)
        credentials = Credentials(
            username=asked.username or "",
            password=asked.password or "",
            identity_token=asked.identitytoken or "",
        )
        token = await self._registries.log_in(
            asked.serveraddress or "", credentials, request.origin
        )
        return json_answer({"IdentityToken": token, "Status": "Login Succeeded"})
