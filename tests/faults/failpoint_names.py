"""Find all registered failpoints in the source, so that a new one is tested automatically."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, get_args

import engine
from engine.ports.actions import Action
from engine.runtime.init import EXEC_STEPS, INIT_STEPS

_ACTIONS: Final = tuple(action.__name__ for action in get_args(Action))
_STEPS: Final = tuple(dict.fromkeys(name for name, _ in (*INIT_STEPS, *EXEC_STEPS)))
_FAMILIES: Final = {"before_": _ACTIONS, "after_": _ACTIONS, "init_": _STEPS}
"""What a computed name may end with, by its prefix."""


def registered() -> tuple[str, ...]:
    """Return every name that a ``failpoint(…)`` in the engine can have."""
    package = Path(engine.__file__ or "").parent
    names = {name for path in sorted(package.rglob("*.py")) for name in _names_in(path)}
    return tuple(sorted(names))


def _names_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Name("failpoint"), args=[ast.Constant(str(name))]):
                yield name
            case ast.Call(
                func=ast.Name("failpoint"),
                args=[ast.JoinedStr([ast.Constant(str(beginning)), ast.FormattedValue()])],
            ):
                yield from (f"{beginning}{ending}" for ending in _FAMILIES[beginning])
            case ast.Call(func=ast.Name("failpoint")):
                raise AssertionError(f"{path}:{node.lineno}: which names can this have?")


def where(chosen: Callable[[str], bool]) -> list[str]:
    """Return the registered names that a test is about."""
    return [name for name in registered() if chosen(name)]
