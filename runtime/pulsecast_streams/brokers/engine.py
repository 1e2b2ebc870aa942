"""The packages of the extras `mqtt`, `redis` and `nats`, imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any

from pulsecast.errors import MissingExtraError


def engine(name: str, extra: str) -> Any:
    """Return a module of FastStream, or of a client that it uses; raises MissingExtraError."""
    try:
        return importlib.import_module(name)
    except ImportError as error:  # FastStream says in an ImportError of its own which client is missing
        missing = getattr(error, "name", None) or name
        raise MissingExtraError(
            f"this broker needs {missing}, which is not installed: pip install 'pulsecast[{extra}]'"
        ) from None
