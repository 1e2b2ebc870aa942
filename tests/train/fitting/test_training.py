"""Fitting: a killed run ends with the same weights, the best ones are kept, other failures name the reason."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.engines import TRAIN, require
from helpers.heard import Heard, StopAfter, StoppedError

require(*TRAIN)

from pulsecast.errors import DataError, UsageError  # noqa: E402
from pulsecast.foundation import strict_json  # noqa: E402  the packages above are needed first
from pulsecast.stages.model_directory import ModelRecord, read_model_directory  # noqa: E402
from pulsecast.stages.progress import SILENT, Progress  # noqa: E402
from pulsecast_train.fitting.checkpoint import Checkpoint, Epoch, SavedRun, load_run, save_run  # noqa: E402
from pulsecast_train.logs.config import LogConfig  # noqa: E402
from pulsecast_train.recipes.train_config import RunConfig, TrainConfig  # noqa: E402

# 329 windows in batches of 47: a last batch of another size is compiled for itself, which takes longer than training
SMALL = TrainConfig(window=12, units=(6, 5), epochs=4, dropout=0.2, learning_rate=5e-3, patience=0, batch_size=47)
# sooner compiled: where only the course of a run is looked at
ONE_LAYER = replace(SMALL, units=(6,))
LOG = LogConfig(timezone="UTC")


def write_series(path: Path, *, hours: int = 500, level: float = 300.0, seed: int = 3) -> Path:
    """An hourly series (timestamp, value) with a daily rhythm and noise."""
    t = np.arange(hours)
    values = level + 100 * np.sin(2 * np.pi * t / 24) + np.random.default_rng(seed).normal(0, 15, hours)
    stamps = np.datetime64("2025-03-03T00:00:00") + t.astype("timedelta64[h]")
    rows = (f"{stamp},{value:.0f}" for stamp, value in zip(stamps, values, strict=True))
    path.write_text("timestamp,value\n" + "\n".join(rows) + "\n")
    return path


def train(
    paths: list[Path],
    out: Path,
    config: TrainConfig = SMALL,
    *,
    restart: bool = False,
    progress: Progress = SILENT,
) -> ModelRecord:
    from pulsecast_train import train

    return train(paths, out=out, log=LOG, training=config, restart=restart, progress=progress).record


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_series(tmp_path_factory.mktemp("series") / "posts.csv")


@pytest.fixture(scope="module")
def whole(series: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was trained without a stop."""
    out = tmp_path_factory.mktemp("whole") / "model"
    train([series], out)
    return out


def weights_of(path: Path) -> dict[str, np.ndarray]:
    found = read_model_directory(path)
    return dict(found.weights.arrays(found.record.spec.network))


def validation_losses(model: Path) -> list[float]:
    epochs = json.loads((model / "history.json").read_text())["epochs"]
    return [epoch["validation_loss"] for epoch in epochs]


KILLED = """
import os, signal, sys
from pathlib import Path
from pulsecast.foundation import strict_json
from pulsecast_train import RunConfig, train
class Killing:
    def tell(self, line):
        pass
    def advance(self, what, done, total, note=""):
        if (what, done) == ("epoch", 2):
            os.kill(os.getpid(), signal.SIGKILL)
run = strict_json.loads(RunConfig, sys.argv[3].encode(), where="run")
train(sys.argv[1], out=sys.argv[2], log=run.log, training=run.train, progress=Killing())
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_in_the_same_weights_bit_for_bit(
    series: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    run = strict_json.dumps(RunConfig(log=LOG, train=SMALL))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", KILLED, str(series), str(out), run]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.training"]
    heard = Heard()
    train([series], out, progress=heard)
    assert heard.done("epoch") == [3, 4]
    for name, array in weights_of(whole).items():
        np.testing.assert_array_equal(weights_of(out)[name], array)
    assert (out / "history.json").read_bytes() == (whole / "history.json").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


@pytest.mark.slow
def test_an_unfinished_run_is_not_mixed_with_another_one(series: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    with pytest.raises(StoppedError):
        train([series], out, progress=StopAfter())
    sentence = r"model\.training holds an unfinished run on other data or with another configuration"
    with pytest.raises(UsageError, match=sentence):
        train([series], out, replace(SMALL, seed=8))
    with pytest.raises(UsageError, match=sentence):
        train([write_series(tmp_path / "posts.csv", seed=4)], out)
    with pytest.raises(StoppedError):
        train([series], out, replace(SMALL, seed=8), restart=True, progress=StopAfter())
    progress = tmp_path / "model.training" / "progress.npz"
    progress.write_bytes(progress.read_bytes()[:-200])
    with pytest.raises(UsageError, match=r"model\.training holds a damaged training run; --restart discards it"):
        train([series], out)
    record = train([series], out, restart=True)
    assert record.provenance.training["epochs_run"] == 4
    for name, array in weights_of(whole).items():
        np.testing.assert_array_equal(weights_of(out)[name], array)


@pytest.mark.slow
def test_the_weights_of_the_lowest_validation_loss_are_kept(series: Path, tmp_path: Path) -> None:
    """A rate that is far too high makes later epochs worse; stopping at the best one must give the same weights."""
    config = replace(SMALL, learning_rate=0.3, epochs=6, dropout=0.0, averaging=0.0, loss="huber")
    train([series], tmp_path / "long", config)
    best = int(np.argmin(validation_losses(tmp_path / "long"))) + 1
    assert best < 6
    train([series], tmp_path / "short", replace(config, epochs=best))
    for name, array in weights_of(tmp_path / "long").items():
        np.testing.assert_array_equal(weights_of(tmp_path / "short")[name], array)


@pytest.mark.slow
def test_training_stops_when_the_validation_loss_no_longer_falls(series: Path, tmp_path: Path) -> None:
    config = replace(ONE_LAYER, learning_rate=0.3, epochs=40, patience=2, dropout=0.0, averaging=0.0)
    record = train([series], tmp_path / "model", config)
    losses = validation_losses(tmp_path / "model")
    assert len(losses) == record.provenance.training["epochs_run"] < 40
    assert int(np.argmin(losses)) == len(losses) - 1 - 2


@pytest.mark.slow
def test_the_kept_weights_are_the_average_of_those_after_each_batch(
    series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a validation part the last average is kept: here recomputed, batch by batch, from the trained weights."""
    import keras

    seen: list[list[np.ndarray]] = []
    train_on_batch = keras.Model.train_on_batch

    def watched(network: keras.Model, *batch: np.ndarray) -> object:
        found = train_on_batch(network, *batch)
        seen.append([np.array(variable, np.float64) for variable in network.trainable_variables])
        return found

    monkeypatch.setattr(keras.Model, "train_on_batch", watched)
    config = replace(SMALL, epochs=2, validation_fraction=0.0, averaging=0.5, batch_size=73, linear=False)
    train([series], tmp_path / "model", config)
    momentum = 1 - 1 / (0.5 * len(seen) / 2)
    averages = seen[0]
    for weights in seen[1:]:
        averages = [momentum * a + (1 - momentum) * w for a, w in zip(averages, weights, strict=True)]
    kept = weights_of(tmp_path / "model")
    assert len(kept) == len(averages)
    # float32 sums of about ten terms each
    for array, average, last in zip(kept.values(), averages, seen[-1], strict=True):
        np.testing.assert_allclose(array, average, atol=2e-6)
        assert np.abs(array - last).max() > 1e-4


@pytest.mark.slow
def test_several_series_train_one_model(tmp_path: Path) -> None:
    paths = [write_series(tmp_path / "a.csv"), write_series(tmp_path / "b.csv", level=900, hours=400, seed=5)]
    record = train(paths, tmp_path / "model", replace(ONE_LAYER, epochs=1, pool=False, batch_size=293))
    spec = record.spec
    counts = record.provenance.training["windows"]
    assert isinstance(counts, dict)
    per_series = [round(n * 0.8) - spec.context for n in (500, 400)]
    assert counts["training"] + counts["validation"] == sum(per_series)
    assert counts["heldout"] == 100 + 80
    assert record.scaler.features[0].low < 300
    assert record.scaler.features[0].high > 900
    windows = read_model_directory(tmp_path / "model").heldout.windows.values[:, :, 0]
    own = (windows < 600).all(axis=1) | (windows > 600).all(axis=1)
    assert own.all()


@pytest.mark.slow
def test_a_model_directory_describes_itself_without_secrets(whole: Path, series: Path) -> None:
    directory = read_model_directory(whole)
    record = directory.record
    assert sorted(path.name for path in whole.iterdir()) == sorted(["model.json", *record.files])
    assert (record.name, record.recipe) == ("model", "recommended")
    known = {"model", "linear_path", "ridge_log_calendar", "last_value", "seasonal_naive"}
    assert set(record.heldout.forecasts) - {"lightgbm_l1"} == known
    assert len(directory.heldout.windows) == record.heldout.windows == 100
    assert str(series.parent).encode() not in (whole / "model.json").read_bytes()
    # Keras' float32 forecasts that were stored, against the float64 reference
    from pulsecast.computing import reference

    ours = reference.forecast(record.spec, record.scaler, directory.weights, directory.heldout.windows)
    np.testing.assert_allclose(directory.heldout.trained, ours, rtol=0, atol=1e-5 * record.scaler.range)


@pytest.mark.slow
def test_calibration_windows_are_training_windows_and_reach_both_extremes(whole: Path, series: Path) -> None:
    directory = read_model_directory(whole)
    values = np.loadtxt(series, delimiter=",", skiprows=1, usecols=1)[:400]
    context = directory.record.spec.context
    of_training = {values[s : s + context].astype(np.float32).tobytes() for s in range(400 - context)}
    assert {np.ascontiguousarray(w).tobytes() for w in directory.calibration.values[:, :, 0]} <= of_training
    last = directory.calibration.values[:, -1, 0]
    count = directory.record.provenance.training["windows"]["training"]  # type: ignore[index]
    reachable = values[context - 1 : context - 1 + count]
    assert (last.min(), last.max()) == (reachable.min(), reachable.max())


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_the_run_with_advice(tmp_path: Path) -> None:
    path = write_series(tmp_path / "posts.csv")
    config = replace(ONE_LAYER, recipe="textbook", learning_rate=1e20, loss="mse", epochs=3, batch_size=97)
    with pytest.raises(DataError, match=r"the loss is (nan|inf) in epoch \d: lower --learning-rate"):
        train([path], tmp_path / "model", config)
    assert not (tmp_path / "model").exists()


def test_an_existing_model_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").touch()
    with pytest.raises(UsageError, match="model exists; pass --force to replace it"):
        train([tmp_path / "nowhere.csv"], tmp_path / "model")


def test_patience_without_a_validation_part_is_a_contradiction(series: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="patience needs a validation part; pass --validation-fraction"):
        train([series], tmp_path / "model", replace(SMALL, recipe="textbook", patience=3))


def test_level_noise_is_refused_where_levels_are_forecast(series: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="level_noise would blur the forecasts of recipe textbook"):
        train([series], tmp_path / "model", replace(SMALL, recipe="textbook", level_noise=0.1))


def test_too_short_an_unbroken_stretch_is_refused(tmp_path: Path) -> None:
    path = write_series(tmp_path / "posts.csv", hours=30)
    with pytest.raises(DataError, match="the longest unbroken stretch has 30 steps; one window takes 35 and 1 to fore"):
        train([path], tmp_path / "model")


# ------------------------------------------------------------------------------------------------- the parts of a run


def epoch(number: int, loss: float | None) -> Epoch:
    return Epoch(number=number, loss=1.0, validation_loss=loss)


@pytest.mark.parametrize(
    ("losses", "patience", "stops"),
    [
        ([3.0, 2.0, 1.0], 2, False),
        ([1.0, 2.0], 2, False),
        ([1.0, 2.0, 1.5], 2, True),
        ([2.0, 1.0, 1.0, 1.0], 2, True),  # an equal loss is not better
        ([1.0, 2.0, 3.0, 4.0], 0, False),
        ([None, None, None], 1, False),
        ([], 1, False),
    ],
)
def test_early_stopping_counts_epochs_since_the_best_one(
    losses: list[float | None], patience: int, stops: bool
) -> None:
    from pulsecast_train.fitting.training import should_stop

    assert should_stop(tuple(epoch(i + 1, loss) for i, loss in enumerate(losses)), patience) is stops


def test_progress_comes_back_as_saved_and_replaces_the_last(tmp_path: Path) -> None:
    checkpoint = Checkpoint(folder=tmp_path, run="abc")
    assert load_run(checkpoint) is None
    for count in (1, 12):
        variables = (*(np.full((2, 3), i, np.float32) for i in range(count)), np.int64(7))
        saved = SavedRun(history=(epoch(1, 0.5), epoch(2, None)), variables=variables, best=variables[:1])
        save_run(checkpoint, saved)
        found = load_run(checkpoint)
        assert found is not None
        assert found.history == saved.history
        assert [path.name for path in tmp_path.iterdir()] == ["progress.npz"]
        assert len(found.variables) == count + 1
        for one, other in zip(found.variables, variables, strict=True):
            np.testing.assert_array_equal(one, other)
        assert len(found.best) == 1


DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda data: data[: len(data) // 2],
    "empty": lambda _: b"",
    "a flipped byte": lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:],
    "another file": lambda _: b"not an archive",
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_progress_says_how_to_discard_it(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    checkpoint = Checkpoint(folder=tmp_path, run="abc")
    save_run(checkpoint, SavedRun(history=(), variables=(np.ones(4),), best=()))
    checkpoint.path.write_bytes(damage(checkpoint.path.read_bytes()))
    with pytest.raises(UsageError, match="holds a damaged training run; --restart discards it"):
        load_run(checkpoint)


def test_the_network_is_two_lstms_and_a_dense_head() -> None:
    from pulsecast_train.fitting.network import build_network, extract_weights
    from pulsecast_train.recipes.recipes import RECIPES, build_spec

    spec = build_spec(RECIPES["textbook"], TrainConfig(recipe="textbook"), ("value",), 3600)
    network = build_network(spec, 0.0)
    assert [type(layer).__name__ for layer in network.layers] == ["LSTM", "LSTM", "Dense"]
    assert (network.input_shape, network.output_shape) == ((None, 50, 1), (None, 1))
    assert [type(layer).__name__ for layer in build_network(spec, 0.2).layers] == [
        "LSTM", "Dropout", "LSTM", "Dropout", "Dense",
    ]  # fmt: skip
    weights = extract_weights(network, spec)
    assert [layer.kernel.shape for layer in weights.layers] == [(1, 200), (50, 200)]
    assert (weights.head_kernel.shape, weights.head_bias.shape) == ((50, 1), (1,))


@pytest.mark.parametrize(
    ("visible", "driver", "cuda", "sentence"),
    [
        ("-1", True, True, "CUDA_VISIBLE_DEVICES hides all GPUs"),
        (None, False, True, "no NVIDIA driver on this machine"),
        (None, True, False, "an NVIDIA driver is here, but this TensorFlow is built without CUDA"),
        (None, True, True, "TensorFlow finds no CUDA libraries: pip install 'pulsecast[all-gpu]'"),
    ],
)
def test_the_report_says_why_no_gpu_trains(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, visible: str | None, driver: bool, cuda: bool, sentence: str
) -> None:
    import tensorflow as tf

    from pulsecast_train.fitting import device

    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    (tmp_path / "version").write_text("x")
    monkeypatch.setattr(device, "NVIDIA_DRIVER", tmp_path / ("version" if driver else "none"))
    monkeypatch.setattr(device, "_gpus", list)
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: cuda)
    assert device.describe_device() == f"CPU, {os.cpu_count()} cores: " + (
        sentence if not sentence.startswith("TensorFlow") else f"an NVIDIA driver is here, but {sentence}"
    )


def test_a_gpu_that_is_found_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    from pulsecast_train.fitting import device

    monkeypatch.setattr(device, "_gpus", lambda: [SimpleNamespace(name="gpu0")])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda _: {"device_name": "Tesla T4"})
    assert device.describe_device() == "GPU: Tesla T4"
