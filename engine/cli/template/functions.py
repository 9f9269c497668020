"""Define the functions of templates: text/template's own, and Docker's."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from engine.cli.template.values import go_type, nested, shown, to_json, truth

_VERB: Final = re.compile(r"%([-+# 0]*)(\d+|\*)?(?:\.(\d+))?([a-zA-Z%])")


def _index(holder: Any, *keys: Any) -> Any:  # Any: template data is whatever JSON holds
    for key in keys:
        if isinstance(holder, dict):
            missing = "" if all(isinstance(value, str) for value in holder.values()) else None
            holder = holder.get(key, missing)
        elif isinstance(holder, list | str):
            if not isinstance(key, int) or not 0 <= key < len(holder):
                raise LookupError(f"error calling index: index out of range: {nested(key)}")
            holder = holder[key]
        elif holder is None:
            raise LookupError("error calling index: index of untyped nil")
        else:
            raise LookupError(f"error calling index: can't index item of type {go_type(holder)}")
    return holder


def _slice(holder: Any, *bounds: int) -> Any:
    first = bounds[0] if bounds else 0
    last = bounds[1] if len(bounds) > 1 else len(holder)
    if not 0 <= first <= last <= len(holder):
        raise LookupError(f"error calling slice: index out of range: {last}")
    return holder[first:last]


def _length(holder: Any) -> int:
    if holder is None or isinstance(holder, int | float):
        raise LookupError(f"error calling len: len of type {go_type(holder)}")
    return len(holder.encode()) if isinstance(holder, str) else len(holder)


def _equal(first: object, *others: object) -> bool:
    if not others:
        raise LookupError("error calling eq: missing argument for comparison")
    return any(_comparable(first, other, "eq") and first == other for other in others)


def _comparable(first: object, second: object, name: str) -> bool:
    kinds = {_basic_kind(first), _basic_kind(second)} - {"nil"}
    if len(kinds) > 1:
        raise LookupError(f"error calling {name}: incompatible types for comparison")
    return True


def _basic_kind(value: object) -> str:
    if value is None:
        return "nil"
    return go_type(value)


def _order(name: str, holds: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(first: Any, second: Any) -> bool:
        _comparable(first, second, name)
        return holds(first, second)

    return compare


def _print(*values: object) -> str:
    """Format like Go's fmt.Sprint: a space between operands if neither is a string."""
    parts: list[str] = []
    for position, value in enumerate(values):
        if position and not isinstance(value, str) and not isinstance(values[position - 1], str):
            parts.append(" ")
        parts.append(nested(value))
    return "".join(parts)


def _println(*values: object) -> str:
    return " ".join(map(nested, values)) + "\n"


def _printf(layout: str, *values: object) -> str:
    """Format like Go's fmt.Sprintf with the verbs that Python shares, and ``%v``, ``%q``,
    ``%t``.
    """
    remaining = iter(values)

    def replace(match: re.Match[str]) -> str:
        flags, width, precision, verb = match.groups()
        if verb == "%":
            return "%"
        try:
            value = next(remaining)
        except StopIteration:
            return f"%!{verb}(MISSING)"
        converted: object = value
        if verb == "q":
            verb, converted = "s", json.dumps(nested(value), ensure_ascii=False)
        elif verb in "vst":
            verb, converted = "s", nested(value)
        layout = f"%{flags}{width or ''}{'.' + precision if precision else ''}{verb}"
        try:
            return layout % (converted,)
        except (TypeError, ValueError):
            return f"%!{verb}({go_type(value)}={nested(value)})"

    return _VERB.sub(replace, layout)


def _title(value: str) -> str:
    return re.sub(r"\b[^\W\d_]", lambda match: match[0].upper(), value)


def _pad(value: str, before: int, after: int) -> str:
    return " " * before + value + " " * after if value else ""


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "json": to_json,
    "join": lambda parts, separator: separator.join(map(nested, parts or ())),
    "split": lambda text, separator: text.split(separator),
    "lower": lambda text: shown(text).lower(),
    "upper": lambda text: shown(text).upper(),
    "title": lambda text: _title(shown(text)),
    "pad": _pad,
    "truncate": lambda text, length: text[:length],
    "len": _length,
    "index": _index,
    "slice": _slice,
    "print": _print,
    "println": _println,
    "printf": _printf,
    "eq": _equal,
    "ne": lambda first, second: not _equal(first, second),
    "lt": _order("lt", lambda first, second: first < second),
    "le": _order("le", lambda first, second: first <= second),
    "gt": _order("gt", lambda first, second: first > second),
    "ge": _order("ge", lambda first, second: first >= second),
    "not": lambda value: not truth(value),
}

HEADER_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    **FUNCTIONS,
    **dict.fromkeys(("json", "title", "lower", "upper", "truncate"), lambda value, *_: value),
    "join": lambda value, *_: value,
    "split": lambda value, *_: value,
}
"""Functions for a table's header line, where a column stands for its own title."""

SHORT_CIRCUIT: Final = frozenset({"and", "or"})
"""Evaluated argument by argument, unlike other functions."""
