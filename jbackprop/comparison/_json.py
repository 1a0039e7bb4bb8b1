"""Frozen records to JSON and back, by their annotations."""

import json
import math
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def dumps(record: Any) -> str:
    """The record as indented JSON; an infinity or a NaN becomes a string, as JSON has none."""
    return json.dumps(_plain(record), indent=1, ensure_ascii=False, allow_nan=False)


def loads(kind: type[T], text: str) -> T:
    """The record of this class; ValueError where the text does not describe one."""
    try:
        return _record(kind, json.loads(text))
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"text, wanted the JSON of a {kind.__name__}, got something else ({error!r})") from None


def _plain(value):
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _record(kind, value):
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{field.name: _record(hints[field.name], value[field.name]) for field in fields(kind)})
    if get_origin(kind) is tuple:
        return tuple(_record(get_args(kind)[0], item) for item in value)
    if isinstance(kind, UnionType):
        return None if value is None else _record(get_args(kind)[0], value)
    return kind(value)
