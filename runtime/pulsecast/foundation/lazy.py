"""Names that are imported on first use: a package's own (PEP 562), and those in literal tables."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping

TYPE_CHECKING = False  # importing `typing` here would cost start-up time
if TYPE_CHECKING:
    from typing import Any

Doors = tuple[Callable[[str], object], Callable[[], list[str]]]


def lazily(package: dict[str, object], home: Mapping[str, str]) -> Doors:
    """Return `__getattr__` and `__dir__` for a package with the namespace `package`.

    home  name -> module below the package; the package's `__all__` lists what `dir()` shows
    """
    name = str(package["__name__"])

    def get(attribute: str) -> object:
        if attribute not in home:
            raise AttributeError(f"module {name!r} has no attribute {attribute!r}")
        try:
            value: object = getattr(importlib.import_module(f".{home[attribute]}", name), attribute)
        except ModuleNotFoundError as error:
            if error.name != "numpy":
                raise
            from ..errors import MissingExtraError

            raise MissingExtraError(
                f"{name}.{attribute} needs numpy, which is not installed: pip install numpy. Without it a native "
                "artifact runs with the standard library alone: pulsecast.load_native(bundle, trust_code=True)"
            ) from error
        package[attribute] = value
        return value

    def names() -> list[str]:
        listed = package["__all__"]
        return list(listed) if isinstance(listed, list) else []

    return get, names


def imported(where: str, package: str | None) -> Any:
    """Return what `where`, "module:name" below `package`, says: a cell of a literal table.

    >>> imported("lazy:imported", "pulsecast.foundation").__name__
    'imported'
    """
    module, name = where.split(":")
    return getattr(importlib.import_module(f".{module}", package), name)
