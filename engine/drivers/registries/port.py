"""Answer the port for registries, from the daemon's network namespace.

Registries on this machine may speak plain HTTP, or TLS with any certificate: what never leaves the
machine needs no proof. All others must prove who they are, to the machine's authorities or to those
in ``/etc/docker/certs.d/HOST[:PORT]``.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.domain.image.registry import Credentials, Registry, RegistryUnavailable
from engine.drivers.lanes import Lane, Lanes

if TYPE_CHECKING:
    import ssl

CERTIFICATES: Final = Path("/etc/docker/certs.d")
"""Where administrators put them already; a directory a registry, ``*.crt`` an authority."""


class LinuxRegistries:
    """Speaks to registries."""

    def __init__(self, lanes: Lanes, certificates: Path = CERTIFICATES) -> None:
        self._lanes = lanes
        self._certificates = certificates

    async def log_in(self, registry: Registry, credentials: Credentials) -> str:
        """Find out whether a registry takes somebody's credentials; a refusal is final, silence is
        not.

        The modules that speak HTTP are imported by the first login: few daemons ever see one.
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
    """Reads a few hundred certificates.

    Raises:
        RegistryUnavailable: a certificate of an administrator's can't be used.
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
