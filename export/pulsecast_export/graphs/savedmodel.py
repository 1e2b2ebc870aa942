"""Writer of the SavedModel for TF Serving. Run in a converter child process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pulsecast.model.spec import INPUT, OUTPUT
from pulsecast.stages.model_directory import ModelDirectory

from .warmup import predict_log, tfrecord

SIGNATURE = "serving_default"
WARMUP_BATCHES = (1, 2, 4, 8, 16, 32, 64)  # one record for each: TF Serving compiles and allocates per batch size
SERVING_NAME = "pulsecast"


def write_savedmodel(model: ModelDirectory, path: Path, source: Path | None) -> None:
    """Write the forecast with weights as constants (no Keras, no variables), one signature, and warm-up records."""
    import tensorflow as tf
    from tensorflow.core.protobuf import fingerprint_pb2

    from . import graph, stacks

    del source
    spec, scaler = model.record.spec, model.record.scaler
    module: Any = tf.Module()
    module.forecast = tf.function(
        lambda window: {OUTPUT: graph.forecast(spec, scaler, model.weights, window, stacks.gather_stack)},
        input_signature=[tf.TensorSpec([None, spec.context, len(spec.features)], tf.float32, name=INPUT)],
    )
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
                SERVING_NAME, SIGNATURE, INPUT, np.resize(model.heldout.windows, (n, *model.heldout.windows.shape[1:]))
            )
        )
        for n in WARMUP_BATCHES
    ]
    (extra / "tf_serving_warmup_requests").write_bytes(b"".join(records))
