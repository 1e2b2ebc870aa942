"""The exported full-integer file with the C beside it: raw values in, raw forecasts out, as the runtime gives them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.engines import load as load_package
from helpers.native_models import require_c
from helpers.outside import warm
from helpers.trained import BUNDLES, bundle_of
from pulsecast import load
from pulsecast.backends.native_library import find_compiler
from pulsecast.bundle.bundle import Bundle, entry_for
from pulsecast.bundle.manifest import MANIFEST_NAME
from pulsecast.computing import reference
from pulsecast.computing.calendars import complete
from pulsecast.errors import ToleranceError
from pulsecast.forecasting.extremes import extreme_windows
from pulsecast.foundation import strict_json
from pulsecast.model.windows import Windows
from pulsecast.stages.model_directory import read_model_directory
from pulsecast_export.converting.measuring_child import measure
from pulsecast_export.exporter import export_model
from pulsecast_export.micro_io.checking import MicroIo, compile_micro_io
from pulsecast_export.micro_io.writer import sources
from pulsecast_export.targets import TARGETS

pytestmark = pytest.mark.slow

FLOAT32_ROUNDING = 2e-6  # of the range: scaling back by C instead of numpy, both in float32
LEAKED = 1e-4  # of the range: what the state of other windows changes at least in one forecast; a reset changes nothing


class Microcontroller:
    """What the example in micro_io.h does, with LiteRT in place of TFLite Micro."""

    def __init__(self, bundle: Path, work: Path) -> None:
        interpreter = load_package("ai_edge_litert.interpreter").Interpreter
        self.spec = Bundle.open(bundle).manifest.spec
        require_c()
        compile_micro_io(bundle / "tflite", find_compiler(), work / "micro_io.so")
        self.functions = MicroIo(work / "micro_io.so", self.spec)
        self.interpreter = interpreter(model_path=str(bundle / TARGETS["tflite-int8"].path), num_threads=1)
        self.interpreter.allocate_tensors()
        self.place = self.interpreter.get_input_details()[0]["index"]
        self.result = self.interpreter.get_output_details()[0]["index"]

    def results(self, windows: Windows, *, reset: bool = True) -> np.ndarray:
        """Return forecast, lower and upper, (3, n, horizon)."""
        channels, fine = self.functions.channels(windows)
        assert fine.all()
        return self.functions.results(windows, np.concatenate([self.invoked(row, reset=reset) for row in channels]))

    def invoked(self, channels: np.ndarray, *, reset: bool) -> Any:
        if reset:
            self.interpreter.reset_all_variables()
        self.interpreter.set_tensor(self.place, channels[np.newaxis])
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.result)

    def quantised(self, channels: np.ndarray) -> np.ndarray:
        """Return the whole numbers that the file makes of channels."""
        detail = next(one for one in self.interpreter.get_tensor_details() if one["name"].endswith("channels:0_int8"))
        scale, zero = detail["quantization"]
        return np.clip(np.round(channels / np.float32(scale)) + zero, -128, 127)


@pytest.fixture
def device(recommended_bundle: Path, tmp_path: Path) -> Microcontroller:
    return Microcontroller(recommended_bundle, tmp_path)


@BUNDLES
def test_with_a_reset_it_forecasts_what_the_runtime_does(
    recipe: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path = bundle_of(recipe, request)
    bundle = Bundle.open(path)
    spec, scaler, windows = bundle.manifest.spec, bundle.manifest.scaler, bundle.golden().windows
    device = Microcontroller(path, tmp_path)
    expected = load(path, artifact="tflite-int8").predict(windows)
    error = np.abs(device.results(windows)[0] - expected).max(axis=1) / scaler.range
    # channels a rounding apart may become neighbours among 256 numbers, which is another input
    theirs = reference.channels(spec, scaler.transform(complete(spec, windows)))
    same = (device.quantised(device.functions.channels(windows)[0]) == device.quantised(theirs)).all(axis=(1, 2))
    assert same.mean() > 0.9
    assert (error[same] <= FLOAT32_ROUNDING).all()
    assert (error <= TARGETS["tflite-int8"].change.max_abs).all()


def test_its_bounds_are_those_of_the_runtime_at_the_level_of_the_bundle(
    device: Microcontroller, recommended_bundle: Path
) -> None:
    manifest, windows = Bundle.open(recommended_bundle).manifest, Bundle.open(recommended_bundle).golden().windows
    assert manifest.level is not None
    expected = load(recommended_bundle, artifact="tflite-int8").predict(windows, interval=manifest.level)
    _, lower, upper = device.results(windows)
    for found, theirs in ((lower, expected.lower), (upper, expected.upper)):
        assert (found == theirs).mean() > 0.95  # whole numbers: one more or less where a bound is close to one
        assert np.abs(found - theirs).max() <= 1


def test_without_a_reset_a_forecast_depends_on_the_windows_before_it(
    device: Microcontroller, recommended_bundle: Path
) -> None:
    bundle = Bundle.open(recommended_bundle)
    windows = bundle.golden().windows
    right, leaked = device.results(windows)[0], device.results(windows, reset=False)[0]
    assert np.abs(leaked - right).max() / bundle.manifest.scaler.range > LEAKED
    assert (leaked != right).mean() > 0.5
    np.testing.assert_array_equal(device.results(windows)[0], right)
    one = windows.take([0])
    again = {float(device.results(one, reset=False)[0, 0, 0]) for _ in range(3)}
    assert len(again) > 1  # the same window, three times


@BUNDLES
def test_it_refuses_the_windows_that_the_runtime_has_no_forecast_for(
    recipe: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path = bundle_of(recipe, request)
    windows = extreme_windows(Bundle.open(path).golden().windows.take([9]))
    channels, fine = Microcontroller(path, tmp_path).functions.channels(windows)
    found = load(path, artifact="tflite-int8").backend.predict(*windows.inputs)
    np.testing.assert_array_equal(fine, np.isfinite(found).all(axis=1))
    assert 0 < fine.sum() < len(fine)
    assert (channels[~fine] == 0).all()


def test_a_bundle_lists_both_files_and_its_card_says_what_a_caller_must_do(
    recommended_bundle: Path, recommended_model: Path
) -> None:
    bundle = Bundle.open(recommended_bundle)
    backend = load_package("pulsecast.backends.tflite").TfliteBackend
    limits = backend(bundle.read(TARGETS["tflite-int8"].path), threads=1).limits()
    texts = sources(read_model_directory(recommended_model), limits)
    assert {name: bundle.read(f"tflite/{name}").decode("ascii") for name in texts} == texts
    card = bundle.read("MODEL_CARD.md").decode()
    assert "keeps its state from call to call: reset its variables before every window" in card
    assert "`tflite/micro_io.c`" in card


def test_both_files_go_with_the_target(
    textbook_model: Path, recommended_bundle: Path, copied: Callable[[Path], Path]
) -> None:
    out = copied(recommended_bundle)
    assert {"model.int8.tflite", "micro_io.h", "micro_io.c"} < {path.name for path in (out / "tflite").iterdir()}
    with warm.converters():
        export_model(textbook_model, out, targets=("onnx",), force=True)
    assert not (out / "tflite").exists()


def test_an_export_refuses_a_bundle_whose_c_computes_something_else(
    recommended_bundle: Path, copied: Callable[[Path], Path]
) -> None:
    require_c()
    folder = copied(recommended_bundle)
    assert set(measure(str(folder), ("tflite-int8",)).parities) == {"tflite-int8"}
    source = folder / "tflite" / "micro_io.c"
    source.write_text(source.read_text("ascii").replace("3 * 86400", "4 * 86400"), encoding="ascii")
    manifest = Bundle.open(recommended_bundle).manifest
    files = tuple(entry_for(folder, entry.path) for entry in manifest.files)
    (folder / MANIFEST_NAME).write_text(strict_json.dumps(replace(manifest, files=files)), encoding="utf-8")
    with pytest.raises(ToleranceError, match=r"micro_io\.c does not compute what the reference does: channels differ"):
        measure(str(folder), ("tflite-int8",))
