"""Parse image references: the grammar, and the short forms.

``busybox`` means ``docker.io/library/busybox:latest``: inside the engine a reference is always
whole (*canonical*), towards people it is as short as can be (*familiar*). The grammar is that of
the OCI distribution project, ``reference`` package:

    reference  = name [ ":" tag ] [ "@" digest ]
    name       = [ domain "/" ] component *( "/" component )
    component  = lower-case letters and digits, joined by one of  .  _  __  or any number of  -
    tag        = one word character, then up to 127 of word characters, "." and "-"
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from engine.domain.ids import Digest
from engine.errors import InvalidRequest

DEFAULT_DOMAIN: Final = "docker.io"
DEFAULT_TAG: Final = "latest"
_OLD_DEFAULT_DOMAIN: Final = "index.docker.io"
_OFFICIAL: Final = "library/"
_NAME_LENGTH_MAX: Final = 255
_DIGEST_ALGORITHM: Final = "sha256"

_LABEL: Final = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST: Final = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_COMPONENT: Final = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_TAG: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST: Final = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE: Final = re.compile(
    rf"(?P<domain>{_HOST})/(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?"
)
_SHA256: Final = re.compile(r"sha256:[0-9a-f]{64}")
_HEX_ID: Final = re.compile(r"[0-9a-f]{64}")


class InvalidReference(InvalidRequest):
    """The text is no reference by the grammar above; the message is Docker's."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference. ``str()`` of it is canonical; without tag and digest it names a
    repository.
    """

    domain: str
    path: str
    tag: str | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        return self.name + self._suffix

    @property
    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{tag}@{self.digest}" if self.digest else tag

    @property
    def name(self) -> str:
        """Return the whole repository: ``docker.io/library/busybox``."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """Return the repository as people write it: ``busybox``."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        rest = self.path.removeprefix(_OFFICIAL)
        return self.path if "/" in rest else rest

    @property
    def familiar(self) -> str:
        """Return the shortest form that parses to the same reference."""
        return self.familiar_name + self._suffix

    @property
    def tagged(self) -> "Reference":
        """Return the reference with ``latest`` if it has neither tag nor digest."""
        return self if self.tag or self.digest else replace(self, tag=DEFAULT_TAG)


def parse_reference(text: str) -> Reference:
    """Parse a reference in its short or whole form.

    Raises:
        InvalidReference: ``text`` breaks the grammar, or is 64 hexadecimal digits, which are an
            image's ID.
    """
    if _HEX_ID.fullmatch(text):
        raise InvalidReference(
            f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
        )
    domain, rest = _split_domain(text)
    path = re.split("[:@]", rest, maxsplit=1)[0]
    if path != path.lower():
        raise InvalidReference(
            f"invalid reference format: repository name ({path}) must be lowercase"
        )
    match = _REFERENCE.fullmatch(f"{domain}/{rest}")
    if match is None:
        raise InvalidReference("invalid reference format")
    if len(path) > _NAME_LENGTH_MAX:
        raise InvalidReference(
            f"repository name must not be more than {_NAME_LENGTH_MAX} characters"
        )
    digest = match["digest"]
    if digest is not None and not _SHA256.fullmatch(digest):
        raise InvalidReference("invalid reference format")
    return Reference(
        match["domain"], match["path"], match["tag"], Digest(digest) if digest else None
    )


def parse_repository(repository: str, tag: str) -> Reference:
    """Parse a repository and a tag that the API passes separately (``?repo=…&tag=…``); no tag means
    ``latest``.

    Raises:
        InvalidReference: either breaks the grammar; "invalid tag format" for the tag.
        InvalidRequest: the repository brings a digest, which no tag can point at, or is called as
            digests begin.
    """
    reference = parse_reference(repository)
    if reference.digest:
        raise InvalidRequest("refusing to create a tag with a digest reference")
    if reference.familiar_name == _DIGEST_ALGORITHM:
        raise InvalidRequest("refusing to create an ambiguous tag using digest algorithm as name")
    if not tag:
        return reference.tagged
    if not re.fullmatch(_TAG, tag):
        raise InvalidReference("invalid tag format")
    return replace(reference, tag=tag)


def _split_domain(text: str) -> tuple[str, str]:
    """Split off the registry: a first part is a registry if it has a dot, a port, a capital, or is
    ``localhost``.
    """
    first, slash, rest = text.partition("/")
    if not slash or not (set(".:") & set(first) or first == "localhost" or first != first.lower()):
        first, rest = DEFAULT_DOMAIN, text
    if first == _OLD_DEFAULT_DOMAIN:
        first = DEFAULT_DOMAIN
    if first == DEFAULT_DOMAIN and "/" not in rest:
        rest = _OFFICIAL + rest
    return first, rest
