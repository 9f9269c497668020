"""Log in to a registry: answer its challenges.

    GET /v2/ ──▶ 200                    no credentials needed
             ──▶ 401, Basic             GET /v2/ with the password
             ──▶ 401, Bearer realm="…"  the realm exchanges the password for a token;
                                        GET /v2/ with the token

The realm is a URL that the registry names, so the password may be sent to another server: only
encrypted, or only within this machine.
"""

import base64
import re
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode, urlsplit

import msgspec

from engine.domain.image.registry import (
    Credentials,
    LoginRefused,
    Registry,
    RegistryUnavailable,
    parse_registry,
)
from engine.drivers.registries.http import Answer, Question, ask
from engine.errors import InvalidRequest

_CLIENT_ID: Final = "docker"
"""The client ID that token services know."""
_CHALLENGE: Final = re.compile(r"\s*(?P<scheme>[A-Za-z0-9!#$%&'*+.^_`|~-]+)(?:\s+(?P<rest>.*))?", re.DOTALL)  # fmt: skip
_PARAMETER: Final = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_URL: Final = re.compile(r"https?://[!-~]+")
_REFUSALS: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


Trust = Callable[[Registry], Awaitable[ssl.SSLContext]]
"""Returns how a server's certificate must be verified."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a server demands before it answers: RFC 9110 section 11.3."""

    scheme: str
    """In lower case."""
    parameters: Mapping[str, str]


class _Token(msgspec.Struct, frozen=True):
    token: str = ""
    access_token: str = ""
    refresh_token: str = ""


class _Problem(msgspec.Struct, frozen=True):
    message: str = ""


class _Problems(msgspec.Struct, frozen=True):
    details: str = ""
    errors: list[_Problem] = []


def challenges_of(answer: Answer) -> Iterator[Challenge]:
    """Yield the challenges of an answer, one per header, as registries send them."""
    for header in answer.challenges:
        if match := _CHALLENGE.fullmatch(header):
            found = _PARAMETER.findall(match["rest"] or "")
            parameters = {name.lower(): _unquoted(quoted) or bare for name, quoted, bare in found}
            yield Challenge(match["scheme"].lower(), parameters)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


class Login:
    """One attempt at a registry with one scheme, ``http`` or ``https``."""

    def __init__(
        self, scheme: str, registry: Registry, credentials: Credentials, trust: Trust
    ) -> None:
        self._url = f"{scheme}://{registry}/v2/"
        self._registry = registry
        self._credentials = credentials
        self._trust = trust

    async def attempt(self) -> str:
        """Log in; return the identity token, or an empty string.

        Raises:
            LoginRefused, RegistryUnavailable.
        """
        answer = await self._ask()
        identity = ""
        if answer.status == HTTPStatus.UNAUTHORIZED:
            authorization, identity = await self._answer_challenge(tuple(challenges_of(answer)))
            answer = await self._ask(authorization)
        if answer.status != HTTPStatus.OK:
            raise self._failed(answer)
        return identity

    async def _answer_challenge(self, challenges: tuple[Challenge, ...]) -> tuple[str, str]:
        """Answer the challenges; return the value of the Authorization header, and the identity
        token.
        """
        by_scheme = {challenge.scheme: challenge for challenge in challenges}
        if bearer := by_scheme.get("bearer"):
            token = await self._token(bearer)
            given = token.token or token.access_token
            return f"Bearer {given}", token.refresh_token
        if "basic" not in by_scheme:
            raise LoginRefused(f'Get "{self._url}": no supported authentication scheme')
        if not (self._credentials.username and self._credentials.password):
            raise LoginRefused(f'Get "{self._url}": no basic auth credentials')
        return self._basic(), ""

    def _basic(self) -> str:
        pair = f"{self._credentials.username}:{self._credentials.password}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    async def _token(self, challenge: Challenge) -> _Token:
        realm = challenge.parameters.get("realm", "")
        server = self._checked_realm(realm)
        service = challenge.parameters.get("service", "")
        tls = await self._trust(server) if realm.startswith("https:") else None
        answer = await ask(self._question(realm, service, tls))
        if answer.status != HTTPStatus.OK:
            raise self._refused(answer)
        try:
            token = msgspec.json.decode(answer.body, type=_Token)
        except (msgspec.DecodeError, UnicodeDecodeError) as malformed:
            raise RegistryUnavailable(
                f'Get "{self._url}": unable to decode token response'
            ) from malformed
        text = token.token or token.access_token
        if not text or not text.isascii() or not text.isprintable():
            raise RegistryUnavailable(
                f'Get "{self._url}": authorization server did not include a token in the response'
            )
        return token

    def _question(self, realm: str, service: str, tls: ssl.SSLContext | None) -> Question:
        """Build the request for a token. An identity token is exchanged, a password presented:
        distribution's token and OAuth specifications.
        """
        if self._credentials.identity_token:
            form = {
                "client_id": _CLIENT_ID,
                "grant_type": "refresh_token",
                "refresh_token": self._credentials.identity_token,
                "scope": "",
                "service": service,
            }
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            body = urlencode(form).encode()
            return Question(url=realm, method="POST", headers=headers, body=body, tls=tls)
        query = {"account": self._credentials.username, "client_id": _CLIENT_ID}
        query |= {"offline_token": "true", "service": service}
        asked = urlencode({name: value for name, value in query.items() if value})
        headers = {"Authorization": self._basic()} if self._credentials.username else {}
        joint = "&" if "?" in realm else "?"
        return Question(url=f"{realm}{joint}{asked}", headers=headers, tls=tls)

    def _checked_realm(self, realm: str) -> Registry:
        """Return the server of a realm, if a password may be sent to it.

        Raises:
            RegistryUnavailable: it may not, or the realm is not a URL.
        """
        scheme = urlsplit(realm).scheme if _URL.fullmatch(realm) else ""
        try:
            server = parse_registry(realm)
        except InvalidRequest:
            scheme = ""
        if scheme == "https" or (scheme == "http" and server.is_local and self._registry.is_local):
            return server
        raise RegistryUnavailable(
            f'Get "{self._url}": the registry wants the password sent to {realm!r}, where it would not be safe'
        )

    async def _ask(self, authorization: str = "") -> Answer:
        headers = {"Authorization": authorization} if authorization else {}
        tls = await self._trust(self._registry) if self._url.startswith("https:") else None
        return await ask(Question(url=self._url, headers=headers, tls=tls))

    def _refused(self, answer: Answer) -> LoginRefused | RegistryUnavailable:
        """Build the error for a token service's refusal, from its explanation."""
        reason = _reason(answer)
        if answer.status in _REFUSALS or answer.status == HTTPStatus.BAD_REQUEST:
            return LoginRefused(
                f'Get "{self._url}": unauthorized: {reason or "incorrect username or password"}'
            )
        return RegistryUnavailable(
            f'Get "{self._url}": the token service answered {answer.status_text}'
        )

    def _failed(self, answer: Answer) -> LoginRefused | RegistryUnavailable:
        words = f"login attempt to {self._url} failed with status: {answer.status_text}"
        return LoginRefused(words) if answer.status in _REFUSALS else RegistryUnavailable(words)


def _reason(answer: Answer) -> str:
    """Return the explanation in a registry's error; empty if there is none."""
    try:
        problems = msgspec.json.decode(answer.body, type=_Problems)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    said = problems.details or ", ".join(each.message for each in problems.errors if each.message)
    return said[:500]
