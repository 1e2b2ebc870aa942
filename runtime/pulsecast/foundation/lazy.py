"""The front door of a package: its names, each imported on first use (PEP 562)."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping

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
