"""Frozen dataclasses to and from JSON, strictly: unknown keys, wrong types and bad numbers are refused, all at once.

Nothing here knows what a record means. The same reader serves the manifest, the model directory,
benchmark results and TOML configuration.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Any, TypeVar

from .. import limits
from ..errors import FormatError
from ..plain_text import Problems

T = TypeVar("T")
# `metadata` of a field that is not written while it has its default: older records lack the field and still read
OMITTED = types.MappingProxyType({"omitted": True})
# a string to its end, or to the end of the text: every byte is looked at once
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_LONGEST = 10**4000  # Python prints no integer of 4,300 digits
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def null_if(is_implied: Callable[[Any], bool]) -> Mapping[str, Any]:
    """Return the `metadata` of a field that is null in JSON if `is_implied(value)`: other fields then imply its value.

    The record itself replaces a null that was read by the value.
    """
    return types.MappingProxyType({"null_if": is_implied})


def most(*counts: int) -> Mapping[str, Any]:
    """Return the `metadata` of a field with at most `counts[0]` items, at most `counts[1]` in each of them, and so on.

    A value beyond that is refused before anything is made of it.
    """
    return types.MappingProxyType({"most": counts})


def to_json(value: Any) -> Any:
    """Return `value` (dataclasses, tuples, mappings, scalars) as what `json.dumps` takes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((field, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {f.name: _field_json(f, item) for f, item in pairs if not f.metadata.get("omitted") or item != f.default}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return value


def _field_json(field: dataclasses.Field[Any], value: Any) -> Any:
    is_implied = field.metadata.get("null_if")
    return None if is_implied is not None and is_implied(value) else to_json(value)


def dumps(value: Any) -> str:
    """Return `value` as JSON text with a final newline; raises ValueError for NaN and infinity."""
    return json.dumps(to_json(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def loads(cls: type[T], data: bytes, *, where: str, at_most: int = limits.JSON_BYTES) -> T:
    """Return the `cls` that JSON `data` of `at_most` bytes describes.

    Raises FormatError, naming `where`, if the text is not UTF-8 JSON, repeats a key, holds NaN, is nested too deeply,
    or does not describe a `cls`; the message lists the problems found.
    """
    if len(data) > at_most:
        raise FormatError(f"{where} has {len(data)} bytes; at most {at_most} are read")
    try:
        _check_depth(data)
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_no_constant, parse_float=_finite
        )
        _check_text(value)
    except UnicodeDecodeError as error:
        raise FormatError(f"{where} is not UTF-8 text: byte {error.start}") from error
    except RecursionError as error:  # the caller left less of the stack than JSON_DEPTH takes
        raise FormatError(f"{where} is nested too deeply") from error
    except ValueError as error:
        raise FormatError(f"{where} is not valid JSON: {error}") from error
    return parse(cls, value, where=where)


def parse(cls: type[T], value: Any, *, where: str) -> T:
    """Return the `cls` that `value` (decoded JSON or TOML) describes; raises FormatError that lists the problems."""
    problems = Problems()
    try:
        record = _parse(cls, value, "", problems)
    except RecursionError as error:
        raise FormatError(f"{where} is nested too deeply") from error
    if problems:
        raise FormatError(f"{where}: {problems}")
    return typing.cast(T, record)


def problems_of(kind: Any, value: Any, name: str) -> list[str]:
    """Return, in words, what keeps `value`, called `name`, from being a `kind`."""
    problems = Problems()
    _parse(kind, value, name, problems)
    return [str(problems)] if problems else []


def repeated_key(pairs: Sequence[tuple[str, Any]]) -> str | None:
    """Return the first key of an object's `pairs` that was there before, None if each stands once.

    >>> repeated_key([("a", 1), ("b", 2), ("a", 3)])
    'a'
    """
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return key
        seen.add(key)
    return None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"key {repeated_key(pairs)!r} appears twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large for a 64-bit float")
    return number


def _check_depth(data: bytes) -> None:
    """Raise ValueError for deep nesting, before a parser that calls itself for every level sees the text."""
    depth = 0
    for bracket in _STRING.sub(b"", data).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > limits.JSON_DEPTH:
            raise ValueError(f"it is nested too deeply, more than {limits.JSON_DEPTH} levels")


def _check_text(value: Any) -> None:
    """Raise ValueError for half a surrogate pair, which no output can encode, at any place."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            item.encode("utf-8")
        elif isinstance(item, dict):
            pending += [part for pair in item.items() for part in pair]
        elif isinstance(item, list):
            pending += item


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _parse(kind: Any, value: Any, path: str, problems: Problems, most: tuple[int, ...] = ()) -> Any:
    """Return `value` as a `kind`; `most` bounds its items, then those of what it holds."""
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _parse_record(typing.cast(type, kind), value, path, problems)
    if origin in (typing.Union, types.UnionType):
        return _parse_optional(kind, value, path, problems, most)
    if origin is typing.Literal:
        return _parse_literal(typing.get_args(kind), value, path, problems)
    if origin is tuple:
        return _parse_tuple(typing.get_args(kind)[0], value, path, problems, most)
    if origin is not None and issubclass(origin, Mapping):
        return _parse_mapping(typing.get_args(kind)[1], value, path, problems, most)
    return _parse_scalar(kind, value, path, problems)


def _parse_record(cls: type, value: Any, path: str, problems: Problems) -> Any:
    if not isinstance(value, Mapping):
        problems.append(f"{path or 'the document'} is {_kind_of(value)}; expected an object")
        return None
    types_of = hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    prefix = f"{path}." if path else ""
    before = len(problems)
    problems.extend(f"unknown key {prefix}{key}; known: {', '.join(fields)}" for key in value if key not in fields)
    found: dict[str, Any] = {}
    for name, field in fields.items():
        if name in value and value[name] is None and "null_if" in field.metadata:
            found[name] = None
        elif name in value:
            most = field.metadata.get("most", ())
            found[name] = _parse(types_of[name], value[name], f"{prefix}{name}", problems, most)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            problems.append(f"missing key {prefix}{name}")
    if len(problems) > before:
        return None
    try:
        return cls(**found)
    except ValueError as error:  # a record checks itself
        problems.append(f"{path}: {error}" if path else str(error))
        return None


@functools.cache
def hints(cls: type) -> dict[str, Any]:
    """Return the types of a record's fields."""
    return typing.get_type_hints(cls)


def _parse_optional(kind: Any, value: Any, path: str, problems: Problems, most: tuple[int, ...]) -> Any:
    options = [option for option in typing.get_args(kind) if option is not type(None)]
    if value is None and len(options) < len(typing.get_args(kind)):
        return None
    for option in options[:-1]:
        attempt = Problems()
        found = _parse(option, value, path, attempt, most)
        if not attempt:
            return found
    return _parse(options[-1], value, path, problems, most)


def _parse_literal(allowed: tuple[Any, ...], value: Any, path: str, problems: Problems) -> Any:
    if not any(value == item and type(value) is type(item) for item in allowed):
        problems.append(f"{path} is {repr(value)[:60]}; expected one of {', '.join(map(repr, allowed))}")
    return value


def _parse_tuple(item_kind: Any, value: Any, path: str, problems: Problems, most: tuple[int, ...]) -> Any:
    if not isinstance(value, list | tuple):
        problems.append(f"{path} is {_kind_of(value)}; expected a list")
        return ()
    if _is_too_long(value, path, problems, most):
        return ()
    return tuple(_parse(item_kind, item, f"{path}[{i}]", problems, most[1:]) for i, item in enumerate(value))


def _parse_mapping(item_kind: Any, value: Any, path: str, problems: Problems, most: tuple[int, ...]) -> Any:
    if not isinstance(value, Mapping):
        problems.append(f"{path} is {_kind_of(value)}; expected an object")
        return {}
    if _is_too_long(value, path, problems, most):
        return {}
    return {key: _parse(item_kind, item, f"{path}.{key}", problems, most[1:]) for key, item in value.items()}


def _is_too_long(value: Sized, path: str, problems: Problems, most: tuple[int, ...]) -> bool:
    if not most or len(value) <= most[0]:
        return False
    problems.append(f"{path} has {len(value)} items; at most {most[0]} are read")
    return True


def _parse_scalar(kind: Any, value: Any, path: str, problems: Problems) -> Any:
    if kind is Any or kind is object:
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError:
            problems.append(f"{path} is too large for a 64-bit float")
            return 0.0
    if type(value) is not kind:
        problems.append(f"{path} is {_kind_of(value)}; expected {_EXPECTED[kind]}")
    elif kind is float and not math.isfinite(value):
        problems.append(f"{path} is not finite")
    return value


_EXPECTED = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value!r}"[:60] if isinstance(value, float) or abs(value) < _LONGEST else "a huge number"
    if isinstance(value, str):
        return f"the string {value[:40]!r}"
    return "null" if value is None else "a list" if isinstance(value, list) else "an object"
