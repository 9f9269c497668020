"""Find the handler of a method and path.

Routes are templates: ``/containers/{name}/json``, where a variable part matches one or more
segments, because image names have slashes. As in Docker, the first route that fits wins, a path is
decoded before it is matched, and ``OPTIONS`` of any path gets an empty answer.
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NamedTuple
from urllib.parse import unquote

from engine.api.http.operations import Operation
from engine.api.http.replies import PLAIN_TEXT, Answer, Reply
from engine.api.http.requests import ApiVersion, Query, Request
from engine.errors import InvalidRequest, NotFound

VERSION_MIN: Final[ApiVersion] = (1, 24)
VERSION_MAX: Final[ApiVersion] = (1, 51)

Handler = Callable[[Request], Awaitable[Reply]]

_VERSIONED: Final = re.compile(r"/v([0-9.]+)(/.*)", re.DOTALL)
_VARIABLE: Final = re.compile(r"\\{(\w+)\\}")
_SLASHES: Final = re.compile(r"//+")
_SEEN_MAX: Final = 1024
"""How many paths are remembered: a path can be written in many ways, but clients use few."""


class Route(NamedTuple):
    """A method and a path, their handler, and what it accepts and answers."""

    method: str
    template: str
    handler: Handler
    operation: Operation


def version_text(version: ApiVersion) -> str:
    """Return a version as in a path: ``1.51``."""
    return ".".join(map(str, version))


class VersionTooOld(InvalidRequest):
    """The version is from before errors were JSON: such clients read plain text."""


class Router:
    """Finds the handler of a request: by one look into a dictionary, or by a few regular
    expressions.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[tuple[str, str], Handler] = {}
        self._seen: dict[tuple[str, str], tuple[Handler, ApiVersion]] = {}
        """Handlers by method and path with its version, for routes without variable parts."""
        self._variable: dict[tuple[str, str], list[tuple[re.Pattern[str], Handler]]] = {}
        for method, template, handler, _ in routes:
            if "{" not in template:
                self._exact[method, template] = handler
                continue
            pattern = _VARIABLE.sub(r"(?P<\1>.+)", re.escape(template))
            family = self._variable.setdefault((method, _family(template)), [])
            family.append((re.compile(pattern, re.DOTALL), handler))

    async def answer(self, request: Request) -> Reply:
        """Set the request's version, query and parameters, and let its handler answer.

        Raises:
            NotFound: no such path, or not with this method: Docker makes no difference.
            InvalidRequest: a version that this API does not speak.
        """
        path, _, query = _origin_form(request.target).partition("?")
        if query:
            request.query = Query(query)
        seen = self._seen.get((request.method, path))
        if seen is not None:
            handler, request.version = seen
            return await handler(request)
        return await self._look_up(request, path)

    async def _look_up(self, request: Request, asked: str) -> Reply:
        path = asked
        if "%" in path:
            path = unquote(path)
        if "//" in path:
            path = _SLASHES.sub("/", path)
        try:
            request.version, path = split_version(path)
        except VersionTooOld as refused:
            return Answer(400, f"{refused}\n".encode(), PLAIN_TEXT)
        if request.method == "OPTIONS":
            return Answer(200)
        handler, request.params = self.find(request.method, path)
        if not request.params and len(self._seen) < _SEEN_MAX:
            self._seen[request.method, asked] = handler, request.version
        return await handler(request)

    def find(self, method: str, path: str) -> tuple[Handler, dict[str, str]]:
        """Return the handler, and what the variable parts of the path matched."""
        handler = self._exact.get((method, path))
        if handler is not None:
            return handler, {}
        for pattern, candidate in self._variable.get((method, _family(path)), ()):
            if match := pattern.fullmatch(path):
                return candidate, match.groupdict()
        raise NotFound("page not found")


def split_version(path: str) -> tuple[ApiVersion, str]:
    """Return the API version that a path begins with, ours if none, and the rest of the path.

    Raises:
        InvalidRequest: it is too new.
        VersionTooOld: it is too old.
    """
    match = _VERSIONED.match(path)
    if match is None:
        return VERSION_MAX, path
    text, rest = match.groups()
    version = _parse_version(text)
    if version > VERSION_MAX:
        ours = version_text(VERSION_MAX)
        raise InvalidRequest(
            f"client version {text} is too new. Maximum supported API version is {ours}"
        )
    if version < VERSION_MIN:
        raise VersionTooOld(
            f"client version {text} is too old. Minimum supported API version is {version_text(VERSION_MIN)},"
            " please upgrade your client to a newer version"
        )
    return version, rest


def _parse_version(text: str) -> ApiVersion:
    """Parse a version: an absent or empty part is zero, and zeros at the end are dropped."""
    parts = [int(part or 0) for part in text[:32].split(".")]
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)


def _family(path: str) -> str:
    """Return the first segment, which is variable in no template."""
    return path[1 : path.find("/", 1)] if path.find("/", 1) > 0 else path[1:]


def _origin_form(target: str) -> str:
    """Return a target without scheme and authority, which a client may send too: RFC 9112 section
    3.2.2.
    """
    if target.startswith("/"):
        return target
    _, scheme, rest = target.partition("://")
    return f"/{rest.partition('/')[2]}" if scheme else f"/{target}"
