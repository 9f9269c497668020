"""Declare the port for image registries."""

from typing import Protocol

from engine.domain.image.registry import Credentials, Registry


class Registries(Protocol):
    """Speaks to registries; each request names its registry."""

    async def log_in(self, registry: Registry, credentials: Credentials) -> str:
        """Check a user's credentials with a registry.

        Returns:
            An identity token to use instead of the password from now on, or nothing.

        Raises:
            LoginRefused: it does not.
            RegistryUnavailable: the registry does not answer.
        """
        ...
