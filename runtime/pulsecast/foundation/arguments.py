"""Checks of an app's arguments at run time: each returns the value, or raises UsageError.

An argument's own methods may raise anything: they are called here, and what they raise is not passed on.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, TypeVar, cast, get_args, get_origin

from ..errors import UsageError
from ..plain_text import Problems, message
from . import strict_json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
StrPath = str | os.PathLike[str]  # what every public function takes for a path
_PATH_BYTES, _NAME_BYTES = 4095, 255  # of a path, of a name in it: no usual system opens longer ones
_LARGEST = 2**63 - 1
_MOST_ITEMS = 1000  # of a list in a record
_LONGEST = 10**4000


def whole_number(name: str, value: object, *, least: int = 1) -> int:
    """Return `value` as an int of at least `least`.

    >>> whole_number("threads", 2)
    2
    """
    try:
        number = operator.index(cast("SupportsIndex", value))
    except Exception:
        number = None
    if number is None or isinstance(value, bool):
        raise UsageError(f"{name} is {shown(value)}; expected a whole number of at least {least}")
    if number < least:
        raise UsageError(f"{name} is {shown(number)}; expected at least {least}")
    return number


def fraction(name: str, value: object, *, such_as: float) -> float:
    """Return `value`, a number above 0 and below 1.

    >>> fraction("interval", 0.9, such_as=0.9)
    0.9
    """
    try:
        number = float(cast("float", value)) if not isinstance(value, str | bytes | bool) else 0.0
    except Exception:
        number = 0.0
    if not 0 < number < 1:
        raise UsageError(f"{name} is {shown(value)}; expected a number between 0 and 1, such as {such_as:g}")
    return number


def number(name: str, value: object) -> float:
    """Return `value` as a float, which is finite.

    >>> number("max_slowdown", 2)
    2.0
    """
    try:
        found = float(cast("float", value)) if not isinstance(value, str | bytes | bool) else math.nan
    except Exception:
        found = math.nan
    if not math.isfinite(found):
        raise UsageError(f"{name} is {shown(value)}; expected a number")
    return found


def flag(name: str, value: object) -> bool:
    """Return `value`, which is True or False: a word such as "no" would count as true.

    >>> flag("trust_code", False)
    False
    """
    if not isinstance(value, bool):
        raise UsageError(f"{name} is {shown(value)}; expected True or False")
    return value


def one_path(name: str, value: object) -> Path:
    """Return `value`, a path as text or as an `os.PathLike`.

    >>> one_path("out", "model")
    PosixPath('model')
    """
    try:
        path = plain(os.fspath(cast("str", value)))
    except Exception:
        path = None
    if path is None or not path or "\0" in path:
        raise UsageError(f"{name} is {shown(value)}; expected a path")
    if "-----BEGIN" in path:  # the system's own words would quote it
        raise UsageError(f"{name} is the text of a key; expected a path")
    try:
        parts = os.fsencode(path).split(os.fsencode(os.sep))
    except UnicodeEncodeError:
        raise UsageError(f"{name} is {shown(path)}, which no file can be called; expected a path") from None
    if len(path) > _PATH_BYTES or max(map(len, parts)) > _NAME_BYTES:
        raise UsageError(f"{name} is {shown(path)}..., which is too long for a path")
    return Path(path)


def paths(name: str, value: object) -> list[Path]:
    """Return the paths in `value`, which is one path or a sequence of them.

    >>> paths("logs", "mentions.csv"), paths("logs", ["a.csv", Path("b.csv")])
    ([PosixPath('mentions.csv')], [PosixPath('a.csv'), PosixPath('b.csv')])
    """
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return [one_path(name, value)]
    given = listed(name, value)
    if not given:
        raise UsageError(f"{name} is empty; expected a path, or a list of paths")
    return [one_path(f"{name}[{i}]", item) for i, item in enumerate(given)]


def instance(name: str, value: object, kind: type[T]) -> T:
    """Return `value`, which is a `kind`; the message says its public name.

    >>> instance("name", "a", str)
    'a'
    """
    if not isinstance(value, kind):
        raise UsageError(f"{name} is {shown(value)}; expected a {kind.__name__}")
    return value


def listed(name: str, value: object) -> list[Any]:
    """Return the items of `value`, a list, tuple or another sequence, but not text.

    >>> listed("fields", ("a", "b"))
    ['a', 'b']
    """
    if not isinstance(value, Sequence) or isinstance(value, str | bytes | bytearray | memoryview | range):
        raise UsageError(f"{name} is {shown(value)}; expected a list")
    return list(value)


def text(name: str, value: object) -> str:
    """Return `value`, which is text.

    >>> text("zone", "UTC")
    'UTC'
    """
    found = plain(value)
    if found is None:
        raise UsageError(f"{name} is {shown(value)}; expected text")
    return found


def file_path(name: str, value: object) -> Path:
    """Return `value`, a path that ends in a name, as `one_path` does.

    >>> file_path("out", "keys/own.pem")
    PosixPath('keys/own.pem')
    """
    path = one_path(name, value)
    if not path.name:  # the command line makes "." of empty text
        raise UsageError(f"{name} is {shown(str(path))}; expected the name of a file")
    return path


def plain(value: object) -> str | None:
    """Return text as a plain `str`, whose methods do what they say; None for anything else."""
    return str.__str__(value) if isinstance(value, str) else None


def require_types(record: DataclassInstance) -> None:
    """Raise ValueError, with all problems, unless every field of the dataclass `record` has a value of its type.

    One name where a list is expected would be read letter by letter; NaN would pass every comparison. A list in the
    place of a tuple becomes one: it is not equal to the tuple of the same values, and it could still be changed.
    """
    types = strict_json.hints(type(record))
    problems = Problems()
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        problems.extend(_type_problems(field.name, types[field.name], value))
        if isinstance(value, list) and str(types[field.name]).startswith("tuple["):
            object.__setattr__(record, field.name, tuple(value))
    if problems:
        raise invalid([str(problems)])


def _is_beyond(item: object) -> bool:
    return (isinstance(item, int) and abs(item) > _LARGEST) or (isinstance(item, float) and not math.isfinite(item))


def invalid(problems: Sequence[str]) -> ValueError:
    """Return the error of a record that found `problems` with itself, fit for a terminal as every message is."""
    return ValueError(message(str(Problems(problems))))


def _type_problems(name: str, kind: Any, value: object) -> Iterator[str]:
    said = f"{name} is {shown(value)}"
    if isinstance(value, str) and str(kind).startswith("tuple["):
        yield f"{said}; expected a list, such as [{shown(value)}]"
    elif dataclasses.is_dataclass(kind):
        if not isinstance(value, cast("type", kind)):
            yield f"{said}; expected a {cast('type', kind).__name__}"
    elif get_origin(kind) is Literal:
        *known, last = get_args(kind)
        if plain(value) not in (*known, last):
            yield f"{said}; expected {', '.join(known)} or {last}"
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{said}; expected a finite number"
    elif isinstance(value, tuple | list) and len(value) > _MOST_ITEMS:
        yield f"{name} has {len(value):,} items; expected at most {_MOST_ITEMS:,}"
    elif isinstance(value, tuple | list) and any(map(_is_beyond, value)):
        yield f"{said}; expected finite numbers of at most {_LARGEST}"
    elif isinstance(value, int) and abs(value) > _LARGEST:
        yield f"{said}; expected a number of at most {_LARGEST}"
    else:
        yield from strict_json.problems_of(kind, value, name)


def with_changes(record: T, changes: Mapping[str, object]) -> T:
    """Return the dataclass `record` with every change that is not None; raises UsageError if it is not valid."""
    names = {field.name for field in dataclasses.fields(cast("DataclassInstance", record))}
    if not isinstance(changes, Mapping) or not set(changes) <= names:
        raise UsageError(f"changes are {shown(changes)}; expected values for some of {', '.join(sorted(names))}")
    try:
        return dataclasses.replace(record, **{k: v for k, v in changes.items() if v is not None})  # type: ignore[type-var]
    except ValueError as error:
        raise UsageError(str(error)) from error


def shown(value: object) -> str:
    """Return `value` as a message may say it, in at most 60 characters; its type if it cannot say what it is.

    >>> shown("a"), shown(10**9999)
    ("'a'", 'a number of over 4,000 digits')
    """
    if isinstance(value, int) and abs(value) >= _LONGEST:
        return "a number of over 4,000 digits"  # Python refuses to print it
    try:
        return repr(plain(value) if isinstance(value, str) else value)[:60]
    except Exception:
        return f"of type {type(value).__name__}"
