"""Writer of the SavedModel for TF Serving. Run in a converter child process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pulsecast.stages.model_directory import ModelDirectory

from .warmup import predict_log, tfrecord

INPUT, OUTPUT, SIGNATURE = "window", "forecast", "serving_default"
WARMUP_BATCHES = (1, 2, 4, 8, 16, 32, 64)  # one record for each: TF Serving compiles and allocates per batch size
SERVING_NAME = "pulsecast"


def write_savedmodel(model: ModelDirectory, folder: Path, path: str) -> None:
    """Write the forecast with weights as constants (no Keras, no variables), one signature, and warm-up records."""
    import tensorflow as tf
    from tensorflow.core.protobuf import fingerprint_pb2

    from . import graph

    spec, scaler = model.record.spec, model.record.scaler
    module: Any = tf.Module()
    module.forecast = tf.function(
        lambda window: {OUTPUT: graph.forecast(spec, scaler, model.weights, window, graph.gather_stack)},
        input_signature=[tf.TensorSpec([None, spec.context, len(spec.features)], tf.float32, name=INPUT)],
    )
    target = folder / path
    tf.saved_model.save(module, str(target), signatures={SIGNATURE: module.forecast.get_concrete_function()})
    # TensorFlow puts a random identifier here; the same model shall give the same bytes
    mark = fingerprint_pb2.FingerprintDef.FromString((target / "fingerprint.pb").read_bytes())
    mark.uuid = str(mark.saved_model_checksum)
    (target / "fingerprint.pb").write_bytes(mark.SerializeToString(deterministic=True))
    extra = target / "assets.extra"
    extra.mkdir()
    records = [
        tfrecord(
            predict_log(
                SERVING_NAME, SIGNATURE, INPUT, np.resize(model.heldout.windows, (n, *model.heldout.windows.shape[1:]))
            )
        )
        for n in WARMUP_BATCHES
    ]
    (extra / "tf_serving_warmup_requests").write_bytes(b"".join(records))
