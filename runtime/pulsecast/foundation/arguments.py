"""Checks of an app's arguments at run time: each returns the value, or raises UsageError."""

from __future__ import annotations

import dataclasses
import operator
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, SupportsIndex, TypeVar, cast

from ..errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")
StrPath = str | os.PathLike[str]  # what every public function takes for a path


def whole_number(name: str, value: object, *, least: int = 1) -> int:
    """Return `value` as an int of at least `least`.

    >>> whole_number("threads", 2)
    2
    """
    try:
        number = operator.index(cast("SupportsIndex", value))
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise UsageError(f"{name} is {_shown(value)}; expected a whole number of at least {least}")
    if number < least:
        raise UsageError(f"{name} is {number}; expected at least {least}")
    return number


def fraction(name: str, value: object, *, such_as: float) -> float:
    """Return `value`, a number above 0 and below 1.

    >>> fraction("interval", 0.9, such_as=0.9)
    0.9
    """
    try:
        number = float(cast("float", value)) if not isinstance(value, str | bytes | bool) else 0.0
    except (TypeError, ValueError):
        number = 0.0
    if not 0 < number < 1:
        raise UsageError(f"{name} is {_shown(value)}; expected a number between 0 and 1, such as {such_as:g}")
    return number


def flag(name: str, value: object) -> bool:
    """Return `value`, which is True or False: a word such as "no" would count as true.

    >>> flag("trust_code", False)
    False
    """
    if not isinstance(value, bool):
        raise UsageError(f"{name} is {_shown(value)}; expected True or False")
    return value


def one_path(name: str, value: object) -> Path:
    """Return `value`, a path as text or as an `os.PathLike`.

    >>> one_path("out", "model")
    PosixPath('model')
    """
    try:
        path = os.fspath(cast("str", value))
    except TypeError:
        path = None
    if not isinstance(path, str) or "\0" in path:
        raise UsageError(f"{name} is {_shown(value)}; expected a path")
    return Path(path)


def paths(name: str, value: object) -> list[Path]:
    """Return the paths in `value`, which is one path or a sequence of them.

    >>> paths("logs", "mentions.csv"), paths("logs", ["a.csv", Path("b.csv")])
    ([PosixPath('mentions.csv')], [PosixPath('a.csv'), PosixPath('b.csv')])
    """
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        if not value:
            raise UsageError(f"{name} is empty; expected a path, or a list of paths")
        return [one_path(f"{name}[{i}]", item) for i, item in enumerate(value)]
    return [one_path(name, value)]


def require_lists(record: DataclassInstance) -> None:
    """Raise ValueError if a field of the dataclass `record` that holds a tuple was given text.

    It would be read letter by letter: one name is a list of one.
    """
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if str(field.type).startswith("tuple[") and isinstance(value, str):
            raise ValueError(f"{field.name} is {_shown(value)}; expected a list, such as [{_shown(value)}]")


def with_changes(record: T, changes: Mapping[str, object]) -> T:
    """Return the dataclass `record` with every change that is not None; raises UsageError if it is not valid."""
    try:
        return dataclasses.replace(record, **{k: v for k, v in changes.items() if v is not None})  # type: ignore[type-var]
    except ValueError as error:
        raise UsageError(str(error)) from error


def _shown(value: object) -> str:
    return repr(value)[:60]
