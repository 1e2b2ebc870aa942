"""A linear path inside the files: in float32 whatever the weights are; and around the file of full integers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from helpers import plain
from helpers.engines import require
from helpers.graph_models import Converted
from pulsecast.backends import open_backend
from pulsecast.bundle.bundle import Bundle
from pulsecast.computing import reference
from pulsecast.computing.network_forward import run
from pulsecast.errors import UsageError
from pulsecast.model.weights import Weights
from pulsecast_export.quantisation import quantise_rows
from pulsecast_export.targets import TARGETS, find_targets, fitting

pytestmark = pytest.mark.slow
SMALL = ("onnx-w8", "tflite-w8", "tflite-fp16")
Rounding = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def forecast_of(converted: Converted, target: str, folder: Path) -> NDArray[np.float32]:
    """Write a target of smaller weights beside a copy of the bundle's other files, and return its forecasts."""
    import importlib

    row = TARGETS[target]
    module, _, function = row.writer.partition(":")
    source = converted.folder / "bundle" / TARGETS[str(row.source)].path
    (folder / row.path).parent.mkdir(parents=True)
    write = getattr(importlib.import_module(f"pulsecast_export.{module}"), function)
    write(converted.case.directory(), folder / row.path, source)
    for name in ("weights.npz", "golden.npz"):
        (folder / name).write_bytes((converted.folder / "bundle" / name).read_bytes())
    model = converted.case.model
    plain.write_manifest(folder, model, (plain.numpy_artifact(), plain.artifact_of(target, model.spec)))
    bundle = Bundle.open(folder)
    windows = model.windows
    return open_backend(bundle, bundle.manifest.artifact(target), threads=1).predict(*windows.inputs)


def rounded(weights: Weights, rounding: Rounding) -> Weights:
    """Return `weights` with the network's matrices rounded, and the kernel of the linear path as it is."""
    layers = tuple(
        replace(layer, kernel=rounding(layer.kernel), recurrent=rounding(layer.recurrent)) for layer in weights.layers
    )
    return replace(weights, layers=layers, head_kernel=rounding(weights.head_kernel))


def to_int8(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    values, scale = quantise_rows(matrix, axis=0)
    return values * scale


ROUNDINGS: dict[str, Rounding] = {
    "onnx-w8": to_int8,
    "tflite-w8": to_int8,
    "tflite-fp16": lambda matrix: matrix.astype(np.float16).astype(np.float32),
}


@pytest.mark.parametrize("target", SMALL)
@pytest.mark.parametrize("converted", ["calendar", "alone"], indirect=True)
def test_smaller_weights_are_the_networks_alone(converted: Converted, target: str, tmp_path: Path) -> None:
    """The forecast is that of a network with rounded matrices, beside a kernel that is not rounded."""
    model = converted.case.model
    found = forecast_of(converted, target, tmp_path)

    def difference(weights: Weights) -> float:
        wanted = reference.forecast(model.spec, model.scaler, weights, model.windows)
        return float(np.max(np.abs(found - wanted)) / model.scaler.range)

    matrices = rounded(model.weights, ROUNDINGS[target]) if model.spec.network.recurrent else model.weights
    assert model.weights.linear is not None
    assert difference(matrices) < 1e-5
    assert difference(replace(matrices, linear=ROUNDINGS[target](model.weights.linear))) > 4e-5


def test_the_file_of_full_integers_has_the_path_added_around_it(
    linear_model: plain.PlainModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place of the file stands the network in float64: what is left is what the runtime computes around it."""
    require("ai_edge_litert")
    from pulsecast.backends import tflite

    model = linear_model

    class Network:
        engine = "none"

        def __init__(self, file: bytes, threads: int) -> None:
            del file, threads

        def limits(self) -> tuple[float, float]:
            return -np.inf, np.inf

        def predict(self, channels: NDArray[Any], *, reset: bool) -> NDArray[Any]:
            assert reset
            return run(model.spec.network, model.weights, channels.astype(np.float64))

    monkeypatch.setattr(tflite, "TfliteBackend", Network)
    backend = tflite.ScaledTfliteBackend(b"", 1, model.spec, model.scaler, model.weights)
    wanted = model.golden().reference
    np.testing.assert_allclose(backend.predict(*model.windows.inputs), wanted, atol=1e-5 * model.scaler.range)
    without = replace(model.weights, linear=np.zeros_like(model.weights.linear))
    bare = reference.forecast(model.spec, model.scaler, without, model.windows)
    assert np.abs(bare - wanted).max() > 0.1 * model.scaler.range
    values = model.windows.values.copy()
    values[2, 40] = np.nan
    found = backend.predict(*model.windows.changed(values).inputs)
    assert np.isnan(found[2]).all()
    np.testing.assert_allclose(np.delete(found, 2, 0), np.delete(wanted, 2, 0), atol=1e-5 * model.scaler.range)


@pytest.mark.parametrize("converted", ["alone"], indirect=True)
def test_a_path_alone_has_no_file_of_full_integers(converted: Converted) -> None:
    every = find_targets(())
    chosen, reasons = fitting((), every, converted.spec, many=False)
    assert set(every) - set(chosen) == {"tflite-int8"}
    (reason,) = reasons
    assert reason == (
        "tflite-int8 exists for a model with recurrent layers only; this one is a linear path alone: take native, "
        "which runs on the same devices"
    )
    with pytest.raises(UsageError, match="target tflite-int8 exists for a model with recurrent layers only"):
        fitting(("tflite-int8",), ("tflite-int8",), converted.spec, many=False)
