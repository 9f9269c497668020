"""Log in to registries."""

from engine.domain.event import Origin
from engine.domain.image.registry import Credentials, RegistryLoggedIn, parse_registry
from engine.domain.streams import HOST
from engine.ports.registries import Registries as Port
from engine.store.ledger import Ledger


class Registries:
    """Logs in to registries. The log keeps who logged in where, and no password."""

    def __init__(self, ledger: Ledger, port: Port) -> None:
        self._ledger = ledger
        self._port = port

    async def log_in(self, address: str, credentials: Credentials, origin: Origin) -> str:
        """Let a registry check credentials.

        Returns:
            An identity token to use instead of the password from now on, or nothing.

        Raises:
            InvalidRequest: the address names no registry.
            LoginRefused: it does not take them.
            RegistryUnavailable: the registry does not answer.
        """
        registry = parse_registry(address)
        token = await self._port.log_in(registry, credentials)
        event = RegistryLoggedIn(registry=str(registry), username=credentials.username)
        await self._ledger.record(origin, (HOST, (event,)))
        return token
