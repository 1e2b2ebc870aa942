"""Writers of the TFLite targets that any engine with builtin operators runs. Run in a converter child process."""

from __future__ import annotations

from pathlib import Path

from pulsecast.model.spec import INPUT, OUTPUT
from pulsecast.stages.model_directory import ModelDirectory


def write_tflite(model: ModelDirectory, path: Path, source: Path | None) -> None:
    """Convert the forecast as one loop over time: float32, raw units, dynamic batch, no state tensors."""
    import tensorflow as tf

    from . import graph, stacks

    del source
    spec, scaler = model.record.spec, model.record.scaler
    function = tf.function(
        lambda window: {OUTPUT: graph.forecast(spec, scaler, model.weights, window, stacks.gather_stack)},
        input_signature=[tf.TensorSpec([None, spec.context, len(spec.features)], tf.float32, name=INPUT)],
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], tf.Module())
    path.write_bytes(converter.convert())


def write_tflite_fp16(model: ModelDirectory, path: Path, source: Path | None) -> None:
    """Store the weight matrices of `tflite` as float16; scaler constants stay float32, computing is float32.

    TensorFlow's own float16 mode would round the scaler's constants too, which gives errors above the range for raw
    values in the millions.
    """
    del model
    path.write_bytes(_weights_only(source, 16, "float_casting"))


def write_tflite_w8(model: ModelDirectory, path: Path, source: Path | None) -> None:
    """Store the weight matrices of `tflite` as int8 with one scale per output row; computing is float32."""
    del model
    path.write_bytes(_weights_only(source, 8, "min_max_uniform_quantize"))


def _weights_only(source: Path | None, bits: int, algorithm: str) -> bytes:
    from ai_edge_quantizer import qtyping, quantizer

    work = quantizer.Quantizer(str(source))
    work.add_weight_only_config(
        regex=".*", operation_name=qtyping.TFLOperationName.FULLY_CONNECTED, num_bits=bits, algorithm_key=algorithm
    )
    return bytes(work.quantize().quantized_model)
