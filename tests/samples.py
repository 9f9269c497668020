"""Build instances of any event from its annotations, so that a new event is tested
automatically.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import inspect

from engine.domain.event import Event

_SIMPLE: Final[dict[type[inspect.Type], Callable[[Any], Any]]] = {
    inspect.AnyType: lambda _: "anything",
    inspect.BoolType: lambda _: True,
    inspect.IntType: lambda _: 2**60 + 1,
    inspect.FloatType: lambda _: 0.1,
    inspect.StrType: lambda _: 'text "with" \u00fcml\u00e4ut, \U0001f6a2, tab\t and NUL \x00',
    inspect.BytesType: lambda _: bytes(range(256)),
    inspect.NoneType: lambda _: None,
    inspect.EnumType: lambda of: next(iter(of.cls)),
    inspect.LiteralType: lambda of: of.values[0],
    inspect.RawType: lambda _: msgspec.Raw(b"{}"),
}


def full(event: type[Event]) -> Event:
    """Return an event in which every field has a value of its own, the optional ones too."""
    sample: Event = _value(inspect.type_info(event))
    return sample


def bare(event: type[Event]) -> Event:
    """Return an event with its required fields only."""
    described = inspect.type_info(event)
    assert isinstance(described, inspect.StructType)
    return event(**{f.name: _value(f.type) for f in described.fields if f.required})


def _value(of: inspect.Type) -> Any:
    if isinstance(of, inspect.StructType):
        return of.cls(**{field.name: _value(field.type) for field in of.fields})
    if isinstance(of, inspect.DataclassType):
        return of.cls(**{field.name: _value(field.type) for field in of.fields})
    if isinstance(of, inspect.UnionType):
        return _value(next(t for t in of.types if not isinstance(t, inspect.NoneType)))
    if isinstance(of, inspect.TupleType):
        return tuple(_value(item) for item in of.item_types)
    if isinstance(of, inspect.VarTupleType):
        return (_value(of.item_type),)
    if isinstance(of, inspect.ListType):
        return [_value(of.item_type)]
    if isinstance(of, inspect.SetType | inspect.FrozenSetType):
        return frozenset([_value(of.item_type)])
    if isinstance(of, inspect.DictType):
        return {_value(of.key_type): _value(of.value_type)}
    return _SIMPLE[type(of)](of)
