"""`python -m pulsecast_bench.claims.training`: training here against a bare `model.fit`.

Same arrays, same network from the same seed, same batch size and epochs, in one process, in alternation: whole fits,
not epochs, so that both include the time to trace their graphs. `fit` gets the arrays as they are and shuffles them;
our side makes its windows from the series and saves its progress after every epoch, as `pulsecast train` does.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from pulsecast.foundation import strict_json
from pulsecast.stages.progress import SILENT
from pulsecast_train.fitting.checkpoint import Checkpoint
from pulsecast_train.fitting.network import build_network
from pulsecast_train.fitting.preparing import Prepared, prepare
from pulsecast_train.fitting.training import fit_network
from pulsecast_train.logs.generator import GENERATED_LOG, generate_log
from pulsecast_train.logs.reader import read_log
from pulsecast_train.recipes.recipes import find_recipe
from pulsecast_train.recipes.train_config import RunConfig, TrainConfig
from pulsecast_train.windows import Examples

from ..analysis.statistics import Estimate, median_of_runs

TARGET_RATIO = 1.1


@dataclass(frozen=True, kw_only=True)
class TrainingCost:
    """Seconds of each whole fit and the last epoch's loss; `ratio` is the median of the pairs' ratios."""

    windows: int
    epochs: int
    fit_s: tuple[float, ...]
    pulsecast_s: tuple[float, ...]
    fit_loss: float
    pulsecast_loss: float
    ratio: Estimate


def measure_training(*, days: int, epochs: int, pairs: int) -> TrainingCost:
    """Return the cost of both ways to fit the textbook recipe on `days` of the generated log."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.csv"
        generate_log(log, days=days)
        config = TrainConfig(recipe="textbook", epochs=epochs)
        prepared = prepare(read_log(log, GENERATED_LOG), RunConfig(log=GENERATED_LOG, train=config))
        fits: list[tuple[float, float]] = []
        ours: list[tuple[float, float]] = []
        for pair in range(pairs):
            sides = [(fits, _fit), (ours, _pulsecast)]
            for found, train in sides if pair % 2 else reversed(sides):
                keras.backend.clear_session()
                found.append(train(prepared, Path(folder) / f"{pair}"))
    ratios = [mine[0] / theirs[0] for mine, theirs in zip(ours, fits, strict=True)]
    return TrainingCost(
        windows=len(prepared.split.training),
        epochs=epochs,
        fit_s=tuple(seconds for seconds, _ in fits),
        pulsecast_s=tuple(seconds for seconds, _ in ours),
        fit_loss=fits[-1][1],
        pulsecast_loss=ours[-1][1],
        ratio=median_of_runs(ratios, seed=7),
    )


def _examples(prepared: Prepared) -> Examples:
    return Examples(prepared.steps, prepared.spec, prepared.split.training)


def _fit(prepared: Prepared, folder: Path) -> tuple[float, float]:
    """Return seconds and last loss of Keras' own loop."""
    del folder
    config, recipe = prepared.config, find_recipe(prepared.config.recipe)
    examples = _examples(prepared)
    inputs, targets = examples.gather(np.arange(len(examples)))  # (n, window, channels), (n, horizon)
    began = time.perf_counter()
    keras.utils.set_random_seed(config.seed)
    network = build_network(prepared.spec, config.dropout)
    network.compile(optimizer=keras.optimizers.Adam(config.learning_rate), loss=recipe.loss)
    history = network.fit(inputs, targets, batch_size=config.batch_size, epochs=config.epochs or 1, verbose=0)
    return time.perf_counter() - began, float(history.history["loss"][-1])


def _pulsecast(prepared: Prepared, folder: Path) -> tuple[float, float]:
    """Return seconds and last loss of `pulsecast_train.fitting.training`."""
    folder.mkdir()
    nothing = Examples(prepared.steps, prepared.spec, prepared.split.validation)
    checkpoint = Checkpoint(folder=folder, run=prepared.fingerprint)
    began = time.perf_counter()
    _, history = fit_network(prepared.spec, prepared.config, _examples(prepared), nothing, checkpoint, SILENT)
    return time.perf_counter() - began, history[-1].loss


def main(arguments: list[str]) -> int:
    """Print the ratio; exit 1 if it is above the target."""
    parser = argparse.ArgumentParser(prog="python -m pulsecast_bench.claims.training", description=__doc__)
    parser.add_argument("--days", type=int, default=60, help="of the generated hourly log")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    options = parser.parse_args(arguments)
    cost = measure_training(days=options.days, epochs=options.epochs, pairs=options.pairs)
    ratio = cost.ratio.value or 0.0
    if options.format == "json":
        print(json.dumps(strict_json.to_json(cost)))
    else:
        print(f"{cost.windows} windows, {cost.epochs} epochs, {len(cost.fit_s)} fits of each in alternation")
        print(f"model.fit  {np.median(cost.fit_s):6.2f} s, loss {cost.fit_loss:.3e}")
        print(f"pulsecast  {np.median(cost.pulsecast_s):6.2f} s, loss {cost.pulsecast_loss:.3e}")
        print(f"ratio      {ratio:6.2f}; target at most {TARGET_RATIO}")
    return int(ratio > TARGET_RATIO)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
