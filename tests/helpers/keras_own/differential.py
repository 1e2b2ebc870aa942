"""What an import and its artifacts make of a model that was drawn, against Keras itself.

`python -m helpers.keras_own.differential FIRST LAST` checks the seeds from FIRST to before LAST, and prints a line of
JSON for each: a converter that crashes ends this process and no other.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.hostile.keras_files import in_this_process
from helpers.keras_own.fuzz import HORIZON, draw_model, windows
from pulsecast.computing import reference
from pulsecast.errors import ConversionError, DataError
from pulsecast.stages.model_directory import ModelDirectory, read_model_directory

LIMIT = 2e-4  # of the size of the forecasts: float32 against float64 through up to eight layers with large weights


def imported(model: Any, output: str | None, folder: Path, seed: int) -> ModelDirectory | str:
    """Return the model as an import reads its file, or why it is refused."""
    from pulsecast_export.keras_models.keras_import import import_keras
    from pulsecast_export.keras_models.network_import import ImportOptions

    model.save(folder / "own.keras")
    given = windows(64, seed)
    np.savez(folder / "heldout.npz", windows=given, truth=np.zeros((64, HORIZON)))
    options = ImportOptions(name="own", step_s=3600, output=output)
    try:
        import_keras(folder / "own.keras", folder / "heldout.npz", options, folder / "model", force=False)
    except ConversionError as error:
        return str(error)
    return read_model_directory(folder / "model")


def artifact(model: ModelDirectory, folder: Path, target: str) -> Path:
    """Write one target as a converter child does, gated, and return its file."""
    from pulsecast_export.converting.conversion_child import main
    from pulsecast_export.targets import TARGETS

    assert main([str(folder / "model"), str(folder / "bundle"), target]) == 0
    del model
    return folder / "bundle" / TARGETS[target].path


def predicted(path: Path, given: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the forecasts of an artifact, by its engine alone."""
    if path.suffix == ".onnx":
        from pulsecast.backends.onnx import OnnxBackend

        return OnnxBackend(path.read_bytes(), 1).predict(given)
    from pulsecast.backends.tflite import TfliteBackend

    return TfliteBackend(path.read_bytes(), 1).predict(given)


def off(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> float:
    return float(np.max(np.abs(found - expected)) / max(1.0, float(np.max(np.abs(expected)))))


def check(keras: Any, seed: int, folder: Path) -> str:
    """Check one drawn model, and return the road that it took."""
    folder.mkdir()
    keras.backend.clear_session()
    model, output = draw_model(keras, seed)
    given = windows(64, seed)
    answer = model(given, training=False)
    expected = np.asarray(answer if output is None else answer[output])
    try:
        found = imported(model, output, folder, seed)
    except DataError as error:
        if np.isfinite(expected).all():
            raise
        found = str(error)  # Keras itself has no forecast: the mean of the steps of a window that is masked out
    if isinstance(found, str):
        return f"refused: {found}"
    assert off(found.heldout.trained, expected) < 1e-6, f"seed {seed}: the import ran another model"
    spec = found.record.spec
    if spec.graph is None:
        ideal = reference.forecast(spec, found.scaling, found.weights, found.heldout.windows)
    else:
        assert found.heldout.reference is not None
        ideal = found.heldout.reference
    assert off(ideal, expected) < LIMIT, f"seed {seed}: the reference is of another model"
    if spec.graph is not None:
        for target in ("onnx", "tflite"):
            made = predicted(artifact(found, folder, target), given)
            assert off(made, expected) < LIMIT, f"seed {seed}: {target} computes another model"
    return "network" if spec.graph is None else "graph"


def main(arguments: list[str]) -> int:
    """Check the seeds, each in a folder of its own."""
    import keras

    in_this_process(pytest.MonkeyPatch())
    for seed in range(*map(int, arguments)):
        with tempfile.TemporaryDirectory() as folder:
            try:
                road = check(keras, seed, Path(folder) / str(seed)).partition(":")[0]
            except Exception as error:  # of any kind: it is told, and the next seed is checked
                road = f"wrong: {error!r}"
        print(json.dumps({"seed": seed, "road": road}), flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
