"""Makes a peer's file, in a child process: `python -m pulsecast_bench.subjects.peer_files PARENT PEER BUNDLE FOLDER`.

All data comes from the bundle: its spec, its scaler and its weights. It prints a `PeerFile` as JSON; the last
line of stderr is the reason of a failure.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import PulsecastError, UsageError
from pulsecast.foundation import strict_json
from pulsecast.stages.model_directory import HeldOutWindows, ModelDirectory, ModelRecord

from .c_loop import compile_loop
from .peers import PEERS, PeerFile


def keras_file(bundle: Bundle, folder: Path) -> PeerFile:
    """Save the network as Keras has it after training: inputs are the recipe's channels."""
    path = folder / "model.keras"
    keras_network(bundle).save(path)
    return PeerFile(path=str(path))


def bundle_onnx(bundle: Bundle, folder: Path) -> PeerFile:
    """Take the bundle's float32 ONNX file as it is."""
    source = next((artifact.path for artifact in bundle.manifest.artifacts if artifact.id == "onnx"), None)
    if source is None:
        raise UsageError("this bundle has no artifact onnx for it to read")
    path = folder / "bundle.onnx"
    path.write_bytes(bundle.read(source))
    return PeerFile(path=str(path))


def bundle_weights(bundle: Bundle, folder: Path) -> PeerFile:
    """Take the bundle's weights as they are."""
    _plain_spec(bundle)
    path = folder / "weights.npz"
    path.write_bytes(bundle.read(bundle.manifest.weights.path))
    return PeerFile(path=str(path))


def compiled_loop(bundle: Bundle, folder: Path) -> PeerFile:
    """Write the loop in C with the bundle's weights, and compile it."""
    return PeerFile(path=str(compile_loop(_plain_spec(bundle), bundle.weights(), folder)))


def raw_onnx(bundle: Bundle, folder: Path) -> PeerFile:
    """Convert the forecast with tf2onnx and write its graph unchanged, like `onnx` before its cleaning."""
    _plain_spec(bundle)
    model = _as_trained(bundle)  # what cannot be converted is refused before the seconds that the imports take
    import tf2onnx

    from pulsecast_export.graphs import graph, stacks

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    function, signature = graph.traced(model, stacks.tensor_list_stack), list(graph.signature(model).values())
    converted, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=17)
    path = folder / "raw.onnx"
    path.write_bytes(converted.SerializeToString())
    return PeerFile(path=str(path))


def _as_trained(bundle: Bundle) -> ModelDirectory:
    """Return the model of a bundle in the form that converters take; raises UsageError if its windows have no times."""
    manifest, golden = bundle.manifest, bundle.golden()
    if manifest.spec.timed and golden.windows.time is None:
        raise UsageError("this bundle has format 1, without the times that the graph takes; export its model again")
    record = ModelRecord(
        format=2,
        name=manifest.name,
        recipe=manifest.recipe,
        spec=manifest.spec,
        scaler=manifest.scaler,
        heldout=manifest.heldout,
        provenance=manifest.provenance,
        intervals=manifest.intervals,
        series=manifest.series,
    )
    return ModelDirectory(
        record=record,
        weights=bundle.weights(),
        heldout=HeldOutWindows(windows=golden.windows, truth=golden.truth, trained=golden.trained, unit=golden.unit),
        calibration=golden.windows,
        table=bundle.series,
    )


def keras_litert(bundle: Bundle, folder: Path) -> PeerFile:
    """Export through Keras' own LiteRT route; raises UsageError with the result of each attempt.

    A looped LSTM becomes TensorFlow operators that LiteRT's wheel does not have, so the next attempt is an unrolled
    one, and the last one has a fixed batch of 1.
    """
    attempts = (("looped", False, None), ("unrolled", True, None), ("unrolled, batch 1", True, 1))
    refused = []
    for text, unroll, batch in attempts:
        path = folder / f"{text.replace(', ', '_').replace(' ', '_')}.tflite"
        try:
            keras_network(bundle, unroll=unroll, batch=batch).export(str(path), format="litert", verbose=False)
            _try_litert(path)
        except Exception as error:  # a converter may raise any exception
            refused.append(f"{text}: {str(error).strip().splitlines()[0].partition('. ')[0][:160]}")
            continue
        note = f"LSTM {text}" + (f" ({'; '.join(refused)})" if refused else "")
        return PeerFile(path=str(path), max_batch=batch, note=note)
    raise UsageError(f"Keras' LiteRT route gives nothing that LiteRT runs: {'; '.join(refused)}")


def _try_litert(path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    interpreter.invoke()


def keras_network(bundle: Bundle, *, unroll: bool = False, batch: int | None = None) -> Any:
    """Return the trained network: (batch, window, channels) -> (batch, horizon)."""
    spec, weights = _plain_spec(bundle), bundle.weights()
    import keras

    layers: list[Any] = [keras.Input(batch_shape=(batch, spec.window, len(spec.channels)), name="channels")]
    for i, units in enumerate(spec.units):
        layers.append(keras.layers.LSTM(units, return_sequences=i < len(spec.units) - 1, unroll=unroll))
    layers.append(keras.layers.Dense(spec.horizon))
    model = keras.Sequential(layers)
    arrays = [array for layer in weights.layers for array in (layer.kernel, layer.recurrent, layer.bias)]
    model.set_weights([np.asarray(array) for array in (*arrays, weights.head_kernel, weights.head_bias)])
    return model


def _plain_spec(bundle: Bundle) -> Any:
    spec = bundle.manifest.spec
    if not spec.is_plain:
        raise UsageError("the model was imported from Keras; this peer is made for plain stacks of LSTMs only")
    if not spec.layered:
        raise UsageError("the model is a linear path alone; this peer is made for stacks of LSTMs only")
    return spec


def main(arguments: list[str]) -> int:
    """Make the file that PEER loads below FOLDER."""
    from pulsecast.stages.parent import die_with_parent

    parent, name, bundle, folder = arguments
    die_with_parent(int(parent))
    answer = os.fdopen(os.dup(1), "w")  # engines print other text to stdout
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            made = globals()[PEERS[name].made_by](Bundle.open(Path(bundle)), Path(folder))
    except PulsecastError as error:
        print(error, file=sys.stderr)
        return 1
    except Exception as error:  # a converter may raise any exception
        print(f"{type(error).__name__}: {error}".replace("\n", " ")[:500], file=sys.stderr)
        return 1
    print(json.dumps(strict_json.to_json(made)), file=answer, flush=True)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
