"""Split, unquote and expand a line of a Dockerfile.

Quotes group, a backslash takes the next character as it is, and ``$NAME``, ``${NAME}``,
``${NAME:-otherwise}`` and ``${NAME:+instead}`` are replaced from an environment; single quotes keep
everything. After Docker's Dockerfile reference.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from engine.errors import InvalidRequest

_VARIABLE: Final = re.compile(
    r"\$(?:(?P<bare>[A-Za-z_][A-Za-z0-9_]*)"
    r"|\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)(?P<operator>:[-+])?(?P<operand>[^}]*)\})"
)
_ESCAPABLE_IN_QUOTES: Final = '"$\\'


def split_words(line: str) -> tuple[str, ...]:
    """Split at white space that is neither quoted nor escaped; the quotes stay."""
    words: list[str] = []
    word, quote = "", ""
    characters = iter(line)
    for character in characters:
        if character == "\\" and quote != "'":
            word += character + next(characters, "")
        elif character.isspace() and not quote:
            words.append(word)
            word = ""
        else:
            if character in "'\"" and quote in ("", character):
                quote = "" if quote else character
            word += character
    return tuple(filter(None, (*words, word)))


def expand(word: str, environment: Mapping[str, str]) -> str:
    """Return a word without its quotes, and with the values of its variables.

    Raises:
        InvalidRequest: a quote or a brace that is not closed, or an unknown ``${…}`` form.
    """
    return "".join(_pieces(word, environment))


def _pieces(word: str, environment: Mapping[str, str]) -> Iterator[str]:
    at, quoted = 0, False
    while at < len(word):
        character = word[at]
        if character == "'" and not quoted:
            end = _closing(word, "'", at)
            yield word[at + 1 : end]
            at = end + 1
        elif character == '"':
            _closing(word, '"', at) if not quoted else None
            quoted = not quoted
            at += 1
        elif character == "\\":
            following = word[at + 1 : at + 2]
            yield (
                following if not quoted or following in _ESCAPABLE_IN_QUOTES else word[at : at + 2]
            )
            at += 2
        elif character == "$" and word[at + 1 : at + 2]:
            value, at = _variable(word, at, environment)
            yield value
        else:
            yield character
            at += 1


def _closing(word: str, quote: str, at: int) -> int:
    end = at + 1
    while end < len(word) and word[end] != quote:
        end += 2 if word[end] == "\\" and quote == '"' else 1
    if end >= len(word):
        kind = "single" if quote == "'" else "double"
        raise InvalidRequest(
            f"failed to process {_quoted(word)}: unexpected end of statement while looking for matching {kind}-quote"
        )
    return end


def _variable(word: str, at: int, environment: Mapping[str, str]) -> tuple[str, int]:
    match = _VARIABLE.match(word, at)
    if match is None:
        if word[at + 1] == "{":
            raise InvalidRequest(f"failed to process {_quoted(word)}: bad substitution")
        return "$", at + 1
    operator, operand = match["operator"], match["operand"]
    if operand and not operator:
        raise InvalidRequest(
            f"failed to process {_quoted(word)}: unsupported modifier in substitution"
        )
    value = environment.get(match["bare"] or match["braced"], "")
    if operator == ":-":
        value = value or operand
    elif operator == ":+":
        value = operand if value else ""
    return value, match.end()


def _quoted(word: str) -> str:
    return '"' + word.replace("\\", r"\\").replace('"', r"\"") + '"'
