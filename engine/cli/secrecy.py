"""Whether TLS is wanted towards the engine, and with which files: options and variables as Docker's
client has them.

``--tlsverify`` or DOCKER_TLS_VERIFY wants it, and the engine's certificate checked; ``--tls`` or
DOCKER_TLS wants it unchecked. Files are ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH or
``~/.docker``; there, one that does not exist is not used.
"""

import os
from typing import Final, NamedTuple

from engine.cli.flags import Flag, Options, switch, text

FLAGS: Final[tuple[Flag, ...]] = (
    switch("tls", "", ""),
    switch("tlsverify", "", ""),
    text("tlscacert", "", ""),
    text("tlscert", "", ""),
    text("tlskey", "", ""),
)


class TlsWishes(NamedTuple):
    """Paths of PEM files; an empty one is none."""

    verify: bool
    authority: str
    certificate: str
    key: str


def tls_wishes(options: Options) -> TlsWishes | None:
    """What is wanted of a TCP connection; None for plain bytes."""
    named = [options.text(name) for name in ("tlscacert", "tlscert", "tlskey")]
    verify = options.on("tlsverify") or bool(os.environ.get("DOCKER_TLS_VERIFY"))
    if not (verify or options.on("tls") or any(named) or os.environ.get("DOCKER_TLS")):
        return None
    directory = os.environ.get("DOCKER_CERT_PATH") or os.path.expanduser("~/.docker")  # noqa: PTH111  (pathlib costs 10 ms)
    usual = [f"{directory}/{name}.pem" for name in ("ca", "cert", "key")]
    authority, certificate, key = (
        given or (path if os.path.exists(path) else "")  # noqa: PTH110  (likewise)
        for given, path in zip(named, usual, strict=True)
    )
    return TlsWishes(verify, authority, certificate, key)
