"""Refusals in a user's Keras file before Keras sees it, with the layer's name and the reason; no code runs."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.engines import require
from pulsecast.errors import ConversionError

require("h5py")

import h5py  # noqa: E402

from helpers.keras_own.configs import Config, dense, layer, lstm, read, sequential, start, tensor  # noqa: E402
from pulsecast_export.keras_models.graph_reading import FoundGraph  # noqa: E402
from pulsecast_export.keras_models.h5_weights import read_h5_weights  # noqa: E402  needs h5py
from pulsecast_export.keras_models.keras_file import read_keras_file  # noqa: E402
from pulsecast_export.keras_models.keras_layers import Found  # noqa: E402
from pulsecast_export.keras_models.model_reading import read_model  # noqa: E402


def both(name: str = "both", merge: object = "concat", **settings: object) -> Config:
    forward = lstm("forward", **settings)  # type: ignore[arg-type]
    return layer("Bidirectional", name, merge_mode=merge, layer=forward)


def weights_file(edit: Callable[[h5py.File], object] = lambda _: None) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["layers/lstm/cell/vars/0"] = np.zeros((2, 16), np.float32)
        edit(file)
    return buffer.getvalue()


def keras_file(
    path: Path, config: object, *, weights: bytes | None = None, more: dict[str, bytes] | None = None
) -> Path:
    members = {
        "metadata.json": b'{"keras_version": "3.15.1"}',
        "config.json": config if isinstance(config, bytes) else json.dumps(config).encode(),
        "model.weights.h5": weights_file() if weights is None else weights,
        **(more or {}),
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_an_ordinary_model_is_read_and_what_compiled_it_is_left_alone(tmp_path: Path) -> None:
    file = read_keras_file(keras_file(tmp_path / "m.keras", sequential(start(), lstm(), dense())))
    found = read(file.config)
    assert isinstance(found, Found)
    assert (file.version, found.window, found.features, found.horizon) == ("3.15.1", 8, 2, 1)
    assert found.network.is_plain


FOREIGN: dict[str, tuple[Config, str]] = {
    "a Lambda layer": (
        layer("Lambda", "trick", function={"class_name": "__lambda__", "config": {"code": "4wEAAA=="}}),
        r"layer 'trick' \(Lambda\) carries code",
    ),
    "a lambda as an activation": (
        dense(activation={"class_name": "__lambda__", "config": {"code": "4wEAAA=="}}),
        r"layer 'head' \(Dense\) carries code \(__lambda__\)",
    ),
    "a function as an activation": (
        dense(activation={"class_name": "function", "module": "os", "config": "system"}),
        r"layer 'head' \(Dense\) carries code \(function\)",
    ),
    "a class of another module": (
        {**layer("Popen", "trick"), "module": "subprocess"},
        r"layer 'trick' \(Popen\) needs 'Popen' of module 'subprocess'",
    ),
    "a registered class": (
        {**layer("Own", "own"), "registered_name": "package>Own"},
        r"layer 'own' \(Own\) needs the registered class 'package>Own'",
    ),
    "a class without a module": ({**layer("Own", "own"), "module": None}, "needs 'Own' of module 'None'"),
    "an initializer of another module": (
        dense(kernel_initializer={"class_name": "call", "module": "os", "config": {}}),
        r"layer 'head' \(Dense\) needs 'call' of module 'os'",
    ),
    "a saved graph inside": (layer("TFSMLayer", "graph", filepath="/etc"), r"layer 'graph' \(TFSMLayer\) carries code"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_could_run_code_is_refused_by_layer(name: str, tmp_path: Path) -> None:
    bad, sentence = FOREIGN[name]
    path = keras_file(tmp_path / "m.keras", sequential(start(), lstm(), bad))
    with pytest.raises(ConversionError, match=rf"m\.keras is refused, and nothing in it was run: .*{sentence}"):
        read_keras_file(path)


def test_all_that_is_refused_is_said_at_once(tmp_path: Path) -> None:
    bad = [layer("Lambda", "one"), {**layer("Own", "two"), "module": "own"}]
    with pytest.raises(ConversionError, match=r"'two' .*'one' "):
        read_keras_file(keras_file(tmp_path / "m.keras", sequential(start(), *bad)))


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", shape=(4,))
    file.create_virtual_dataset("virtual", layout)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no zip": (lambda p: p.write_bytes(b"x" * 100), "is not a whole .keras file"),
    "an asset": (
        lambda p: keras_file(p, sequential(start()), more={"assets/x": b"x"}),
        "holds 'assets/x', 'config.json'",
    ),
    "a climb out": (lambda p: keras_file(p, sequential(start()), more={"../x": b"x"}), r"holds '\.\./x'"),
    "no JSON": (lambda p: keras_file(p, b"{"), r"config\.json in m\.keras is not valid JSON"),
    "a list": (lambda p: keras_file(p, b"[]"), r"config\.json in m\.keras is not an object"),
    "deep JSON": (lambda p: keras_file(p, b"[" * 100_000), "is not valid JSON"),
    "nested JSON": (lambda p: keras_file(p, b'{"a":' + b"[" * 200 + b"]" * 200 + b"}"), "nested more than 64 levels"),
    "no HDF5": (lambda p: keras_file(p, sequential(start()), weights=b"x"), "holds no readable HDF5 weights"),
    "an external link": (
        lambda p: keras_file(
            p, sequential(start()), weights=weights_file(lambda f: f.update(x=h5py.ExternalLink("/etc/passwd", "/")))
        ),
        "//x is a link",
    ),
    "a soft link": (
        lambda p: keras_file(
            p, sequential(start()), weights=weights_file(lambda f: f.update(x=h5py.SoftLink("/layers")))
        ),
        "is a link",
    ),
    "storage outside": (
        lambda p: keras_file(
            p,
            sequential(start()),
            weights=weights_file(lambda f: f.create_dataset("x", (4,), "f4", external=[("elsewhere", 0, 16)])),
        ),
        "/x lies in another file",
    ),
    "a virtual dataset": (lambda p: keras_file(p, sequential(start()), weights=weights_file(_virtual)), "another file"),
    "objects": (
        lambda p: keras_file(
            p,
            sequential(start()),
            weights=weights_file(lambda f: f.create_dataset("x", (2,), h5py.string_dtype())),
        ),
        "/x is object; expected numbers",
    ),
    "huge arrays in a small file": (
        lambda p: keras_file(
            p,
            sequential(start()),
            weights=weights_file(lambda f: f.create_dataset("x", (1 << 30,), "f4", chunks=(1 << 16,))),
        ),
        "its weights have 4294967424 bytes",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_not_a_whole_model_is_refused(name: str, tmp_path: Path) -> None:
    make, sentence = BROKEN[name]
    make(tmp_path / "m.keras")
    with pytest.raises(ConversionError, match=sentence):
        read_keras_file(tmp_path / "m.keras")


CANNOT: dict[str, tuple[Config, str]] = {
    "a simple RNN": (sequential(start(), layer("SimpleRNN", "rnn")), r"layer 'rnn' \(SimpleRNN\): only LSTM and GRU"),
    "a layer that no artifact has": (
        sequential(start(), lstm(), layer("UnitNormalization", "u")),
        r"layer 'u' \(UnitNormalization\): it has no counterpart",
    ),
    "a kernel of text": (
        sequential(start(), layer("Conv1D", "conv", filters=4, kernel_size="3"), lstm(), dense()),
        r"layer 'conv' \(Conv1D\): kernel_size is '3'; expected one whole number",
    ),
    "a grouped convolution": (
        sequential(start(), layer("Conv1D", "conv", groups=2), dense()),
        r"layer 'conv' \(Conv1D\): groups is 2; expected 1",
    ),
    "channels first": (
        sequential(start(), layer("MaxPooling1D", "pool", data_format="channels_first"), dense()),
        "data_format is 'channels_first'; expected 'channels_last'",
    ),
    "a setting that is new": (
        sequential(start(), layer("Flatten", "flat", twisted=True), dense()),
        r"layer 'flat' \(Flatten\): it has a setting 'twisted' that is not known here",
    ),
    "one activation for each step": (
        sequential(start(), layer("TimeDistributed", "td", layer=layer("Masking", "m"))),
        r"layer 'td' \(TimeDistributed\): it wraps 'Masking'",
    ),
    "state kept": (sequential(start(), lstm(stateful=True), dense()), r"layer 'first' \(LSTM\): stateful is on"),
    "state given": (sequential(start(), lstm(return_state=True), dense()), "return_state is on"),
    "another activation": (
        sequential(start(), lstm(activation="gelu"), dense()),
        "activation is 'gelu'; known: linear",
    ),
    "another gate": (
        sequential(start(), lstm(recurrent_activation="relu6"), dense()),
        "recurrent_activation is 'relu6'",
    ),
    "half precision": (
        sequential(start(), lstm(dtype={"config": {"name": "mixed_float16"}}), dense()),
        "its dtype is 'mixed_float16'",
    ),
    "a quantised layer": (sequential(start(), lstm(), dense(quantization_config={"a": 1})), "it is quantised already"),
    "units that are text": (sequential(start(), lstm(units="4"), dense()), "units is '4'"),
    "features unknown": (sequential(start(None), lstm(), dense()), "its input is"),
    "no merging": (
        sequential(start(), both(merge=None), dense()),
        r"layer 'both' \(Bidirectional\): merge_mode is None",
    ),
    "a first layer that goes backwards": (sequential(start(), both(go_backwards=True), dense()), "goes backwards"),
    "another model class": ({"class_name": "Own", "config": {"layers": []}}, "expected Sequential or Functional"),
    "a damaged layer": (sequential({"class_name": "Dense"}), "configuration is damaged"),
}


@pytest.mark.parametrize("name", CANNOT)
def test_what_cannot_be_converted_is_said_by_layer_and_reason(name: str) -> None:
    config, sentence = CANNOT[name]
    with pytest.raises(ConversionError, match=sentence):
        read(config)


GRAPHS: dict[str, Config] = {
    "a convolution": sequential(start(), layer("Conv1D", "conv", filters=4, kernel_size=3), lstm(), dense()),
    "masking": sequential(start(), layer("Masking", "mask", mask_value=0.0), lstm(), dense()),
    "no recurrent layer": sequential(start(), dense()),
    "a dense layer first": sequential(start(), dense("early"), lstm(), dense()),
    "sequences at the end": sequential(start(), lstm(sequences=True), dense()),
    "a normalisation behind": sequential(start(), lstm(), layer("BatchNormalization", "bn"), dense()),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_layers_that_a_network_does_not_have_are_read_as_a_graph(name: str) -> None:
    found = read(GRAPHS[name])
    assert isinstance(found, FoundGraph)
    assert [layer.kind for layer in found.layers][1:] == [
        one["class_name"] for one in GRAPHS[name]["config"]["layers"][1:]
    ]


def test_a_functional_model_with_a_branch_is_refused() -> None:
    nodes: dict[str, list[Config]] = {
        "input": [],
        "first": [{"args": [tensor("input")]}],
        "head": [{"args": [[tensor("first"), tensor("input")]]}],
    }
    layers = [{**one, "inbound_nodes": nodes[one["config"]["name"]]} for one in (start(), lstm(), dense())]
    with pytest.raises(ConversionError, match=r"layer 'head' \(Dense\): it takes 2 inputs; expected one"):
        read_model({"class_name": "Functional", "config": {"layers": layers}})


# --- .h5: only weights of LSTM layers and a dense head


def old_h5(path: Path, layers: dict[str, list[np.ndarray[Any, Any]]], config: object = None) -> Path:
    """Write weights in the layout of Keras 2: the order of layers and arrays is in attributes."""
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [name.encode() for name in layers]
        for name, arrays in layers.items():
            group = root.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{i}:0".encode() for i in range(len(arrays))]
            for i, array in enumerate(arrays):
                group[f"{name}/{i}:0"] = array
        if config is not None:
            file.attrs["model_config"] = json.dumps(config)
    return path


def random_layers() -> dict[str, list[np.ndarray[Any, Any]]]:
    draw = np.random.default_rng(5).standard_normal
    return {
        "lstm": [draw((2, 16)), draw((4, 16)), draw(16)],
        "dropout": [],
        "lstm_1": [draw((4, 12)), draw((3, 12)), draw(12)],
        "dense": [draw((3, 2)), draw(2)],
    }


def test_the_weights_of_a_keras_2_file_are_read_as_they_are(tmp_path: Path) -> None:
    layers = random_layers()
    weights, configured = read_h5_weights(old_h5(tmp_path / "m.h5", layers))
    assert not configured
    np.testing.assert_array_equal(weights.layers[1].recurrent, layers["lstm_1"][1].astype(np.float32))
    np.testing.assert_array_equal(weights.head_bias, layers["dense"][1].astype(np.float32))


def test_the_weights_of_a_keras_3_weights_file_are_read_in_the_order_of_their_layers(tmp_path: Path) -> None:
    layers = random_layers()
    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        for name in ("dense", "lstm_1", "lstm"):
            place = f"layers/{name}/vars" if name == "dense" else f"layers/{name}/cell/vars"
            for i, array in enumerate(layers[name]):
                file[f"{place}/{i}"] = array
    weights, _ = read_h5_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(weights.layers[0].kernel, layers["lstm"][0].astype(np.float32))
    np.testing.assert_array_equal(weights.head_kernel, layers["dense"][0].astype(np.float32))


BAD_H5: dict[str, tuple[Callable[[Path], object], str]] = {
    "another architecture": (
        lambda p: old_h5(p, {**random_layers(), "lstm": [np.zeros((2, 12)), np.zeros((4, 12)), np.zeros((2, 12))]}),
        r"layer 0 in m\.h5 has arrays",
    ),
    "no head": (lambda p: old_h5(p, {"lstm": random_layers()["lstm"]}), "weights of 1 layers"),
    "a Lambda in its configuration": (
        lambda p: old_h5(p, random_layers(), sequential(layer("Lambda", "trick", function=["4wEAAA==", None, None]))),
        r"layer 'trick' \(Lambda\): it is not a layer of such a network",
    ),
    "another activation in its configuration": (
        lambda p: old_h5(p, random_layers(), sequential(lstm(recurrent_activation="hard_sigmoid"))),
        "recurrent_activation is 'hard_sigmoid'; expected 'sigmoid'",
    ),
    "a damaged configuration": (lambda p: old_h5(p, random_layers(), {"config": 7}), "is damaged"),
    "no HDF5": (lambda p: p.write_bytes(b"x"), "no readable HDF5"),
}


@pytest.mark.parametrize("name", BAD_H5)
def test_an_h5_file_of_anything_else_is_refused(name: str, tmp_path: Path) -> None:
    make, sentence = BAD_H5[name]
    make(tmp_path / "m.h5")
    with pytest.raises(ConversionError, match=sentence):
        read_h5_weights(tmp_path / "m.h5")
