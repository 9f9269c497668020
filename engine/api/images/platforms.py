"""Parse platforms: ``linux/amd64`` in a query, or JSON since API 1.48; this engine has only the
machine's.
"""

import platform
import re
from typing import Final

from engine.api.http.json_bodies import Wire, decode_json
from engine.api.http.requests import Request
from engine.domain.image.state import Image
from engine.errors import InvalidRequest, NotFound, Unsupported

ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
"""The machine in Go's words."""
_PART: Final = re.compile(r"[A-Za-z0-9_.-]+")


class PlatformBody(Wire, frozen=True, kw_only=True, rename="lower"):
    """OCI's Platform, as far as it chooses between images."""

    os: str = ""
    architecture: str = ""


def our_architecture() -> str:
    """Return this machine's architecture."""
    machine = platform.machine()
    return ARCHITECTURES.get(machine, machine)


def check_platform_for_import(text: str) -> None:
    """Refuse to make an image for another machine than this.

    Raises:
        InvalidRequest: it is no platform.
        Unsupported: it is another one.
    """
    if not text:
        return
    parts = text.lower().split("/")
    if len(parts) > 3 or not all(map(_PART.fullmatch, parts)):
        raise InvalidRequest(f'"{text}": cannot parse platform specifier: invalid argument')
    if not set(parts[:2]) <= {"linux", our_architecture(), platform.machine()}:
        raise Unsupported(f"importing for another platform is not supported yet: {text}")


def check_platform(request: Request, image: Image) -> None:
    """Refuse an image for another platform than was asked for.

    Raises:
        InvalidRequest: what was asked for is no platform.
        NotFound: the image is for another.
    """
    for text in (*request.query.texts("platform"), *request.query.texts("platforms")):
        if not text:
            continue
        asked = decode_json(text.encode(), PlatformBody)
        if (asked.os, asked.architecture) != (image.contents.os, image.contents.architecture):
            name = request.params.get("name", image.id)
            raise NotFound(
                f"image with reference {name} was found but does not provide the specified platform"
                f" ({asked.os}/{asked.architecture})"
            )
