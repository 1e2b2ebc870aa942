"""Writer of the SavedModel for TF Serving. Run in a converter child process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.model.windows import INPUTS, Windows
from pulsecast.stages.model_directory import ModelDirectory

from .warmup import predict_log, tfrecord

SIGNATURE = "serving_default"
WARMUP_BATCHES = (1, 2, 4, 8, 16, 32, 64)  # one record for each: TF Serving compiles and allocates per batch size
SERVING_NAME = "pulsecast"


def write_savedmodel(model: ModelDirectory, path: Path, source: Path | None) -> None:
    """Write the forecast with weights as constants (no Keras, no variables), one signature, and warm-up records."""
    from . import graph, stacks

    del source
    save(model, graph.traced(model, stacks.gather_stack), path)


def save(model: ModelDirectory, forecast: Any, path: Path) -> None:
    """Write the traced `forecast` of a model: one signature, and warm-up records."""
    import tensorflow as tf
    from tensorflow.core.protobuf import fingerprint_pb2

    module: Any = tf.Module()
    module.forecast = forecast
    tf.saved_model.save(module, str(path), signatures={SIGNATURE: module.forecast.get_concrete_function()})
    # TensorFlow puts a random identifier here; the same model must give the same bytes
    mark = fingerprint_pb2.FingerprintDef.FromString((path / "fingerprint.pb").read_bytes())
    mark.uuid = str(mark.saved_model_checksum)
    (path / "fingerprint.pb").write_bytes(mark.SerializeToString(deterministic=True))
    extra = path / "assets.extra"
    extra.mkdir()
    records = [
        tfrecord(
            predict_log(
                SERVING_NAME, SIGNATURE, _named(model.heldout.windows.take(np.arange(n) % len(model.heldout.windows)))
            )
        )
        for n in WARMUP_BATCHES
    ]
    (extra / "tf_serving_warmup_requests").write_bytes(b"".join(records))


def _named(windows: Windows) -> dict[str, NDArray[np.generic]]:
    pairs = zip(INPUTS, windows.inputs, strict=True)
    return {name: array for name, array in pairs if array is not None}
