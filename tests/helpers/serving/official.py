"""The official stubs of TensorFlow Serving without TensorFlow: they need its messages, and its import takes seconds."""

from __future__ import annotations

import functools
import importlib
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

from helpers.engines import folders_of, require

_MODULES = (
    "predict_pb2", "get_model_metadata_pb2", "get_model_status_pb2", "classification_pb2", "regression_pb2",
    "inference_pb2", "model_management_pb2", "prediction_service_pb2_grpc", "model_service_pb2_grpc",
)  # fmt: skip


@functools.cache
def official() -> Any:
    """Return the modules of `tensorflow_serving.apis`, as attributes by their names.

    A package of TensorFlow's name stands in for it meanwhile, so that its own `__init__` does not run.
    """
    require("tensorflow", "tensorflow_serving", "grpc")
    if "tensorflow" in sys.modules:
        return _apis()
    empty = ModuleType("tensorflow")
    empty.__path__ = folders_of("tensorflow")
    sys.modules["tensorflow"] = empty
    try:
        return _apis()
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "tensorflow"]:
            del sys.modules[name]


def _apis() -> SimpleNamespace:
    return SimpleNamespace(**{name: importlib.import_module(f"tensorflow_serving.apis.{name}") for name in _MODULES})
