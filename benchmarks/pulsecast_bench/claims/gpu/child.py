"""The steps that need a process of their own, because a device is chosen when an engine is imported.

`python -m pulsecast_bench.claims.gpu.child STEP FOLDER [NUMBER]` answers one JSON document on its last line.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pulsecast.foundation import strict_json
from pulsecast.stages.parent import die_with_parent

from .record import Ran

LOG, MODEL, BUNDLE = "log.csv", "model", "bundle"
BATCHES = (1, 64, 1024)
CALLS = 30  # of each batch


def probe(folder: Path, number: int) -> dict[str, Any]:
    """Return which Keras backend this is, and whether it has a GPU; computes something there."""
    del folder, number
    import keras

    with_numbers = keras.Variable(np.ones((64, 64), np.float32))
    return {
        "backend": keras.backend.backend(),
        "device": device_of(with_numbers),
        "keras": keras.__version__,
        "gpu": "gpu" in device_of(with_numbers).lower() or "cuda" in device_of(with_numbers).lower(),
    }


def device_of(variable: Any) -> str:
    """Return where the numbers of a Keras variable are, as its backend says it.

    TensorFlow says `/job:localhost/replica:0/task:0/device:GPU:0`, of which the end is kept; torch `cuda:0`.
    """
    value = variable.value
    devices = getattr(value, "devices", None)
    said = next(iter(devices())) if callable(devices) else getattr(value, "device", "unknown")
    return str(said).rpartition("device:")[2]


class _Clock:
    """Keeps when each epoch ended."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.ended: list[float] = []

    def tell(self, line: str) -> None:
        """Say nothing."""

    def advance(self, what: str, done: int, total: int, note: str = "") -> None:
        """Keep the moment."""
        if what == "epoch":
            self.ended.append(time.perf_counter())

    def epochs_s(self) -> list[float]:
        """Return the seconds of each epoch."""
        return [float(one) for one in np.diff([self.began, *self.ended])]


def pulsecast(folder: Path, epochs: int) -> dict[str, Any]:
    """Train by pulsecast's own loop; the model directory is not written."""
    from pulsecast_train.fitting.checkpoint import Checkpoint
    from pulsecast_train.fitting.training import fit_network
    from pulsecast_train.windows import Examples

    prepared = _prepared(folder, epochs)
    examples = Examples(prepared.steps, prepared.spec, prepared.split.training)
    nothing = Examples(prepared.steps, prepared.spec, prepared.split.training[:0])
    progress = folder / f"progress-{time.time_ns()}"
    progress.mkdir()
    clock = _Clock()
    network, history = fit_network(
        prepared.spec, prepared.config, examples, nothing, Checkpoint(folder=progress, run=prepared.fingerprint), clock
    )
    return _trained(network, clock, history[-1].loss, prepared)


def fit(folder: Path, epochs: int) -> dict[str, Any]:
    """Train the same network on the same windows by a bare `model.fit`."""
    import keras

    from pulsecast_train.fitting.network import build_network
    from pulsecast_train.recipes.recipes import find_recipe
    from pulsecast_train.windows import Examples

    prepared = _prepared(folder, epochs)
    config = prepared.config
    examples = Examples(prepared.steps, prepared.spec, prepared.split.training)
    inputs, targets = examples.gather(np.arange(len(examples)))  # (n, window, channels), (n, horizon)
    clock = _Clock()
    keras.utils.set_random_seed(config.seed)
    network = build_network(prepared.spec, config.dropout)
    network.compile(optimizer=keras.optimizers.Adam(config.learning_rate), loss=find_recipe(config.recipe).loss)
    told = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: clock.advance("epoch", epoch, epochs))
    history = network.fit(inputs, targets, batch_size=config.batch_size, epochs=epochs, verbose=0, callbacks=[told])
    return _trained(network, clock, float(history.history["loss"][-1]), prepared)


def _prepared(folder: Path, epochs: int) -> Any:
    from pulsecast_train.fitting.preparing import prepare
    from pulsecast_train.logs.generator import GENERATED_LOG
    from pulsecast_train.logs.reader import read_log
    from pulsecast_train.recipes.train_config import RunConfig, TrainConfig

    config = TrainConfig(recipe="textbook", epochs=epochs)
    return prepare(read_log(folder / LOG, GENERATED_LOG), RunConfig(log=GENERATED_LOG, train=config))


def _trained(network: Any, clock: _Clock, loss: float, prepared: Any) -> dict[str, Any]:
    return {
        "device": device_of(network.variables[0]),
        "epoch_s": clock.epochs_s(),
        "loss": loss,
        "windows": len(prepared.split.training),
        "batch_size": prepared.config.batch_size,
    }


def make(folder: Path, epochs: int) -> dict[str, Any]:
    """Train the recommended recipe and export every target here, the native ones aside."""
    from pulsecast_export import export
    from pulsecast_train import TrainConfig, train
    from pulsecast_train.logs.generator import GENERATED_LOG

    train(folder / LOG, out=folder / MODEL, log=GENERATED_LOG, training=TrainConfig(epochs=epochs))
    export(folder / MODEL, out=folder / BUNDLE)
    return {}


def verify(folder: Path, number: int) -> dict[str, Any]:
    """Return for each artifact of the bundle whether every check of it passes here."""
    del number
    from pulsecast import verify as run

    return {one.artifact: one.passed for one in run(folder / BUNDLE) if not one.skipped}


def forecast(folder: Path, number: int) -> dict[str, Any]:
    """Run the bundle's ONNX file on the device that ONNX Runtime takes here, and time calls."""
    del number
    from pulsecast import Bundle, load

    model, golden = load(folder / BUNDLE, backend="onnx"), Bundle.open(folder / BUNDLE).golden()
    windows = golden.windows
    error = golden.largest_error(model.backend.predict(*windows.inputs))
    times: dict[int, float] = {}
    for batch in BATCHES:
        some = windows.take(np.arange(batch) % len(windows))
        times[batch] = _call_us(lambda some=some: model.backend.predict(*some.inputs))  # type: ignore[misc]
    found = Ran(
        artifact=model.artifact.id,
        engine=model.backend.engine,
        device=model.backend.device,
        max_error=error,
        limit=model.artifact.tolerance.max_abs,
        call_us=times,
    )
    return dict(strict_json.to_json(found))


def _call_us(call: Callable[[], object]) -> float:
    """Return the median of CALLS calls in microseconds, after three that warm up."""
    spent = []
    for turn in range(-3, CALLS):
        began = time.perf_counter_ns()
        call()
        if turn >= 0:
            spent.append(time.perf_counter_ns() - began)
    return float(np.median(spent)) / 1000


STEPS = {one.__name__: one for one in (probe, pulsecast, fit, make, verify, forecast)}

if __name__ == "__main__":
    die_with_parent()
    _step, _folder, *_number = sys.argv[1:]
    print(json.dumps(STEPS[_step](Path(_folder), int(_number[0]) if _number else 0)))
