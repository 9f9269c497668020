"""Make certificates for tests: an authority, a server and clients, with trustme."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import trustme


@dataclass(frozen=True)
class Certificates:
    """Files below ``directory``, named as Docker's commands expect them: ``ca.pem``, ``cert.pem``,
    ``key.pem``.
    """

    directory: Path
    authority: trustme.CA

    @classmethod
    def make(cls, directory: Path) -> Self:
        """Make an authority, a certificate for ``localhost`` in ``server``, and one of anna's in
        ``client``.
        """
        made = cls(directory, trustme.CA(key_type=trustme.KeyType.ECDSA))
        made.issue("server", "localhost", "127.0.0.1")
        made.issue("client", "anna@example.org", name="anna")
        return made

    def issue(self, place: str, *identities: str, name: str | None = None) -> Path:
        """Make a certificate with its key, and the authority's, in a directory of this name."""
        directory = self.directory / place
        directory.mkdir()
        issued = self.authority.issue_cert(
            *identities, common_name=name, key_type=trustme.KeyType.ECDSA
        )
        self.authority.cert_pem.write_to_path(str(directory / "ca.pem"))
        issued.private_key_pem.write_to_path(str(directory / "key.pem"))
        (directory / "cert.pem").write_bytes(
            b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        )
        return directory

    def options(self) -> list[str]:
        """Return the daemon's options."""
        server = self.directory / "server"
        return [
            "--tlsverify",
            *("--tlscacert", str(server / "ca.pem")),
            *("--tlscert", str(server / "cert.pem")),
            *("--tlskey", str(server / "key.pem")),
        ]

    def client_context(self, place: str | None = "client") -> ssl.SSLContext:
        """Return a client's TLS settings, with a certificate or None."""
        context = ssl.create_default_context(cafile=str(self.directory / "server" / "ca.pem"))
        if place is not None:
            directory = self.directory / place
            context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        return context
