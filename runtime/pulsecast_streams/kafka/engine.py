"""The packages of the extra `kafka`, imported where they are used."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

from pulsecast.errors import MissingExtraError


def quix() -> Any:
    """Return Quix Streams; raises MissingExtraError."""
    return _imported("quixstreams")


def client() -> Any:
    """Return the client that Quix Streams uses, with its part for administration; raises MissingExtraError."""
    _imported("confluent_kafka.admin")
    return _imported("confluent_kafka")


def _imported(name: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # packages of packages say that they are deprecated
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"Kafka needs {error.name}, which is not installed: pip install 'pulsecast[kafka]'"
        ) from None
