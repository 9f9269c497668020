"""Parse ``platform=OS[/ARCHITECTURE[/VARIANT]]``."""

import re
from collections.abc import Mapping
from typing import Final

from engine.domain.image.state import Image
from engine.errors import InvalidRequest, NotFound

_PART: Final = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_SYSTEMS: Final = ("linux", "windows", "darwin", "freebsd")
_OTHER_NAMES: Final[Mapping[str, tuple[str, str]]] = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
"""Other names for the same machines, and the variant that a name implies."""


def check_platform(requested: str, image: Image, reference: str) -> None:
    """Refuse an image for another platform than the requested one.

    Raises:
        InvalidRequest: no platform can be meant.
        NotFound: the image is for another one; clients pull the right one then.
    """
    if not requested:
        return
    contents = image.contents
    system, architecture, variant = _parse(requested, contents.architecture)
    found = (contents.os or "linux", contents.architecture, contents.variant)
    if (system, architecture) == found[:2] and variant in ("", found[2] or variant):
        return
    raise NotFound(
        f"image with reference {reference} was found but does not match the specified platform: "
        f"wanted {_text(system, architecture, variant)}, actual: {_text(*found)}"
    )


def _parse(text: str, here: str) -> tuple[str, str, str]:
    parts = text.lower().split("/")
    if len(parts) > 3 or not all(map(_PART.fullmatch, parts)):
        raise InvalidRequest(f'"{text}": cannot parse platform specifier: invalid argument')
    if parts[0] not in _SYSTEMS:
        if len(parts) == 3:
            raise InvalidRequest(
                f'"{text}": unknown operating system or architecture: invalid argument'
            )
        parts.insert(0, "linux")
    system, name, variant = (*parts, "", "")[:3]
    architecture, implied = _OTHER_NAMES.get(name, (name or here, ""))
    return system, architecture, variant or implied


def _text(*parts: str) -> str:
    return "/".join(part for part in parts if part)
