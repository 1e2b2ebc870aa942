"""The native model as WebAssembly: its bytes, its wrapper under Node, and the page in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.engines import require, require_tool
from helpers.native_models import FLOAT32_ROUNDING, directory, write_sources
from helpers.outside.wasm import build_wasm
from pulsecast.bundle.bundle import Bundle
from pulsecast.computing import reference
from pulsecast.computing.intervals import bounds
from pulsecast.errors import EngineError, ToleranceError
from pulsecast.forecasting.checks import measure_parity
from pulsecast.forecasting.extremes import extreme_windows, largest_error
from pulsecast.model.weights import CellWeights
from pulsecast.model.windows import Windows
from pulsecast_export.libraries.library_child import file_problems, prove
from pulsecast_export.libraries.wasm import MODULE, TAG, TYPES, WRAPPER, node_backend
from pulsecast_export.native.gate import declared, limit_bytes
from pulsecast_export.serving.page import longest_run
from pulsecast_export.targets import TARGETS, tolerance

SELF_TEST = "Node failed on the module: the self-test failed: not this model, or not here"

DOT = b"\xfd\xba\x01"  # i32x4.dot_i16x8_s


def test_the_same_source_gives_the_same_module_and_it_needs_nothing(bundle: Path, tmp_path: Path) -> None:
    for name in ("model.c", "model.h"):
        shutil.copy(bundle / "native" / name, tmp_path)
    module = build_wasm(tmp_path, tmp_path / "work").read_bytes()
    assert module == (bundle / "native" / MODULE).read_bytes()
    assert not re.search(rb"/tmp|/home|\.zig|model\.c", module)
    interface, limit = declared(tmp_path / "model.h"), limit_bytes(Bundle.open(bundle).manifest.spec)
    assert file_problems(module, TAG, interface, limit) == []
    module_of = "new WebAssembly.Module(require('fs').readFileSync(process.argv[1]))"
    imports = f"console.log(WebAssembly.Module.imports({module_of}).length)"
    node = [require_tool("node"), "-e", imports, str(tmp_path / MODULE)]
    assert subprocess.run(node, capture_output=True, text=True, check=True).stdout == "0\n"


@pytest.mark.parametrize(
    ("module", "problem"),
    [
        (b"MZ", "the library is no WebAssembly module"),
        (b"\0asm\1\0\0\0\7\x05\1", "the library is a truncated WebAssembly module"),
        (b"\0asm\1\0\0\0\7\x07\1\3abc\0\0", "symbols that differ from model.h: abc, model_step"),
        (b"\0asm\1\0\0\0\7\x0e\1\x0amodel_step\0\0\2\x09\1\3env\1x\0\0", "needed from elsewhere: env"),
    ],
    ids=["other", "cut", "exports", "imports"],
)
def test_a_module_that_is_not_what_it_must_be_is_refused(module: bytes, problem: str) -> None:
    assert file_problems(module, TAG, {"model_step"}, 100) == [problem]


def test_the_module_passes_every_check_of_the_native_artifact_under_node(bundle: Path, request, monkeypatch) -> None:
    node = require_tool("node")
    opened = Bundle.open(bundle)
    name = "linear" if opened.manifest.spec.timed else "level"
    model = directory(request.getfixturevalue(f"{name}_model"))
    found = prove(model, "native", TAG, bundle / "native" / MODULE)
    assert (found.proof, found.path) == ("run", "native/lib/wasm32/model.wasm")
    assert found.engine.startswith("node v")
    assert found.max_abs < FLOAT32_ROUNDING
    golden, spec = opened.golden(), opened.manifest.spec
    with node_backend(node, bundle / "native" / MODULE, spec.horizon) as backend:
        found = backend.outputs(*golden.windows.inputs)
        parity = measure_parity(backend.predict(*golden.windows.inputs), golden)
    assert parity.max_abs < FLOAT32_ROUNDING
    radius, intervals = opened.manifest.radius, opened.manifest.intervals
    expected = bounds(golden.reference, np.array(radius), intervals.scale, counts=intervals.counts)
    for one, other in zip(found[1:], expected[1:], strict=True):
        assert np.abs(one - other).max() <= 1  # a count that rounds the other way
        assert (one == other).mean() > 0.98
    weights = replace(model.weights, head_bias=(model.weights.head_bias + 0.05).astype(np.float32))
    with pytest.raises(ToleranceError, match=r"largest error / range is"):
        prove(replace(model, weights=weights), "native", TAG, bundle / "native" / MODULE)
    monkeypatch.setenv("PATH", "")
    assert prove(model, "native", TAG, bundle / "native" / MODULE).proof == "built"


def test_a_module_of_other_weights_is_refused_by_its_self_test(bundle: Path, tmp_path: Path) -> None:
    node = require_tool("node")
    folder = shutil.copytree(bundle / "native", tmp_path / "native")
    text = (folder / "model.c").read_text("ascii")
    head = re.search(r"HEAD_KERNEL\[\w+\]\[\w+\] = \{\n\{(\S+?)f", text)
    (folder / "model.c").write_text(f"{text[: head.start(1)]}{float(head[1]) + 1}{text[head.end(1) :]}", "ascii")
    module = build_wasm(folder, tmp_path / "work")
    spec = Bundle.open(bundle).manifest.spec
    with node_backend(node, module, spec.horizon) as backend, pytest.raises(EngineError, match=SELF_TEST):
        backend.predict(np.zeros((1, spec.context, spec.measured), np.float32), np.zeros(1, np.int64))


@pytest.mark.slow
def test_a_model_that_outgrows_the_default_gets_a_larger_stack(tmp_path: Path) -> None:
    node = require_tool("node")
    require("ziglang")
    spec = replace(plain.LEVEL_SPEC, units=(150, 90), network=None)
    rng = np.random.default_rng(3)
    layers, inputs = [], 1
    for units in spec.units:
        shapes = {"kernel": (inputs, 4 * units), "recurrent": (units, 4 * units), "bias": (4 * units,)}
        numbers = {name: (0.1 * rng.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}
        layers.append(CellWeights(**numbers))
        inputs = units
    head = (0.1 * rng.standard_normal((inputs, 1))).astype(np.float32)
    fitted = plain.make_model(plain.LEVEL_SPEC)
    weights = replace(fitted.weights, layers=tuple(layers), head_kernel=head)
    model = directory(replace(fitted, spec=spec, weights=weights))
    folder = write_sources(model, "native-w8", tmp_path / "native")
    module = build_wasm(folder, tmp_path / "work")
    # the sums are of integers: a loop holds at least a tile of them
    assert module.read_bytes().count(DOT) > 10
    windows = model.heldout.windows
    with node_backend(node, module, spec.horizon) as backend:
        batch = backend.predict(*windows.inputs)
        assert np.array_equal(
            backend.predict(*windows.take([0]).inputs), batch[:1]
        )  # the batch's widened weights do no damage
    expected = reference.forecast(spec, model.record.scaler, weights, windows)
    assert np.abs(batch - expected).max() / model.record.scaler.range < tolerance(TARGETS["native-w8"], spec).max_abs


# A caller of the wrapper; it prints everything as JSON, NaN as null.
CALLER = """
import { readFile } from 'node:fs/promises';
const { load, PulsecastError } = await import(process.argv[2]);
const model = await load(await readFile(process.argv[3]));
const { values: windows, time: times, step_s: step } = JSON.parse(await readFile(process.argv[4], 'utf8'));
const flat = windows.flat(2), size = model.context * model.measured, first = windows[0].flat(), time = times?.[0];
const plain = (found) => Object.values(found).map((each) => each && Array.from(each));
const said = async (call) => {
  try { await call(); } catch (error) { return [error instanceof PulsecastError, error.message]; }
};
const streams = model.stream(2), pushed = [];
const begin = (time ?? 0) - (model.context - 1) * step;
for (const pass of [0, 1]) {
  windows[pass].forEach((row, i) => {
    pushed.push(plain(streams.push([...row, ...row], begin + (pass * model.context + i) * step)));
  });
  streams.settle();
}
const late = plain(streams.push([...windows[0][0], ...windows[0][0]], begin));
const broken = first.slice(); broken[broken.length - model.measured] = NaN;
const holed = first.slice(); holed[0] = null;
const everywhere = [];
for (const step of [0, 1, model.context - 1]) for (let i = 0; i < model.measured; i++) {
  const one = first.slice(); one[step * model.measured + i] = NaN;
  everywhere.push(...plain(model.predict(one, time)).flat());
}
streams.reset();
let refused = 0;
for (const count of [2 ** 31, 1e9]) try { model.stream(count); } catch { refused++; }
const later = model.stream(1), after = windows[0].map((row, i) => plain(later.push(row, begin + i * step))).at(-1);
const untimed = model.stream(1), without = time === undefined &&
  windows[0].map((row) => plain(untimed.push(row))).at(-1);
const seconds = [new Date(), 1.5, NaN, '7', 2 ** 53, null];
console.log(JSON.stringify({
  refused, after, without, shape: [model.context, model.measured, model.horizon], info: model.info,
  one: plain(model.predict(first, time)),
  typed: plain(model.predict(new Float32Array(first), time)),
  named: plain(model.predict(first, time, { series: 0 })),
  other: plain(model.predict(first, time, { series: 1 })),
  batch: plain(model.predictBatch(flat, times)),
  none: plain(model.predictBatch([], [])),
  nan: [plain(model.predict(broken, time)), plain(model.predict(holed, time))].flat(2),
  milliseconds: plain(model.predict(first, 1736121600000)),
  everywhere, late,
  again: plain(model.predict(first, time)),
  early: pushed[model.context - 2], whole: pushed[model.context - 1], last: pushed.at(-1),
  next: plain(model.predict(windows[1].flat(), begin + (2 * model.context - 1) * step)),
  reset: plain(streams.push(flat.slice(0, 2 * model.measured), begin)),
  short: await said(() => model.predict(flat.slice(1, size), time)),
  uneven: await said(() => model.predictBatch(flat.slice(1), times)),
  few: await said(() => model.predictBatch(flat, times?.slice(1))),
  untimed: await said(() => model.predict(first)),
  text: await said(() => model.predict(first.map(String), time)),
  nothing: await said(() => model.predict(undefined, time)),
  push: await said(() => streams.push([1], begin + step)),
  seconds: await Promise.all(seconds.map((one) => said(() => model.predict(first, one)))),
  series: await said(() => model.predict(first, time, { series: 0.5 })),
  streams: await Promise.all([0, -1, 1.5, NaN, Infinity, '2', null].map((count) => said(() => model.stream(count)))),
  foreign: await said(() => load(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]))),
  garbage: await said(() => load(new Uint8Array(8))),
}));
"""


def _lists(found: Sequence[np.ndarray], row: int, times: int = 1) -> list[list[float]]:
    return [each[row].tolist() * times for each in found]


def test_the_wrapper_gives_the_reference_one_by_one_in_batches_and_as_streams(bundle: Path, tmp_path: Path) -> None:
    opened = Bundle.open(bundle)
    spec, golden, scaler = opened.manifest.spec, opened.golden(), opened.manifest.scaler
    found = _called(bundle, golden.windows.take(slice(70)), tmp_path)  # more than the wrapper copies at once
    assert found["shape"] == [spec.context, spec.measured, spec.horizon]
    assert list(found["info"]["outputs"]) == ["forecast", "lower", "upper"]
    expected = golden.reference[:70]
    batch = [np.reshape(each, expected.shape) for each in found["batch"]]
    assert len(batch) == 3
    assert np.abs(batch[0] - expected).max() / scaler.range < FLOAT32_ROUNDING
    assert (batch[1] <= batch[0]).all()
    assert (batch[0] <= batch[2]).all()
    assert found["one"] == found["typed"] == found["named"] == found["again"] == _lists(batch, 0)
    nothing = [[None] * spec.horizon] * 3
    assert found["none"] == [[]] * 3
    assert found["other"] == nothing
    assert found["nan"] == [None] * 6 * spec.horizon
    assert found["milliseconds"] == (nothing if spec.timed else found["one"])
    assert found["everywhere"] == [None] * 9 * spec.measured * spec.horizon
    assert found["early"] == found["reset"] == found["late"] == [[None] * 2 * spec.horizon] * 3
    assert found["whole"] == _lists(batch, 0, 2)
    assert found["last"] == [each * 2 for each in found["next"]]
    assert found["refused"] == 2  # more streams than memory do not damage a later one
    assert found["after"] == _lists(batch, 0)
    assert found["without"] == (False if spec.timed else _lists(batch, 0))


def test_the_wrapper_refuses_bad_input_with_a_sentence(bundle: Path, tmp_path: Path) -> None:
    opened = Bundle.open(bundle)
    spec = opened.manifest.spec
    size, measured = spec.context * spec.measured, spec.measured
    found = _called(bundle, opened.golden().windows.take(slice(2)), tmp_path)
    assert found["short"] == [True, f"a window has {size} numbers; got {size - 1}"]
    assert found["uneven"] == [True, f"{2 * size - 1} numbers are no whole windows; one has {size}"]
    assert found["text"] == [True, "string is no number"]
    assert found["nothing"] == [True, f"a window has {size} numbers; got undefined"]
    assert found["push"] == [True, f"a push has {2 * measured} numbers; got 1"]
    if spec.timed:
        assert found["few"] == [True, "2 windows need as many times; got 1"]
        assert found["untimed"] == [True, "time is undefined; expected unix seconds, a whole number"]
    date, *numbers = found["seconds"]
    assert date == [True, "time is a Date; expected unix seconds: divide its milliseconds by 1000"]
    assert numbers == [
        [True, f"time is {number}; expected unix seconds, a whole number"]
        for number in ("1.5", "NaN", "7", "9007199254740992", "null")
    ]
    assert found["series"] == [True, "series is 0.5; expected 0 to 0"]
    counts = ("0", "-1", "1.5", "NaN", "Infinity", "2", "null")
    assert found["streams"] == [[True, f"{count} streams; expected 1, 2, ..."] for count in counts]
    assert found["foreign"] == [True, "the self-test failed: not this model, or not here"]
    assert found["garbage"][0]
    assert found["garbage"][1].startswith("no model that runs here (it needs WebAssembly SIMD): ")


# Every window alone, all in a batch, and each as a stream; infinity would be null as NaN is, so it is looked for.
EXTREME_CALLER = """
import { readFile } from 'node:fs/promises';
const model = await (await import(process.argv[2])).load(await readFile(process.argv[3]));
const { values: windows, time: times, step_s: step } = JSON.parse(await readFile(process.argv[4], 'utf8'));
const begin = (times?.[0] ?? 0) - (model.context - 1) * step;
let infinite = 0, pushed;
const plain = (found) => Object.values(found).map((each) => {
  infinite += each.filter((one) => Math.abs(one) === Infinity).length;
  return Array.from(each);
});
const alone = windows.map((window, i) => plain(model.predict(window.flat(), times?.[i])));
const batch = plain(model.predictBatch(windows.flat(2), times));
const streams = model.stream(windows.length);
const pushAll = (_, t) => { pushed = plain(streams.push(windows.map((one) => one[t]).flat(), begin + t * step)); };
windows[0].forEach(pushAll);
console.log(JSON.stringify({ infinite, alone, batch, pushed }));
"""


def test_the_wrapper_takes_extreme_numbers_as_the_reference_does(bundle: Path, tmp_path: Path) -> None:
    opened = Bundle.open(bundle)
    spec, scaler, window = opened.manifest.spec, opened.manifest.scaler, opened.golden().windows.take([5])
    windows = extreme_windows(window.changed(window.values.astype(np.float64)))  # JavaScript's numbers
    narrow, found = windows.changed(np.float32(windows.values)), _called(bundle, windows, tmp_path, EXTREME_CALLER)
    assert found["infinite"] == 0
    batch = np.array(found["batch"], np.float64).reshape(3, len(windows), spec.horizon)  # null is NaN
    np.testing.assert_array_equal(np.array(found["pushed"], np.float64).reshape(batch.shape), batch)
    np.testing.assert_array_equal(np.array(found["alone"], np.float64).swapaxes(0, 1), batch)
    expected = reference.forecast(spec, scaler, opened.weights(), narrow)
    error = largest_error(spec, narrow, batch[0].astype(np.float32), expected, scaler.range)
    assert error <= tolerance(TARGETS["native"], spec).max_abs
    assert np.isfinite(batch[0]).all(axis=1).sum() > len(windows) / 2


def _called(bundle: Path, windows: Windows, folder: Path, caller: str = CALLER) -> dict[str, list]:
    given = {"values": windows.values.astype(np.float64).tolist(), "step_s": Bundle.open(bundle).manifest.spec.step_s}
    if windows.time is not None:
        given["time"] = windows.time.tolist()
    (folder / "windows.json").write_text(json.dumps(given), "ascii")
    (folder / "caller.mjs").write_text(caller, "utf-8")
    shutil.copy(bundle / "native" / WRAPPER, folder / "pulsecast.mjs")  # Node needs a package for `.js` modules
    command = [
        require_tool("node"),
        "caller.mjs",
        "./pulsecast.mjs",
        str(bundle / "native" / MODULE),
        "windows.json",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_wrapper_has_five_kilobytes_and_its_types_name_what_it_gives(bundle: Path) -> None:
    assert (bundle / "native" / WRAPPER).stat().st_size < 5500
    types = (bundle / "native" / TYPES).read_text("utf-8")
    assert set(re.findall(r"^  (?:readonly )?(\w+)[(:]", types, re.MULTILINE)) == {
        *("info", "context", "measured", "horizon", "predict", "predictBatch", "stream"),
        *("forecast", "lower", "upper"),
        *("push", "settle", "reset"),
    }


def test_a_run_of_windows_is_put_together_where_they_overlap() -> None:
    series = np.arange(40, dtype=np.float32)[:, np.newaxis]
    starts = [0, 1, 3, 20, 21, 23, 24, 30]  # 30 shares 4 of 10 steps with 24: too few to be sure
    values = np.stack([series[s : s + 10] for s in starts])
    spec = replace(plain.LEVEL_SPEC, window=10)
    for time in (None, 3600 * np.array(starts) + 36_000):
        run = longest_run(Windows(values=values, time=time), spec)
        assert run.rows[:, 0].tolist() == list(range(20, 34))
        assert run.ends == {3: 10, 4: 11, 5: 13, 6: 14}
        assert run.start == (None if time is None else 3600 * 20 + 36_000 - 9 * 3600)
    apart = 3600 * np.array(starts)
    apart[5:] += 3600  # an hour is missing between steps that look the same
    assert longest_run(Windows(values=values, time=apart), spec).ends == {0: 10, 1: 11, 2: 13}
