"""Match patterns as Go's path.Match does.

``*`` stands for any run of characters but ``/``, ``?`` for any one but ``/``, ``[a-z]`` and
``[^a-z]`` for one of a class, and a backslash takes the meaning from the character behind it.
"""

import re
from functools import lru_cache
from typing import Final

from engine.errors import InvalidRequest

_REMEMBERED: Final = 64
_TERM: Final = re.compile(
    r"(?P<star>\*+)|(?P<any>\?)|(?P<class>\[\^?+(?:(?:\\.|[^\]\\-])(?:-(?:\\.|[^\]\\-]))?)+\])"
    r"|\\(?P<escaped>.)|(?P<literal>[^\[\\])",
    re.DOTALL,
)
_RANGE: Final = re.compile(r"(\\.|[^\\])(?:-(\\.|[^\\]))?", re.DOTALL)


def path_matches(pattern: str, text: str) -> bool:
    """Return whether a pattern matches a whole text.

    Raises:
        InvalidRequest: the pattern is none.
    """
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(_REMEMBERED)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compile a pattern: each star takes as little as possible, and never backtracks, as in Go, so
    matching takes linear time.
    """
    chunks, at = [""], 0
    while at < len(pattern):
        term = _TERM.match(pattern, at)
        if term is None:
            raise InvalidRequest("syntax error in pattern")
        at = term.end()
        if term["star"]:
            chunks.append("")
        else:
            chunks[-1] += _expression(term)
    first, *inner = chunks
    if not inner:
        return re.compile(first, re.DOTALL)
    middle = "".join(f"(?>[^/]*?{chunk})" for chunk in inner[:-1])
    return re.compile(f"{first}{middle}[^/]*{inner[-1]}", re.DOTALL)


def _expression(term: re.Match[str]) -> str:
    if term["any"]:
        return "[^/]"
    if term["class"]:
        return _class(term["class"][1:-1])
    return re.escape(term["escaped"] or term["literal"])


def _class(inside: str) -> str:
    negation, members = ("^", inside[1:]) if inside.startswith("^") else ("", inside)
    ranges = []
    for low, high in _RANGE.findall(members):
        first, last = low[-1], (high or low)[-1]
        if first <= last:  # the other way round it holds nothing
            ranges.append(f"{re.escape(first)}-{re.escape(last)}")
    if ranges:
        return f"[{negation}{''.join(ranges)}]"
    return "." if negation else "(?!)"
