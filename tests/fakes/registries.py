"""Implement the port for registries with one registry, which gives tokens for one user's
password.
"""

from typing import Final

from engine.domain.image.registry import Credentials, LoginRefused, Registry, RegistryUnavailable

REGISTRY: Final = Registry("registry.test", 5000)
USER: Final = "sailor"
PASSWORD: Final = "ahoy"
_IDENTITY: Final = "identity"


class FakeRegistries:
    """Knows :data:`REGISTRY` and no other."""

    async def log_in(self, registry: Registry, credentials: Credentials) -> str:
        act = f'Get "https://{registry}/v2/"'
        if registry != REGISTRY:
            raise RegistryUnavailable(f"{act}: dial tcp: lookup {registry.host}: no such host")
        if credentials.identity_token:
            granted = credentials.identity_token == _IDENTITY
        else:
            granted = (credentials.username, credentials.password) == (USER, PASSWORD)
        if not granted:
            raise LoginRefused(f"{act}: unauthorized: incorrect username or password")
        return _IDENTITY
