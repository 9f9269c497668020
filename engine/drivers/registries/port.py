"""Answer the port for registries, from the daemon's network namespace.

Registries on this machine may use plain HTTP, or TLS with any certificate: nothing leaves the
machine. All others must prove their identity with a certificate of the machine's authorities or of
those in ``/etc/docker/certs.d/HOST[:PORT]``.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.domain.image.registry import Credentials, Registry, RegistryUnavailable
from engine.drivers.lanes import Lane, Lanes

if TYPE_CHECKING:
    import ssl

CERTIFICATES: Final = Path("/etc/docker/certs.d")
"""Where administrators already store certificates: one directory per registry, each ``*.crt`` an
authority.
"""


class LinuxRegistries:
    """The port for registries."""

    def __init__(self, lanes: Lanes, certificates: Path = CERTIFICATES) -> None:
        self._lanes = lanes
        self._certificates = certificates

    async def log_in(self, registry: Registry, credentials: Credentials) -> str:
        """Log in to a registry with a user's credentials. A refusal is final; without an answer the
        next scheme is tried.

        The modules for HTTP are imported by the first login, because few daemons ever need them.
        """
        from engine.drivers.registries.login import Login

        unavailable: RegistryUnavailable | None = None
        for scheme in ("https", "http") if registry.is_local else ("https",):
            try:
                return await Login(scheme, registry, credentials, self._trust).attempt()
            except RegistryUnavailable as failed:
                unavailable = failed
        assert unavailable is not None, "https was tried"
        raise unavailable

    async def _trust(self, server: Registry) -> "ssl.SSLContext":
        prepare = partial(_tls, server, self._certificates / str(server))
        return await self._lanes.run(Lane.DISK, prepare)


def _tls(server: Registry, certificates: Path) -> "ssl.SSLContext":
    """Create the TLS settings for a server; reads a few hundred certificates.

    Raises:
        RegistryUnavailable: a certificate in the registry's directory can't be used.
    """
    import ssl

    if server.is_local:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context = ssl.create_default_context()
    try:
        for authority in sorted(certificates.glob("*.crt")):
            context.load_verify_locations(authority)
    except (OSError, ValueError) as unusable:
        raise RegistryUnavailable(
            f"certificates in {certificates} can't be used: {unusable}"
        ) from unusable
    return context
