"""The SavedModel in a fresh process, and its warm-up records compared with the official library."""

import json
import subprocess
import sys
import tempfile
from functools import cache
from typing import Any

import numpy as np
import pytest

from helpers.engines import load as load_package
from helpers.engines import require
from helpers.trained import BUNDLES, bundle_of
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.contract import inputs_of
from pulsecast_export.graphs.warmup import predict_log, tfrecord

pytestmark = pytest.mark.slow


SERVE = """
import sys
import numpy as np
for name in ("keras", "tf_keras"):
    sys.modules[name] = None  # TensorFlow imports Keras by itself if it can; this stands for a machine without it
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
with np.load(sys.argv[2]) as golden:
    given = {name: tf.constant(golden[name]) for name in ("values", "time") if name in golden}
    found = model.signatures["serving_default"](**given)["forecast"].numpy()
    error = float(np.max(np.abs(found - golden["reference"])))
loaded = sorted({n.split(".")[0] for n, m in sys.modules.items() if m} & {"keras", "tf_keras", "pulsecast"})
import json
import os
print(json.dumps({"error": error, "loaded": loaded, "variables": len(getattr(model, "variables", ()))}))
"""


@pytest.mark.parametrize("recipe", [pytest.param("textbook", marks=pytest.mark.soak), "recommended"])
def test_the_savedmodel_serves_in_a_fresh_process_without_keras(recipe: str, request: pytest.FixtureRequest) -> None:
    path = bundle_of(recipe, request)
    command = [sys.executable, "-I", "-c", SERVE, str(path / "savedmodel" / "1"), str(path / "golden.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    manifest = Bundle.open(path).manifest
    assert answer["error"] <= manifest.artifact("savedmodel").tolerance.max_abs * manifest.scaler.range
    assert (answer["loaded"], answer["variables"]) == ([], 0)


@cache
def serving_api() -> Any:
    """The official protocol classes: tensorflow-serving-api, which only these tests use."""
    require("tensorflow")
    apis = load_package("tensorflow_serving.apis.prediction_log_pb2")
    from tensorflow_serving.apis import predict_pb2

    return apis, predict_pb2


def official(model: str, signature: str, inputs: dict[str, np.ndarray]) -> bytes:
    import tensorflow as tf

    apis, predict_pb2 = serving_api()
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    log = apis.PredictionLog(predict_log=apis.PredictLog(request=request))
    return bytes(log.SerializeToString(deterministic=True))


@pytest.mark.parametrize("shape", [(1, 50, 1), (64, 73, 8), (200, 1, 1), (1, 1, 1)])
def test_a_warm_up_record_is_byte_for_byte_what_the_official_library_writes(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(0, 100, shape).astype(np.float32)
    time = np.arange(shape[0], dtype=np.int64) * 3600 - 86_400  # some before 1970
    for inputs in ({"values": values}, {"values": values, "time": time}):
        assert predict_log("pulsecast", "serving_default", inputs) == official("pulsecast", "serving_default", inputs)


def test_tensorflow_reads_our_records_back() -> None:
    require("tensorflow")
    data = [b"", b"a", bytes(range(256)) * 300]
    assert _records(b"".join(tfrecord(one) for one in data)) == data


def _records(written: bytes) -> list[bytes]:
    """Read a TFRecord file with TensorFlow, which checks both checksums of every record."""
    import tensorflow as tf

    with tempfile.NamedTemporaryFile() as file:
        file.write(written)
        file.flush()
        return [bytes(record.numpy()) for record in tf.data.TFRecordDataset(file.name)]


@BUNDLES
def test_the_warm_up_records_replay_through_the_savedmodel(recipe: str, request: pytest.FixtureRequest) -> None:
    import tensorflow as tf

    apis, _ = serving_api()
    path = bundle_of(recipe, request)
    manifest = Bundle.open(path).manifest
    folder = path / "savedmodel" / "1"
    signature = (model := tf.saved_model.load(str(folder))).signatures["serving_default"]
    sizes = []
    for record in _records((folder / "assets.extra" / "tf_serving_warmup_requests").read_bytes()):
        asked = apis.PredictionLog.FromString(record).predict_log.request
        assert (asked.model_spec.name, asked.model_spec.signature_name) == ("pulsecast", "serving_default")
        given = {name: tf.make_ndarray(asked.inputs[name]) for name in asked.inputs}
        assert set(given) == set(inputs_of(manifest.spec))
        assert given["values"].shape[1:] == (manifest.spec.context, manifest.spec.measured)
        forecasts = signature(**{name: tf.constant(array) for name, array in given.items()})["forecast"].numpy()
        assert np.isfinite(forecasts).all()
        sizes.append(len(given["values"]))
    assert sizes == [1, 2, 4, 8, 16, 32, 64]
    assert model is not None
