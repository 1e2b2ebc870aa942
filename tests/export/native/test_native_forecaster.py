"""`load_native`: the forecasts of `load` from lists and buffers, in a process that never sees numpy."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import sys
from array import array
from pathlib import Path

import numpy as np
import pytest

import pulsecast
from helpers import plain
from helpers.native_models import FLOAT32_ROUNDING, add_native, cc_here, require_c
from pulsecast import load, load_native
from pulsecast.backends.native_library import open_library
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.golden import write_golden
from pulsecast.errors import (
    DtypeError,
    EmptyInputError,
    EngineError,
    FeatureCountError,
    FormatError,
    IntegrityError,
    NonFiniteError,
    SignatureError,
    TimeError,
    ToleranceError,
    UsageError,
    WindowLengthError,
)
from pulsecast.forecasting.native_forecaster import NativeForecaster, _first_rows

require_c()

RUNTIME = str(Path(pulsecast.__file__).parents[1])
FIRST = """
import json, sys
sys.path.insert(0, sys.argv[1])
from pulsecast import load_native
model = load_native(sys.argv[2], trust_code=True)
print(json.dumps([model.predict(json.loads(sys.argv[3])), "numpy" in sys.modules]))
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile one instruction set: most tests here compile anew."""
    monkeypatch.setenv("CC", cc_here())


@pytest.fixture(scope="module")
def bundle(level_model: plain.PlainModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("native") / "bundle"
    plain.write_bundle(folder, level_model)
    add_native(folder, level_model)
    return folder


@pytest.fixture(scope="module")
def model(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> NativeForecaster:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PULSECAST_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("CC", cc_here())
        return load_native(bundle, trust_code=True)


def test_lists_and_buffers_give_the_bits_of_load(bundle, model, level_model, tmp_path, monkeypatch):
    monkeypatch.setenv("PULSECAST_CACHE", str(tmp_path))
    windows = level_model.golden().windows.values[:5]
    expected = load(bundle, backend="native", trust_code=True).predict(windows).tolist()
    flat = array("f", windows.reshape(-1).tolist())
    same = (windows, windows.tolist(), windows[:, :, 0].tolist(), flat, memoryview(flat), windows.reshape(-1))
    assert [model.predict(values) for values in same] == [expected] * len(same)
    one = (windows[0], windows[0].tolist(), windows[0, :, 0].tolist(), tuple(windows[0, :, 0].tolist()))
    assert [model.predict(values) for values in one] == [expected[:1]] * len(one)
    assert model.engine.startswith("native ")
    assert model.manifest.name in repr(model)


def test_a_process_forecasts_and_never_imports_numpy(bundle, model, level_model, tmp_path, monkeypatch):
    monkeypatch.setenv("PULSECAST_CACHE", str(tmp_path))
    window = level_model.golden().windows.values[0, :, 0].tolist()
    command = [sys.executable, "-I", "-c", FIRST, RUNTIME, str(bundle), json.dumps(window)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert json.loads(done.stdout) == [model.predict(window), False]


def test_values_that_are_not_a_window_are_refused_in_words(model, level_model):
    steps = level_model.spec.context
    window = [300.0] * steps
    wrong = {
        f"windows have {steps - 1} steps; this model takes {steps}": (WindowLengthError, window[1:]),
        f"the buffer holds {steps + 1} numbers": (WindowLengthError, array("f", [*window, 1.0])),
        "steps have 2 features; this model takes 1": (FeatureCountError, [[[1.0, 2.0]] * steps]),
        "values are nested 4 deep": (FeatureCountError, [[[[1.0]]]]),
        "the buffer's format is 'd'": (DtypeError, np.array(window)),
        "values are dict; expected lists, or a buffer": (DtypeError, {}),
        "values are not lists of real numbers of one shape": (DtypeError, ["3.0"] * steps),
        "real numbers of one shape: ": (DtypeError, [window, 3.0]),
        "real numbers of one shape": (DtypeError, [[None]] * steps),
        "values are empty": (EmptyInputError, []),
        "values are empty; pass": (EmptyInputError, array("f")),
        "values have masked cells": (NonFiniteError, np.ma.array(np.float32(window), mask=np.arange(steps) == 3)),
    }
    for words, (error, values) in wrong.items():
        with pytest.raises(error, match=words):
            model.predict(values)
    for number in (float("nan"), float("inf"), 1e300):
        with pytest.raises(NonFiniteError, match="window 1 has no finite forecast"):
            model.predict([window, [*window[:-1], number]])


def test_a_number_that_is_not_finite_is_refused_wherever_it_stands(change_model, tmp_path, monkeypatch):
    monkeypatch.setenv("PULSECAST_CACHE", str(tmp_path / "cache"))
    plain.write_bundle(tmp_path / "bundle", change_model)
    add_native(tmp_path / "bundle", change_model)
    model = load_native(tmp_path / "bundle", trust_code=True)
    spec, windows = change_model.spec, change_model.windows
    for step in (0, (spec.context - spec.window) // 2, spec.context - 1):
        window = windows.values[0].tolist()
        window[step][0] = float("nan")
        with pytest.raises(NonFiniteError, match="window 0 has no finite forecast"):
            model.predict(window, int(windows.time[0]))


def test_a_model_with_a_calendar_takes_a_time_for_each_window(change_model, tmp_path, monkeypatch):
    monkeypatch.setenv("PULSECAST_CACHE", str(tmp_path / "cache"))
    plain.write_bundle(tmp_path / "bundle", change_model)
    add_native(tmp_path / "bundle", change_model)
    model, windows = load_native(tmp_path / "bundle", trust_code=True), change_model.windows.take(slice(3))
    found = model.predict(windows.values, windows.time.tolist())
    scale = change_model.scaler.range
    assert np.abs(np.array(found) - change_model.golden().reference[:3]).max() < FLOAT32_ROUNDING * scale
    assert model.predict(windows.values[0].tolist(), int(windows.time[0])) == found[:1]
    with pytest.raises(TimeError, match="this model has a calendar and the time is missing"):
        model.predict(windows.values)
    for wrong in (True, [True, 1, 2], np.ma.array(windows.time, mask=[0, 0, 1]), windows.time.tobytes(), [1.5] * 3):
        with pytest.raises(DtypeError, match="time is not a list of whole numbers"):
            model.predict(windows.values, wrong)
    strided = np.stack([windows.time, windows.time], axis=1)[:, 0]
    assert model.predict(windows.values, strided) == found
    with pytest.raises(TimeError, match="2 times for 3 windows"):
        model.predict(windows.values, windows.time[:2].tolist())
    with pytest.raises(NonFiniteError, match="unix seconds are expected"):
        model.predict(windows.values, (windows.time * 1000).tolist())


def test_a_bundle_passes_the_gates_of_load_first(bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("PULSECAST_CACHE", str(tmp_path / "cache"))
    with pytest.raises(SignatureError, match="native is not run: it is code"):
        load_native(bundle)
    with pytest.raises(UsageError, match="artifact 'numpy' is for backend 'numpy', not 'native'"):
        load_native(bundle, artifact="numpy", trust_code=True)
    changed = tmp_path / "changed"
    shutil.copytree(bundle, changed)
    with (changed / "native" / "model.c").open("ab") as file:
        file.write(b" ")
    with pytest.raises(IntegrityError, match=r"native/model\.c has"):
        load_native(changed, trust_code=True)
    assert not (tmp_path / "cache").exists()


def test_words_do_not_vouch_for_code(bundle):
    with pytest.raises(UsageError, match="trust_code is 'no'; expected True or False"):
        load_native(bundle, trust_code="no")


def test_a_library_of_another_model_is_refused_by_the_bundles_golden(bundle, level_model, tmp_path, monkeypatch):
    """Its own self-test passes, so only the comparison with the bundle can find the error."""
    monkeypatch.setenv("PULSECAST_CACHE", str(tmp_path / "cache"))
    other = Path(shutil.copytree(bundle, tmp_path / "other"))
    source = other / "native" / "model.c"
    text = source.read_text()
    changed = re.sub(r"HEAD_BIAS\[MODEL_HORIZON\] = \{[^}]*\}", "HEAD_BIAS[MODEL_HORIZON] = {1.5f}", text)
    changed = re.sub(r"(MODEL_API int model_selftest\(void\) \{)", r"\1 return 0;", changed)
    assert changed.count("return 0;") == text.count("return 0;") + 1
    source.write_text(changed)
    plain.write_manifest(other, level_model, Bundle.open(bundle).manifest.artifacts)
    for loading in (load_native, functools.partial(load, backend="native")):
        with pytest.raises(ToleranceError, match="native does not reproduce its golden here"):
            loading(other, trust_code=True)


def test_a_foreign_library_is_one_sentence(level_model, tmp_path):
    spec = level_model.spec
    (tmp_path / "cut.so").write_bytes(b"\x7fELF")
    with pytest.raises(EngineError, match="the native library cannot be loaded"):
        open_library(str(tmp_path / "cut.so"), spec)
    (tmp_path / "other.c").write_text("int other(void) { return 1; }")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "other.so", tmp_path / "other.c"], check=True)
    with pytest.raises(EngineError, match="has no model_predict; it was not made by pulsecast"):
        open_library(str(tmp_path / "other.so"), spec)


def test_a_list_that_holds_itself_is_refused(model):
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(FeatureCountError, match="nested 4 deep"):
        model.predict(endless)


def test_a_golden_that_is_cut_short_is_refused(level_model):
    data = write_golden(level_model.golden())
    assert len(_first_rows(data, "reference", "d", 64)) == 64
    with pytest.raises(FormatError, match="at least 10000000 are expected"):
        _first_rows(data, "reference", "d", 10_000_000)
    with pytest.raises(FormatError, match="cannot be read: values is not a little-endian array of the expected type"):
        _first_rows(data, "values", "d", 1)
    for damaged in (b"", data[:100], data.replace(b"reference.npy", b"preference.py")):
        with pytest.raises(FormatError, match="the golden cannot be read"):
            _first_rows(damaged, "reference", "d", 64)


def test_any_byte_of_a_golden_may_be_wrong_and_it_is_one_sentence(level_model):
    data = write_golden(level_model.golden())
    begins = data.index(b"reference.npy")  # its local header, then the packed data
    refused = 0
    for at in range(begins - 30, begins + 300):
        damaged = bytearray(data)
        damaged[at] ^= 0xFF
        try:
            _first_rows(bytes(damaged), "reference", "d", 16)
        except FormatError:
            refused += 1
    assert refused > 10
