"""A SavedModel is a program to TensorFlow: one that does more than arithmetic is never loaded."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from helpers import plain
from helpers.engines import load, require
from pulsecast import load as load_bundle
from pulsecast.errors import EngineError

pytestmark = pytest.mark.slow
SAVEDMODEL = dataclasses.replace(plain.numpy_artifact(), id="savedmodel", backend="savedmodel", path="savedmodel/1")


@pytest.fixture(scope="module")
def tf() -> Any:
    require("tensorflow")
    return load("tensorflow")


def bundle(tf: Any, module: Any, signature: Any, folder: Path, model: plain.PlainModel) -> Path:
    plain.write_bundle(folder, model)
    tf.saved_model.save(module, str(folder / "savedmodel" / "1"), signatures={"serving_default": signature})
    plain.write_manifest(folder, model, (plain.numpy_artifact(), SAVEDMODEL))
    return folder


def forecast_with(tf: Any, act: Any, model: plain.PlainModel) -> Any:
    """Return a function that acts and returns an array of the right shape."""
    shape = [None, model.spec.context, len(model.spec.features)]

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="window")])
    def forecast(window: Any) -> dict[str, Any]:
        return {"forecast": act(window) + window[:, -model.spec.horizon :, 0]}

    return forecast


def test_a_graph_that_would_write_a_file_is_not_loaded(tf: Any, level_model: plain.PlainModel, tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    def write(_: Any) -> Any:
        tf.io.write_file(str(mark), "was here")
        return 0.0

    def in_a_loop(_: Any) -> Any:
        return tf.while_loop(lambda i: i < 1.0, lambda i: (i + 1.0 + write(i),), (tf.constant(0.0),))[0]

    for number, act in enumerate((write, in_a_loop)):
        module = tf.Module()
        module.forecast = forecast_with(tf, act, level_model)
        signature = module.forecast.get_concrete_function()
        hostile = bundle(tf, module, signature, tmp_path / f"bundle{number}", level_model)
        with pytest.raises(EngineError, match="the SavedModel holds more than a forecast: WriteFile; it is not loaded"):
            load_bundle(hostile, backend="savedmodel", trust_code=True)
        assert not mark.exists()
        # it works without the gate: otherwise the test could not fail
        window = tf.zeros((1, level_model.spec.context, len(level_model.spec.features)))
        tf.saved_model.load(str(hostile / "savedmodel" / "1")).signatures["serving_default"](window=window)
        assert mark.read_text() == "was here"
        mark.unlink()


def test_a_graph_with_a_variable_is_not_loaded(tf: Any, level_model: plain.PlainModel, tmp_path: Path) -> None:
    module = tf.Module()
    module.variable = tf.Variable(0.0)
    module.forecast = forecast_with(tf, lambda _: module.variable, level_model)
    signature = module.forecast.get_concrete_function()
    with pytest.raises(EngineError, match="an object of kind variable"):
        load_bundle(bundle(tf, module, signature, tmp_path / "bundle", level_model), backend="savedmodel")


def test_every_exported_savedmodel_is_arithmetic(tf: Any, recommended_bundle: Path, textbook_bundle: Path) -> None:
    del tf
    for path in (recommended_bundle, textbook_bundle):
        assert load_bundle(path, backend="savedmodel").artifact.id == "savedmodel"


def test_what_a_server_would_run_while_it_loads_is_looked_at_too(
    tf: Any, level_model: plain.PlainModel, tmp_path: Path
) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    from pulsecast.backends.savedmodel import require_arithmetic

    module = tf.Module()
    module.forecast = forecast_with(tf, lambda _: 0.0, level_model)
    folder = bundle(tf, module, module.forecast.get_concrete_function(), tmp_path / "bundle", level_model)
    file = folder / "savedmodel" / "1" / "saved_model.pb"
    require_arithmetic(file.parent, served=True)
    for key in ("saved_model_main_op", "legacy_init_op"):
        saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
        graph = saved.meta_graphs[0]
        graph.graph_def.node.add(name="write", op="WriteFile")
        graph.collection_def[key].node_list.value[:] = ["write"]
        hostile = tmp_path / key
        hostile.mkdir()
        (hostile / "saved_model.pb").write_bytes(saved.SerializeToString())
        require_arithmetic(hostile)  # Python's loader runs neither
        with pytest.raises(EngineError, match="more than a forecast: WriteFile; it is not served"):
            require_arithmetic(hostile, served=True)


def test_serve_config_hands_no_program_to_a_server(tf: Any, level_model: plain.PlainModel, tmp_path: Path) -> None:
    from pulsecast_export.serving.serve_config import ServeOptions, serve_config

    module = tf.Module()
    module.forecast = forecast_with(
        tf, lambda _: tf.cast(tf.strings.length(tf.io.read_file("name")), tf.float32), level_model
    )
    folder = bundle(tf, module, module.forecast.get_concrete_function(), tmp_path / "bundle", level_model)
    with pytest.raises(EngineError, match="more than a forecast: ReadFile, StringLength; it is not served"):
        serve_config(folder, tmp_path / "served", ServeOptions())
    assert not (tmp_path / "served").exists()
