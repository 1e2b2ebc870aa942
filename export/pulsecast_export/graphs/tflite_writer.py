"""Writers of the TFLite targets that any engine with builtin operators runs. Run in a converter child process."""

from __future__ import annotations

from pathlib import Path

from pulsecast.stages.model_directory import ModelDirectory

from .tflite_file import named

EXACT = r"(^|[/;])exact(_\d+)?/"  # `linear_graph.EXACT` in an operator's name, which TensorFlow may number


def write_tflite(model: ModelDirectory, path: Path, source: Path | None) -> None:
    """Convert the forecast as one loop over time: float32, raw units, dynamic batch, no state tensors."""
    import tensorflow as tf

    from . import graph, stacks

    del source
    function = graph.traced(model, stacks.gather_stack)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], tf.Module())
    found = sorted(function.get_concrete_function().structured_outputs)  # the order in which they are returned
    path.write_bytes(named(converter.convert(), list(graph.signature(model)), found))


def write_tflite_fp16(model: ModelDirectory, path: Path, source: Path | None) -> None:
    """Store the network's weight matrices in `tflite` as float16; other constants stay float32, computing is float32.

    TensorFlow's own float16 mode would round the scaler's constants too, which gives errors above the range for raw
    values in the millions.
    """
    del model
    path.write_bytes(weights_only(source, 16, "float_casting"))


def write_tflite_w8(model: ModelDirectory, path: Path, source: Path | None) -> None:
    """Store the network's weight matrices in `tflite` as int8 with one scale per output row; computing is float32."""
    del model
    path.write_bytes(weights_only(source, 8, "min_max_uniform_quantize"))


def weights_only(
    source: Path | None, bits: int, algorithm: str, operations: tuple[str, ...] = ("FULLY_CONNECTED",)
) -> bytes:
    """Return the file at `source` with the weights of these operations stored in `bits`; computing is float32."""
    from ai_edge_quantizer import qtyping, quantizer

    work = quantizer.Quantizer(str(source))
    for name in operations:
        operation = qtyping.TFLOperationName[name]
        work.add_weight_only_config(regex=".*", operation_name=operation, num_bits=bits, algorithm_key=algorithm)
        work.update_quantization_recipe(regex=EXACT, operation_name=operation, algorithm_key="no_quantize")
    return bytes(work.quantize().quantized_model)
