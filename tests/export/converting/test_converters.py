"""After any failure of a converter child the user gets an error that names the target, and no bundle."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pulsecast_export
from helpers import plain
from pulsecast import load
from pulsecast.errors import ConversionError, FormatError, MissingExtraError, ToleranceError, UsageError
from pulsecast.stages import child_process
from pulsecast_export import exporter
from pulsecast_export.converting import conversion
from pulsecast_export.converting.without_keras import leave_out_keras
from pulsecast_export.exporter import export_model
from pulsecast_export.golden_windows import thinned
from pulsecast_export.targets import TARGETS, find_targets, tolerance

# The child runs this instead of `conversion_child`, with the same arguments: it announces the target and then acts like
# a real failing converter.
CHILD = """
import os, signal, sys
model, folder, *targets = sys.argv[1:]
print(targets[0], flush=True)
{deed}
"""
DEEDS: dict[str, tuple[str, type[Exception], str]] = {
    "segfaults": (
        "os.kill(os.getpid(), signal.SIGSEGV)",
        ConversionError,
        "^target onnx: its converter crashed with SIGSEGV; no bundle was written$",
    ),
    "is killed for its memory": (
        "os.kill(os.getpid(), signal.SIGKILL)",
        ConversionError,
        "^target onnx: its converter crashed with SIGKILL",
    ),
    "dies of a signal without a name": ("os.kill(os.getpid(), 40)", ConversionError, "crashed with signal 40"),
    "crashes in its second target": (
        "print(targets[1], flush=True); os.kill(os.getpid(), signal.SIGABRT)",
        ConversionError,
        "^target onnx-w8: its converter crashed with SIGABRT",
    ),
    "raises": ("raise ValueError('no such layer')", ConversionError, "^target onnx: ValueError: no such layer$"),
    "fails a gate": (
        "print('target onnx failed its gate: a Loop', file=sys.stderr); sys.exit(1)",
        ConversionError,
        "^target onnx failed its gate: a Loop$",
    ),
    "says nothing": ("sys.exit(3)", ConversionError, "^target onnx: ended with exit code 3$"),
    "lacks a package": (
        "import tf2onnx_",
        MissingExtraError,
        r"^target onnx needs tf2onnx \(onnx\): pip install 'pulsecast\[export\]'$",
    ),
    "lacks flatbuffers": (
        "raise ModuleNotFoundError(\"No module named 'flatbuffers'\")",
        MissingExtraError,
        r"^target onnx needs flatbuffers .*pip install 'pulsecast\[export\]'$",
    ),
    "hangs": ("import time; time.sleep(60)", ConversionError, "^target onnx: its converter took longer than 1 s"),
}


@pytest.fixture
def model(level_model: plain.PlainModel, tmp_path: Path) -> Path:
    plain.write_model_directory(tmp_path / "model", level_model)
    return tmp_path / "model"


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that replaces the converter by a child with the given action."""

    def replace_child(deed: str) -> None:
        script = tmp_path / "child.py"
        script.write_text(CHILD.format(deed=deed.replace("tf2onnx_", "tf2onnx")))
        if "tf2onnx" in deed:
            (tmp_path / "tf2onnx.py").write_text("raise ModuleNotFoundError(\"No module named 'tf2onnx'\")")
        real = child_process.run_child

        def run(command: list[str], environment: dict[str, str], timeout_s: float) -> object:
            return real([sys.executable, str(script), *command[4:]], environment, timeout_s=timeout_s)

        monkeypatch.setattr(child_process, "run_child", run)
        monkeypatch.setattr(conversion, "TIMEOUT_S", 1 if "sleep" in deed else 60)

    return replace_child


def _names(folder: Path) -> list[str]:
    """Return what is in `folder`, beside the bytecode that Python keeps of a program in it."""
    return sorted(path.name for path in folder.iterdir() if path.name != "__pycache__")


@pytest.mark.parametrize(("deed", "error", "sentence"), DEEDS.values(), ids=DEEDS.keys())
def test_a_converter_that_fails_names_its_target_and_leaves_no_bundle(
    model: Path, child: Callable[[str], None], tmp_path: Path, deed: str, error: type[Exception], sentence: str
) -> None:
    child(deed)
    before = _names(tmp_path)
    with pytest.raises(error, match=sentence):
        export_model(model, tmp_path / "bundle", targets=("onnx", "onnx-w8"))
    assert _names(tmp_path) == before


def test_a_failed_export_over_an_old_bundle_leaves_the_old_one_whole(
    model: Path, child: Callable[[str], None], tmp_path: Path, level_model: plain.PlainModel
) -> None:
    plain.write_bundle(tmp_path / "bundle", level_model)
    child("sys.exit(1)")
    with pytest.raises(ConversionError):
        export_model(model, tmp_path / "bundle", targets=("onnx",), force=True)
    assert load(tmp_path / "bundle", backend="numpy").manifest.name == "plain"


def test_the_child_sees_no_gpu_and_imports_from_where_we_do(monkeypatch: pytest.MonkeyPatch) -> None:
    environment: dict[str, str] = {}
    monkeypatch.setattr(child_process, "run_child", lambda _command, given, **_: environment.update(given))
    conversion.run_converter("module")
    assert environment["CUDA_VISIBLE_DEVICES"] == "-1"
    assert str(Path(pulsecast_export.__file__).parents[1]) in environment["PYTHONPATH"].split(":")


# ------------------------------------------------------------------------------------------ before any child is started


def no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        pytest.fail("a converter was started")

    monkeypatch.setattr(exporter, "convert_all", fail)


def test_an_existing_bundle_is_refused_before_anything_is_converted(
    model: Path, tmp_path: Path, level_model: plain.PlainModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_child(monkeypatch)
    plain.write_bundle(tmp_path / "bundle", level_model)
    with pytest.raises(UsageError, match="bundle exists; pass --force to replace it"):
        export_model(model, tmp_path / "bundle")


def test_an_unknown_target_lists_the_known_ones(model: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="no target 'coreml', 'x'; known: savedmodel, onnx, onnx-w8, tflite, tflite-fp16"
    ):
        export_model(model, tmp_path / "bundle", targets=("onnx", "coreml", "x"))


def test_a_folder_that_is_not_a_model_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"is not a model directory: it has no model\.json; make one with `pulsecast"):
        export_model(tmp_path / "nothing", tmp_path / "bundle")


def test_weights_in_another_gate_order_are_noticed_before_conversion(
    level_model: plain.PlainModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference is compared with the stored Keras forecasts: two swapped gates cause a far larger error."""
    no_child(monkeypatch)
    first = level_model.weights.layers[0]

    def reorder(array: np.ndarray) -> np.ndarray:
        i, f, c, o = np.split(array, 4, axis=-1)
        return np.concatenate([f, i, c, o], axis=-1)

    layer = replace(first, kernel=reorder(first.kernel), recurrent=reorder(first.recurrent), bias=reorder(first.bias))
    wrong = replace(level_model, weights=replace(level_model.weights, layers=(layer, *level_model.weights.layers[1:])))
    record = plain.write_model_directory(tmp_path / "model", level_model)
    data = plain.write_weights(wrong.weights, wrong.spec.network)
    (tmp_path / "model" / "weights.npz").write_bytes(data)
    plain.rehash(tmp_path / "model", record)
    with pytest.raises(
        ToleranceError, match=r"differs from the trained Keras model by \d\.\de[+-]\d+ of the range, limit"
    ):
        export_model(tmp_path / "model", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_too_few_held_out_windows_are_refused(
    level_model: plain.PlainModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_child(monkeypatch)
    few = replace(level_model, windows=level_model.windows.take(slice(63)), truth=level_model.truth[:63])
    plain.write_model_directory(tmp_path / "model", few)
    with pytest.raises(ConversionError, match="the model has 63 held-out windows; 64 are needed"):
        export_model(tmp_path / "model", tmp_path / "bundle")


# -------------------------------------------------------------------------------------------------------------- tables


def test_every_target_has_a_writer_a_source_above_it_and_its_own_file() -> None:
    ids = list(TARGETS)
    assert len({target.path for target in TARGETS.values()}) == len(ids)
    for name, target in TARGETS.items():
        module, function = target.writer.split(":")
        source = (
            Path(pulsecast_export.__file__)
            .parent.joinpath(*f"{module}.py".rsplit(".", 1)[0].split("."))
            .with_suffix(".py")
            .read_text()
        )
        assert f"\ndef {function}(model: ModelDirectory, path: Path, source: Path | None) -> None:" in source
        if target.source is not None:
            assert ids.index(target.source) < ids.index(name)
            assert TARGETS[target.source].family == target.family


def test_targets_come_in_the_tables_order_for_any_request() -> None:
    assert find_targets(("tflite-w8", "onnx", "onnx")) == ("onnx", "tflite-w8")
    assert find_targets(()) == tuple(name for name in TARGETS if not name.startswith("native"))


def test_tolerances_follow_what_the_network_forecasts() -> None:
    assert tolerance(TARGETS["onnx"], plain.LEVEL_SPEC).max_abs == 2e-6
    assert tolerance(TARGETS["onnx"], plain.CHANGE_SPEC).max_abs == 1e-5


def test_a_golden_is_thinned_evenly_and_keeps_both_ends(level_model: plain.PlainModel) -> None:
    golden = level_model.golden()
    thin = thinned(golden, 20)
    assert len(thin.windows) == 20
    np.testing.assert_array_equal(thin.reference[[0, -1]], golden.reference[[0, -1]])
    np.testing.assert_array_equal(thin.windows.values[[0, -1]], golden.windows.values[[0, -1]])
    assert thinned(golden, 1000).windows.values.shape == golden.windows.values.shape


def test_a_converter_leaves_out_keras_unless_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    leave_out_keras()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("keras")
    monkeypatch.setitem(sys.modules, "keras", sys)
    leave_out_keras()
    assert importlib.import_module("keras") is sys
