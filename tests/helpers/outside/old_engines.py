"""Runs files of a bundle in whatever engine this environment has; prints the largest error, by file, as JSON: in raw
units, or of a bundle of several series in those of each.

python old_engines.py BUNDLE FILE...   in an environment without pulsecast: `savedmodel/1`, .onnx and .tflite
"""

import json
import sys
from pathlib import Path

import numpy as np


def run(path, inputs):
    """Return the outputs of a file by name."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, inputs), strict=True))
    import tensorflow as tf

    if path.suffix == ".tflite":
        return tf.lite.Interpreter(model_path=str(path)).get_signature_runner()(**inputs)
    model = tf.saved_model.load(str(path))  # it must live as long as its signature
    found = model.signatures["serving_default"](**{name: tf.constant(array) for name, array in inputs.items()})
    return {name: array.numpy() for name, array in found.items()}


def main(bundle, *files):
    golden = np.load(bundle / "golden.npz")
    inputs, reference = (
        {name: golden[name] for name in ("values", "time", "series") if name in golden},
        golden["reference"],
    )
    unit = golden["unit"][:, np.newaxis] if "unit" in golden else 1.0
    wrong = [{**inputs, "time": inputs["time"] * 1000}]
    if "series" in inputs:
        wrong += [{**inputs, "series": inputs["series"] + 10**6}, {**inputs, "series": inputs["series"] - 10**6}]
    errors = {}
    for file in files:
        found = run(bundle / file, inputs)
        assert sorted(found) == ["forecast", "lower", "upper"]
        assert (found["lower"] <= found["forecast"]).all()
        assert (found["forecast"] <= found["upper"]).all()
        for given in wrong:
            assert np.isnan(run(bundle / file, given)["forecast"]).all()
        errors[file] = float(np.max(np.abs(found["forecast"] - reference) / unit))
    print(json.dumps(errors))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
