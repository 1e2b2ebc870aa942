"""Models of several series in browsers and emulators: the row of a window's series goes through every pipe."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.engines import require, require_tool
from helpers.native_models import FLOAT32_ROUNDING, directory, require_emulator, write_sources
from helpers.series_models import with_table
from pulsecast.computing import reference
from pulsecast.model.series import POOL_ROW
from pulsecast.stages.model_directory import ModelDirectory
from pulsecast_export.libraries.emulated import EmulatedBackend
from pulsecast_export.libraries.libraries import PLATFORMS, compile_library, compile_runner
from pulsecast_export.libraries.library_child import prove
from pulsecast_export.libraries.wasm import MODULE, TAG, WRAPPER, link_flags, node_backend, write_wrapper
from pulsecast_export.native.gate import declared

NAMES = ("a", "b", "c")
SPEC = replace(plain.LEVEL_SPEC, units=(9,), network=None)
EMULATED = "aarch64-linux"


@pytest.fixture(scope="module")
def model() -> ModelDirectory:
    return with_table(directory(plain.make_model(SPEC)), NAMES)


@pytest.fixture(scope="module")
def source(model: ModelDirectory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sources(model, "native", tmp_path_factory.mktemp("series") / "native")


@pytest.fixture(scope="module")
def module(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("ziglang")
    write_wrapper(source)
    (source / MODULE).write_bytes(compile_library(source, TAG, tmp_path_factory.mktemp("work")))
    return source / MODULE


def _check_series(backend, model: ModelDirectory) -> None:
    """Compare `backend` on every row, the pool, an unknown row and without a series."""
    windows, unit = model.heldout.windows, model.heldout.unit
    found = backend.outputs(*windows.inputs)
    assert len(found) == 3
    expected = reference.forecast(SPEC, model.table, model.weights, windows)
    assert np.abs((found[0] - expected) / unit[:, np.newaxis]).max() < FLOAT32_ROUNDING
    for at in (0, 1, 2, 3, 63):
        alone = backend.outputs(*windows.take([at]).inputs)
        assert all(np.array_equal(a[at : at + 1], b) for a, b in zip(found, alone, strict=True))
    series = windows.series.copy()
    series[[0, 30]] = -1, len(NAMES) + 1
    nothing = np.isnan(backend.predict(windows.values, windows.time, series)).all(axis=1)
    assert np.flatnonzero(nothing).tolist() == [0, 30]


def test_the_module_forecasts_every_row_and_the_pool_under_node(module: Path, model: ModelDirectory) -> None:
    with node_backend(require_tool("node"), module, SPEC.horizon) as backend:
        _check_series(backend, model)
    assert prove(model, "native", TAG, module).proof == "run"


CALLER = """
import { readFile } from 'node:fs/promises';
const { load } = await import('./pulsecast.mjs');
const model = await load(await readFile(process.argv[2]));
const { values, series } = JSON.parse(await readFile('windows.json', 'utf8'));
const said = (call) => { try { call(); } catch (error) { return error.message; } };
const first = values[0], size = first.length;
const alone = series.map((row) => [...model.predict(first, undefined, { series: row }).forecast]);
const mixed = model.stream(series.length, { series });
let pushed;
for (const value of first) pushed = mixed.push(series.map(() => value));
const one = model.stream(2, { series: series[0] });
let same;
for (const value of first) same = one.push([value, value]);
console.log(JSON.stringify({
  alone: alone.flat(), pushed: [...pushed.forecast], same: [...same.forecast], rows: model.info.series.rows,
  none: said(() => model.predict(first)),
  few: said(() => model.predictBatch([...first, ...first], undefined, { series: [1] })),
  streams: said(() => model.stream(3, { series: [0, 1] })),
  unsaid: said(() => model.stream(1)),
}));
"""


def test_the_wrapper_takes_a_row_for_each_window_and_stream(
    module: Path, model: ModelDirectory, tmp_path: Path
) -> None:
    windows = model.heldout.windows
    series = [POOL_ROW, 2, POOL_ROW, 1, 3]
    given = {"values": windows.values[:1, :, 0].astype(np.float64).tolist(), "series": series}
    (tmp_path / "windows.json").write_text(json.dumps(given), "ascii")
    (tmp_path / "caller.mjs").write_text(CALLER, "utf-8")
    shutil.copy(module.parents[2] / WRAPPER, tmp_path / "pulsecast.mjs")
    command = [require_tool("node"), "caller.mjs", str(module)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    repeated = replace(windows, values=np.repeat(windows.values[:1], 5, axis=0), series=np.array(series, np.int64))
    expected = reference.forecast(SPEC, model.table, model.weights, repeated)
    assert np.abs(np.array(found["alone"]) - expected[:, 0]).max() / model.table.unit.max() < FLOAT32_ROUNDING
    assert found["pushed"] == found["alone"]
    assert found["same"] == found["alone"][:1] * 2
    assert found["rows"] == len(NAMES) + 1
    assert found["none"] == found["unsaid"] == "series is undefined; expected 0 to 3"
    assert found["few"] == "2 windows need as many series; got 1"
    assert found["streams"] == "3 streams need as many series; got 2"


def test_a_modules_stack_does_not_grow_with_the_table(source: Path) -> None:
    text, header = ((source / name).read_text("ascii") for name in ("model.c", "model.h"))
    interface = declared(source / "model.h")
    large = text.replace(
        "SERIES[MODEL_SERIES][SERIES_NUMBERS] = {", "SERIES[MODEL_SERIES][SERIES_NUMBERS] = {" + "{0.5f},\n" * 100_000
    )
    assert len(large) > len(text)
    assert link_flags(large, header, interface) == link_flags(text, header, interface)


@pytest.mark.soak
def test_an_emulated_library_forecasts_every_row_and_the_pool(
    source: Path, model: ModelDirectory, tmp_path: Path
) -> None:
    require("ziglang")
    emulator = require_emulator(PLATFORMS[EMULATED].emulator)
    library, runner = tmp_path / "library", tmp_path / "runner"
    for work in ("a", "b"):
        (tmp_path / work).mkdir()
    library.write_bytes(compile_library(source, EMULATED, tmp_path / "a"))
    runner.write_bytes(compile_runner(EMULATED, tmp_path / "b"))
    runner.chmod(0o700)
    with EmulatedBackend(emulator, runner, library, SPEC.horizon) as backend:
        _check_series(backend, model)
        assert np.isnan(backend.predict(model.heldout.windows.values)).all()  # nothing was said of their series
