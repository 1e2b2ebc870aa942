"""`dataclass(frozen=True, kw_only=True)` whose methods are shared by all classes instead of made for each.

The standard library writes and compiles six methods for every class. For the records that opening a bundle needs, this
took 20 of the 35 ms that `from pulsecast import load` took after `import numpy`; it now takes 2. Classes made here are
dataclasses to `dataclasses.fields` and `replace`, and type checkers read them as such. Making an instance takes some
microseconds longer.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass  # what type checkers understand; the same meaning
else:

    def dataclass(*, frozen, kw_only):
        """Return the decorator; both options are always True."""
        if not (frozen and kw_only):
            raise TypeError("expected frozen=True, kw_only=True")
        return _made


def _made(cls: type) -> type:
    own = {name: method for name, method in _METHODS.items() if name not in vars(cls)}
    made: type = dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=True)(cls)
    for name, method in own.items():
        setattr(made, name, method)
    return made


def _init(self: Any, **values: Any) -> None:
    fields = self.__dataclass_fields__
    known = object.__getattribute__(self, "__dict__")
    missing = []
    for name, field in fields.items():
        if name in values:
            known[name] = values.pop(name)
        elif field.default is not dataclasses.MISSING:
            known[name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            known[name] = field.default_factory()
        else:
            missing.append(name)
    if missing or values:
        problems = [
            f"{kind} {', '.join(names)}" for kind, names in (("missing", missing), ("unknown", values)) if names
        ]
        raise TypeError(f"{type(self).__name__} takes {', '.join(fields)} by name: {'; '.join(problems)}")
    if check := getattr(self, "__post_init__", None):
        check()


def _repr(self: Any) -> str:
    values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__dataclass_fields__)
    return f"{type(self).__qualname__}({values})"


def _values(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, name) for name in self.__dataclass_fields__)


def _eq(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _setattr(self: Any, name: str, value: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


_METHODS = {
    "__init__": _init,
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
}
