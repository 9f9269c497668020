"""Choose TLS towards the engine, and its files, by options and variables as Docker's client does.

``--tlsverify`` or DOCKER_TLS_VERIFY turns TLS on and checks the engine's certificate; ``--tls`` or
DOCKER_TLS turns it on without the check. Files are ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH
or ``~/.docker``; there, a missing file is ignored.
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


class TlsOptions(NamedTuple):
    """Paths of PEM files; empty for none."""

    verify: bool
    authority: str
    certificate: str
    key: str


def tls_options(options: Options) -> TlsOptions | None:
    """Return the TLS options of a TCP connection; None for no TLS."""
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
    return TlsOptions(verify, authority, certificate, key)
