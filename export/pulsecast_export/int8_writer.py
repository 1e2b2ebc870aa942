"""Writer of the full-integer TFLite file for microcontrollers. Run in a converter child process.

The only target with state tensors and with scaled units: whoever runs it resets the variables before every window,
scales channels in and forecasts out, as `pulsecast.backends.tflite` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulsecast import reference
from pulsecast.model_directory import ModelDirectory


def write_tflite_int8(model: ModelDirectory, folder: Path, path: str) -> None:
    """Convert the network with fused LSTMs, weights and activations int8 (cell state int16), float32 at the borders."""
    import tensorflow as tf

    from . import graph

    spec, scaler = model.record.spec, model.record.scaler
    inputs = reference.channels(spec, scaler.transform(model.calibration)).astype(np.float32)  # (n, window, channels)

    def calibration() -> Iterator[list[NDArray[np.float32]]]:
        for row in inputs:
            yield [row[np.newaxis]]

    function = tf.function(
        lambda channels: {"output": graph.fused_network(spec, model.weights, channels)},
        input_signature=[tf.TensorSpec([1, spec.window, len(spec.channels)], tf.float32, name="channels")],
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], tf.Module())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = calibration
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    # the default quantiser saturates a fused LSTM and gives a constant, without a word
    converter.experimental_new_quantizer = False
    (folder / path).write_bytes(without_cell_clip(converter.convert()))


def without_cell_clip(data: bytes) -> bytes:
    """Return the file with the fused LSTMs' cell clip off; the converter sets 10.0, which no cell was trained with."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data, 0)
    for subgraph in model.subgraphs:
        for operator in subgraph.operators:
            if (
                model.operatorCodes[operator.opcodeIndex].builtinCode
                == schema.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM
            ):
                operator.builtinOptions.cellClip = 0.0
    builder = flatbuffers.Builder(len(data) + 1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
