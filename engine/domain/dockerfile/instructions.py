"""Apply Dockerfile instructions to an image's config, as ``docker import --change`` does.

Each instruction is a function from (config, what stands behind the keyword) to the next config. The
words of the errors are Docker's.
"""

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from engine.domain.dockerfile.healthcheck import parse_healthcheck
from engine.domain.dockerfile.words import expand, split_words
from engine.domain.image.config import ImageConfig
from engine.domain.signals import parse_signal
from engine.errors import InvalidRequest

_SHELL: Final = ("/bin/sh", "-c")
_PORT: Final = re.compile(r"(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?")
_PROTOCOLS: Final = ("tcp", "udp", "sctp")
_PORT_MAX: Final = 65535
_NO_TRIGGERS: Final = ("FROM", "MAINTAINER")
CHARACTERS_MAX: Final = 1 << 20
"""How much instructions may add to a config: thirty lines ``ENV A=$A$A`` would fill the memory."""


def apply_changes(config: ImageConfig, changes: Iterable[str]) -> ImageConfig:
    """Return the config after some instructions, in order.

    Raises:
        InvalidRequest: a keyword that needs more than a config (``RUN``), arguments that don't fit,
            or instructions that may lead to more than ``CHARACTERS_MAX``.
    """
    added = 0
    text = re.sub(r"\\[ \t]*\n", "", "\n".join(changes))
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith("#"):
            continue
        keyword, _, rest = line.partition(" ")
        instruction = _INSTRUCTIONS.get(keyword.upper())
        if instruction is None:
            raise InvalidRequest(f"{keyword.lower()} is not a valid change command")
        added += _longest(line, config)
        if added > CHARACTERS_MAX:
            raise InvalidRequest(f"the changes lead to more than {CHARACTERS_MAX} characters")
        config = instruction(config, rest.strip())
    return config


def _longest(line: str, config: ImageConfig) -> int:
    """Return a bound for the length of a line with its variables replaced."""
    variables = line.count("$")
    return len(line) + (variables * max(map(len, config.env), default=0) if variables else 0)


def command_line(text: str, *, shell: Iterable[str] = _SHELL) -> tuple[str, ...]:
    """Return the arguments that CMD or ENTRYPOINT means: those of a JSON array; anything else is
    for the shell.
    """
    listed = _json_list(text)
    if listed is not None:
        return listed
    return (*shell, text) if text else ()


def _json_list(text: str) -> tuple[str, ...] | None:
    if not text.startswith("["):
        return None
    try:
        return msgspec.json.decode(text, type=tuple[str, ...])
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            "when using JSON array syntax, arrays must be comprised of strings only"
        ) from error
    except msgspec.DecodeError:
        return None


def _cmd(config: ImageConfig, rest: str) -> ImageConfig:
    return replace(config, cmd=command_line(rest, shell=config.shell or _SHELL))


def _entrypoint(config: ImageConfig, rest: str) -> ImageConfig:
    return replace(config, entrypoint=command_line(rest, shell=config.shell or _SHELL))


def _env(config: ImageConfig, rest: str) -> ImageConfig:
    return replace(config, env=_merged(config.env, _pairs("ENV", rest, _environment(config))))


def _merged(env: tuple[str, ...], added: dict[str, str]) -> tuple[str, ...]:
    merged = dict(variable.partition("=")[::2] for variable in env) | added
    return tuple(f"{name}={value}" for name, value in merged.items())


def _label(config: ImageConfig, rest: str) -> ImageConfig:
    return replace(config, labels=config.labels | _pairs("LABEL", rest, _environment(config)))


def _pairs(keyword: str, rest: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Parse ``NAME=value …``, or the old form ``NAME the whole rest``."""
    words = split_words(rest)
    if not words:
        raise InvalidRequest(f"{keyword} requires at least one argument")
    if "=" not in words[0]:
        name, *value = re.split(r"\s+", rest, maxsplit=1)
        if not value:
            raise InvalidRequest(f"{keyword} must have two arguments")
        return {name: expand(value[0], environment)}
    pairs: dict[str, str] = {}
    for word in words:
        name, equals, value_text = word.partition("=")
        if not equals:
            raise InvalidRequest(
                f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value'
            )
        name = expand(name, environment)
        if not name:
            raise InvalidRequest(f"{keyword} names can not be blank")
        pairs[name] = expand(value_text, environment)
    return pairs


def _environment(config: ImageConfig) -> dict[str, str]:
    return dict(variable.partition("=")[::2] for variable in config.env)


def _expose(config: ImageConfig, rest: str) -> ImageConfig:
    words = _words("EXPOSE", config, rest)
    ports = {port for word in words for port in _ports(word)}
    return replace(config, exposed_ports=tuple(sorted(ports | set(config.exposed_ports))))


def _ports(word: str) -> list[str]:
    numbers, _, protocol = word.rpartition(":")[2].partition("/")
    protocol = protocol.lower() or "tcp"
    match = _PORT.fullmatch(numbers)
    if not numbers:
        raise InvalidRequest("No port specified: " + word + "<empty>")
    first = int(match["first"]) if match else _PORT_MAX + 1
    last = int(match["last"] or first) if match else 0
    if not first <= last <= _PORT_MAX:
        raise InvalidRequest(f"Invalid containerPort: {numbers}")
    if protocol not in _PROTOCOLS:
        raise InvalidRequest(f"Invalid proto: {protocol}")
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def _volume(config: ImageConfig, rest: str) -> ImageConfig:
    listed = _json_list(rest)
    words = _words("VOLUME", config, rest) if listed is None else listed
    paths = {word.strip() for word in words}
    if not paths:
        raise InvalidRequest("VOLUME requires at least one argument")
    if "" in paths:
        raise InvalidRequest("VOLUME specified can not be an empty string")
    return replace(config, volumes=tuple(sorted(paths | set(config.volumes))))


def _words(keyword: str, config: ImageConfig, rest: str) -> tuple[str, ...]:
    if not rest:
        raise InvalidRequest(f"{keyword} requires at least one argument")
    environment = _environment(config)
    return tuple(expand(word, environment) for word in split_words(rest))


def _one(keyword: str, config: ImageConfig, rest: str) -> str:
    if not rest:
        raise InvalidRequest(f"{keyword} requires exactly one argument")
    return expand(rest, _environment(config))


def _user(config: ImageConfig, rest: str) -> ImageConfig:
    return replace(config, user=_one("USER", config, rest))


def _workdir(config: ImageConfig, rest: str) -> ImageConfig:
    path = posixpath.join("/", config.working_dir, _one("WORKDIR", config, rest))
    return replace(config, working_dir=posixpath.normpath(path).replace("//", "/"))


def _stopsignal(config: ImageConfig, rest: str) -> ImageConfig:
    name = _one("STOPSIGNAL", config, rest)
    parse_signal(name)
    return replace(config, stop_signal=name)


def _onbuild(config: ImageConfig, rest: str) -> ImageConfig:
    if not rest:
        raise InvalidRequest("ONBUILD requires at least one argument")
    trigger = rest.split()[0].upper()
    if trigger == "ONBUILD":
        raise InvalidRequest("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in _NO_TRIGGERS:
        raise InvalidRequest(f"{trigger} isn't allowed as an ONBUILD trigger")
    return replace(config, on_build=(*config.on_build, rest))


def _healthcheck(config: ImageConfig, rest: str) -> ImageConfig:
    return replace(config, healthcheck=parse_healthcheck(rest))


_INSTRUCTIONS: Final[Mapping[str, Callable[[ImageConfig, str], ImageConfig]]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
