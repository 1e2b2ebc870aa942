"""Writers of the targets of layer graphs. Run in a converter child process."""

from __future__ import annotations

import logging
from pathlib import Path

import tensorflow as tf

from pulsecast.stages.model_directory import ModelDirectory

from ..graphs import graph
from ..graphs.savedmodel import save
from ..graphs.tflite_file import named
from ..graphs.tflite_writer import weights_only
from .form import Twins
from .tracing import traced

# what weights are rounded of, beside the dense layers that every model has
_CONVOLUTIONS = ("FULLY_CONNECTED", "CONV_2D")


def write_savedmodel(model: ModelDirectory, path: Path, source: Path | None) -> None:
    """Write the forecast with weights as constants, one signature, and warm-up records."""
    del source
    save(model, traced(model, Twins(form="loop")), path)


def write_tflite(model: ModelDirectory, path: Path, source: Path | None) -> None:
    """Convert the forecast: float32, raw units, dynamic batch, no state tensors."""
    del source
    function = traced(model, Twins(form="loop"))
    concrete = function.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
    path.write_bytes(named(converter.convert(), list(graph.signature(model)), sorted(concrete.structured_outputs)))


def write_tflite_fp16(model: ModelDirectory, path: Path, source: Path | None) -> None:
    """Store the matrices and kernels of `tflite` as float16; computing is float32."""
    del model
    path.write_bytes(weights_only(source, 16, "float_casting", _CONVOLUTIONS))


def write_tflite_w8(model: ModelDirectory, path: Path, source: Path | None) -> None:
    """Store the matrices and kernels of `tflite` as int8 with one scale per output row; computing is float32."""
    del model
    path.write_bytes(weights_only(source, 8, "min_max_uniform_quantize", _CONVOLUTIONS))


def write_onnx(model: ModelDirectory, path: Path, source: Path | None) -> None:
    """Convert the forecast with tf2onnx, each recurrent layer as one fused operator: float32, raw units."""
    from .fused import convert

    del source
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # it reports the marks as operators without a shape
    path.write_bytes(convert(model).SerializeToString(deterministic=True))
