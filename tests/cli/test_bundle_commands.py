"""`inspect`, `verify` and `predict` on small bundles of the numpy artifact."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.engines import require
from pulsecast import load
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.contract import contract_text, model_digest
from pulsecast.bundle.manifest import MANIFEST_NAME
from pulsecast.computing.calendars import utc_text
from pulsecast.errors import EngineError
from pulsecast.forecasting import verification

require("typer")

from pulsecast_cli.app import run as run_arguments  # noqa: E402

Copy = Callable[[Path], Path]


def run(*arguments: object) -> int:
    return run_arguments([str(argument) for argument in arguments])


def test_inspect_says_what_goes_in_and_comes_out(calendar_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = Bundle.open(calendar_bundle).manifest.spec
    assert run("inspect", calendar_bundle) == 0
    out = capsys.readouterr().out
    assert f"takes    values float32 (batch, {spec.context}, 1), time int64 (batch,), raw units\n" in out
    assert (
        f"gives    forecast, lower, upper float32 (batch, {spec.horizon}), raw units, one step every {spec.step_s} s; "
        "bounds of 90 %\n"
    ) in out
    assert "columns  value, and 3 that follow from the time\n" in out
    layers = " + ".join(f"LSTM {units}" for units in spec.units)
    assert f"network  {layers} over {spec.window} steps, {len(spec.channels)} channels" in out


def test_inspect_loads_no_engine(plain_bundle: Path) -> None:
    code = (
        "import sys\nfrom pulsecast_cli.app import run\n"
        f"run(['inspect', {str(plain_bundle)!r}])\n"
        "print(sorted({'tensorflow', 'keras', 'onnxruntime', 'ai_edge_litert', 'polars'} & set(sys.modules)))\n"
    )
    path = {"PYTHONPATH": ":".join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=path)
    assert done.stdout.splitlines()[-1] == "[]"


# --- inspect of one file ---------------------------------------------------------------------------------------------


@pytest.fixture
def lone(change_model: plain.PlainModel, tmp_path: Path) -> Path:
    """A model.c outside its bundle; of the rest of it nothing is read."""
    contract = plain.contract(change_model, name="shop", artifact="native")
    (tmp_path / "model.c").write_text(f"/* shop\n * {contract_text(contract)}\n */\n")
    return tmp_path / "model.c"


def test_inspect_of_one_file_says_what_it_takes_and_gives(
    lone: Path, capsys: pytest.CaptureFixture[str], change_model: plain.PlainModel
) -> None:
    assert run("inspect", lone) == 0
    digest = model_digest(change_model.spec, change_model.scaler, change_model.weights)
    assert capsys.readouterr().out.splitlines() == [
        "shop: artifact native, float32, bundle format 2",
        "  takes    values float32 (batch, 73, 1), time int64 (batch,), raw units",
        "  gives    forecast, lower, upper float32 (batch, 2), raw units, one step every 3600 s; bounds of 90 %",
        "  columns  value, and 3 that follow from the time",
        "  network  LSTM 12 + LSTM 10 over 50 steps, 6 channels",
        f"  model    {digest}",
    ]


def test_inspect_of_one_file_as_json_is_its_contract(lone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", lone, "--format", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["schema_version", "command", "contract"]
    assert document["contract"] == json.loads(lone.read_text().splitlines()[1].removeprefix(" * "))


WRITTEN = "a file that `pulsecast export` has written"


def test_what_inspect_cannot_say_of_one_file_is_one_sentence(lone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", lone, "--statement") == 2
    lone.write_text("int main(void) { return 0; }\n")
    assert run("inspect", lone) == 2
    onnx = lone.with_name("model.onnx")
    onnx.write_bytes(b"\xff" * 20)
    assert run("inspect", onnx) == 5
    assert capsys.readouterr().err.splitlines() == [
        "error[usage]: model.c is one file; --statement is for the bundle that it comes from",
        f"error[usage]: model.c holds no contract; expected {WRITTEN}, in bundle format 2",
        "error[format]: model.onnx is damaged: the number before byte 10 has more than 64 bits",
    ]


ALONE = """
import sys
for name in ("onnx", "onnxruntime", "tensorflow", "ai_edge_litert", "flatbuffers", "google.protobuf"):
    sys.modules[name] = None
from pulsecast_cli.app import run
sys.exit(max(run(["inspect", path]) for path in sys.argv[1:]))
"""


@pytest.mark.slow
def test_the_exported_files_are_inspected_without_the_packages_of_their_formats(recommended_bundle: Path) -> None:
    manifest = Bundle.open(recommended_bundle).manifest
    artifacts = [artifact for artifact in manifest.artifacts if artifact.backend != "numpy"]
    command = [sys.executable, "-c", ALONE, *(str(recommended_bundle / artifact.path) for artifact in artifacts)]
    path = {"PYTHONPATH": ":".join(p for p in sys.path if p)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=path)
    assert (done.returncode, done.stderr) == (0, "")
    heads = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert heads == [f"{manifest.name}: artifact {a.id}, {a.precision}, bundle format 2" for a in artifacts]
    assert done.stdout.count("takes    channels float32 (1, ") == 1
    assert done.stdout.count("resets its variables before every window") == 1


# --- verify ----------------------------------------------------------------------------------------------------------


def test_verify_passes_a_whole_bundle(plain_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", plain_bundle) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("hashes of all files match the manifest\n[✓] numpy: 17/17 checks")
    assert captured.err == ""


def test_a_changed_byte_is_exit_code_5(plain_bundle: Path, copied: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = copied(plain_bundle)
    weights = bundle / "weights.npz"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(bytes(data))
    assert run("verify", bundle) == 5
    assert "weights.npz has another SHA-256" in capsys.readouterr().err


def test_forecasts_out_of_tolerance_are_exit_code_3(
    plain_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def off_by_one(*_: object, **__: object) -> object:
        class Backend:
            engine, device = "fake 1", "CPU"

            def predict(self, *given: object) -> np.ndarray:  # type: ignore[type-arg]
                return load(plain_bundle, backend="numpy").backend.predict(*given) + np.float32(1)  # type: ignore[arg-type]

            def outputs(self, *given: object) -> tuple[np.ndarray, ...]:  # type: ignore[type-arg]
                return (self.predict(*given),)

        return Backend()

    monkeypatch.setattr(verification, "open_backend", off_by_one)
    assert run("verify", plain_bundle, "--format", "json") == 3
    document = json.loads(capsys.readouterr().out)
    assert document["passed"] is False
    failed = [check["name"] for check in document["artifacts"][0]["checks"] if not check["passed"]]
    assert failed[0] == "largest error / range"


def test_a_requested_artifact_that_cannot_run_here_is_exit_code_6(
    plain_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verification, "is_installed", lambda _: False)
    assert run("verify", plain_bundle, "--artifact", "numpy") == 6
    assert "engine of backend numpy is not installed" in capsys.readouterr().err


def test_an_unknown_artifact_is_refused_with_the_known_ones(
    plain_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("verify", plain_bundle, "--artifact", "coreml") == 2
    assert capsys.readouterr().err == "error[usage]: no artifact 'coreml' in this bundle; it has numpy\n"


def test_an_engine_that_refuses_is_exit_code_1(
    plain_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise EngineError("numpy cannot be loaded by numpy: broken")

    monkeypatch.setattr(verification, "open_backend", broken)
    assert run("verify", plain_bundle) == 1
    assert capsys.readouterr().err == "error[engine]: numpy cannot be loaded by numpy: broken\n"


# --- predict ---------------------------------------------------------------------------------------------------------


def write_log(path: Path, values: np.ndarray, step_s: int, metric: str) -> Path:  # type: ignore[type-arg]
    lines = [f"{1_736_121_600 + i * step_s},{value:.4f}" for i, value in enumerate(values)]
    path.write_text("\n".join([f"timestamp,{metric}", *lines]) + "\n")
    return path


@pytest.fixture
def level_log(tmp_path: Path, plain_bundle: Path) -> Path:
    """The golden's first window and three more steps, as a log."""
    require("polars")
    opened = Bundle.open(plain_bundle)
    spec = opened.manifest.spec
    values = np.concatenate([opened.golden().windows.values[0, :, 0], opened.golden().windows.values[1, -3:, 0]])
    return write_log(tmp_path / "a, b.csv", np.abs(values), spec.step_s, spec.features[0].name)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_predict_forecasts_what_follows_the_last_window(
    plain_bundle: Path, level_log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = load(plain_bundle)
    spec = model.manifest.spec
    assert run("predict", plain_bundle, "--input", level_log) == 0
    found = rows(capsys.readouterr().out)
    values = np.loadtxt(level_log, delimiter=",", skiprows=1)[:, 1]
    expected = model.predict(values[-spec.context :])[0]
    assert [row["series"] for row in found] == ["a, b"] * spec.horizon
    assert [float(row["forecast"]) for row in found] == pytest.approx(expected, rel=1e-5)


def test_predict_gives_bounds_at_the_level_of_the_manifest(
    plain_bundle: Path, level_log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = load(plain_bundle)
    assert run("predict", plain_bundle, "--input", level_log, "--every") == 0
    found = rows(capsys.readouterr().out)
    assert list(found[0]) == ["series", "time", "step", "forecast", "lower", "upper"]
    values = np.loadtxt(level_log, delimiter=",", skiprows=1)[:, 1]
    windows = np.lib.stride_tricks.sliding_window_view(values, model.manifest.spec.context)
    expected = model.predict(windows, interval=0.9)
    for name in ("forecast", "lower", "upper"):
        assert [float(row[name]) for row in found] == pytest.approx(getattr(expected, name).ravel(), rel=1e-5)
    assert run("predict", plain_bundle, "--input", level_log, "--format", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["level"] == model.manifest.level == 0.9
    assert document["forecasts"][-1]["lower"] == expected.lower[-1, -1]
    assert document["forecasts"][-1]["upper"] == expected.upper[-1, -1]


def test_predict_gives_no_bounds_where_the_bundle_has_no_intervals(
    plain_bundle: Path, copied: Copy, level_log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = copied(plain_bundle)
    document = json.loads((bundle / MANIFEST_NAME).read_text())
    (bundle / MANIFEST_NAME).write_text(json.dumps(document | {"intervals": None, "level": None}))
    assert run("predict", bundle, "--input", level_log) == 0
    assert list(rows(capsys.readouterr().out)[0]) == ["series", "time", "step", "forecast"]
    assert run("predict", bundle, "--input", level_log, "--format", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["level"] is None
    assert "lower" not in document["forecasts"][0]


def test_a_forecast_with_a_calendar_is_of_the_time_in_the_log(
    calendar_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require("polars")
    model = load(calendar_bundle)
    spec = model.manifest.spec
    values = plain.series()[: spec.context + 30]
    log = write_log(tmp_path / "log.csv", values, spec.step_s, spec.features[0].name)
    assert run("predict", calendar_bundle, "--input", log, "--every") == 0
    found = rows(capsys.readouterr().out)
    windows = np.lib.stride_tricks.sliding_window_view(values, spec.context)
    last = plain.START_S + spec.step_s * (spec.context - 1 + np.arange(len(windows)))
    expected = model.predict(windows, timestamps=last)
    assert [float(row["forecast"]) for row in found] == pytest.approx(expected.ravel(), rel=1e-5)
    assert found[0]["time"] == utc_text(int(last[0]) + spec.step_s)
    assert not np.allclose(model.predict(windows, timestamps=last + 5 * 3600), expected, rtol=1e-3)


def test_predict_every_gives_a_forecast_for_each_window(
    plain_bundle: Path, level_log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = load(plain_bundle)
    context = model.manifest.spec.context
    assert run("predict", plain_bundle, "--input", level_log, "--every", "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)["forecasts"]
    values = np.loadtxt(level_log, delimiter=",", skiprows=1)[:, 1]
    windows = np.lib.stride_tricks.sliding_window_view(values, context)
    assert [row["forecast"] for row in found] == pytest.approx(model.predict(windows).ravel(), rel=1e-6)


def test_predict_adapt_gives_what_a_stream_that_adapts_gives(
    calendar_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = load(calendar_bundle)
    spec, stream = model.manifest.spec, model.stream(adapt=True)
    values = np.round(plain.series()[:220] * np.exp(np.random.default_rng(2).normal(0, 0.05, 220)))
    log = write_log(tmp_path / "log.csv", values, spec.step_s, spec.features[0].name)
    assert run("predict", calendar_bundle, "--input", log, "--adapt", "--every") == 0
    found = rows(capsys.readouterr().out)
    expected, exact = [], []
    for n, value in enumerate(values):
        made = stream.push(float(value), timestamp=plain.START_S + spec.step_s * n)
        if n + 1 >= spec.context:
            exact += made[0].tolist()
            expected += stream.adapted[0].tolist()  # type: ignore[index]
    assert [float(row["forecast"]) for row in found] == pytest.approx(exact, rel=1e-4)
    assert [float(row["adapted"]) for row in found] == pytest.approx(expected, rel=1e-4)
    assert all(float(row["adapted_lower"]) <= float(row["adapted"]) <= float(row["adapted_upper"]) for row in found)
    assert run("predict", calendar_bundle, "--input", log, "--adapt") == 0
    assert rows(capsys.readouterr().out) == found[-spec.horizon :]


def test_predict_adapt_refuses_a_log_that_ends_in_a_short_stretch_as_predict_does(
    plain_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require("polars")
    spec = load(plain_bundle).manifest.spec
    log = write_log(tmp_path / "log.csv", plain.series()[:200], spec.step_s, spec.features[0].name)
    lines = log.read_text().splitlines()
    log.write_text("\n".join([*lines[:150], *lines[180:]]) + "\n")  # a gap that is too long to be filled
    for options in ((), ("--adapt",)):
        assert run("predict", plain_bundle, "--input", log, *options) == 1
        assert "ends with 21 unbroken steps; this model takes 50" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("step_s", "metric", "steps", "message"),
    [
        (60, None, None, "has a step of 60 s; this model takes"),
        (None, "likes", None, "has likes; this model takes"),
        (None, None, 5, "ends with 5 unbroken steps; this model takes"),
    ],
)
def test_predict_refuses_a_log_that_does_not_fit_the_model(
    step_s: int | None, metric: str | None, steps: int | None, message: str,
    plain_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    require("polars")
    spec = plain.LEVEL_SPEC
    name = metric or spec.features[0].name
    log = write_log(tmp_path / "log.csv", np.arange(steps or 200.0), step_s or spec.step_s, name)
    assert run("predict", plain_bundle, "--input", log, "--metric", name) == 1
    assert message in capsys.readouterr().err
