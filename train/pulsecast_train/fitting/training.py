"""Fitting the network: epochs over shuffled batches, early stopping on the validation part, best weights kept.

The weights that are judged and kept may be an exponential average over the last epochs: this costs one pass over the
weights per batch, and forecasts like an ensemble of the averaged networks.

`train_on_batch` with whole batches of one shape is 1.6 times as fast here as `fit`, whose batch dimension stays open
(`python -m pulsecast_bench.claims.training`). Each epoch's order depends on the seed and the epoch's number only, so a
resumed run ends with the same weights as an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pulsecast.errors import DataError
from pulsecast.model.spec import ModelSpec
from pulsecast.stages.progress import Progress

from ..recipes.recipes import find_recipe
from ..recipes.train_config import TrainConfig
from ..windows import Examples
from .checkpoint import Checkpoint, Epoch, SavedRun, load_run, save_run
from .mirrored import Mirrored
from .network import build_network


def fit_network(
    spec: ModelSpec,
    config: TrainConfig,
    training: Examples,
    validation: Examples,
    checkpoint: Checkpoint,
    progress: Progress,
) -> tuple[keras.Model, tuple[Epoch, ...]]:
    """Return the fitted network and its history; continues from `checkpoint` if there is one.

    `config` has no Nones left. `progress` receives every epoch that runs. Raises DataError if
    the loss stops being finite, UsageError if `config` asks for more devices than exist.
    """
    batches = -(-len(training) // config.batch_size)
    if config.devices == 1:
        network = _built(spec, config, batches)
        history = _fit(network, _OneDevice(network), config, (training, validation), checkpoint, progress)
        return network, history
    devices = Mirrored(config.devices)
    with devices.scope():
        mirrored = _built(spec, config, batches)
        devices.take(mirrored, _loss(config))
        history = _fit(mirrored, devices, config, (training, validation), checkpoint, progress)
        values = _values(_all_variables(mirrored))
    network = _built(spec, config, batches)  # an ordinary network, also after training on several devices
    _assign(_all_variables(network), values)
    return network, history


@dataclass(frozen=True)
class _OneDevice:
    """Runs batches on the device that Keras chooses; `Mirrored` does the same on several devices."""

    network: keras.Model

    def train(self, inputs: NDArray[np.float32], targets: NDArray[np.float32]) -> float:
        self.network.reset_metrics()  # the loss returned is this batch's own
        return float(self.network.train_on_batch(inputs, targets))

    def judge(self, inputs: NDArray[np.float32], targets: NDArray[np.float32]) -> float:
        self.network.reset_metrics()
        return float(self.network.test_on_batch(inputs, targets))


def _built(spec: ModelSpec, config: TrainConfig, batches: int) -> keras.Model:
    """Return the untrained network of `config`'s seed, with its optimizer, for epochs of `batches` batches."""
    keras.utils.set_random_seed(config.seed)
    network = build_network(spec, config.dropout)
    network.compile(optimizer=_optimizer(config, batches), loss=_loss(config))
    network.optimizer.build(network.trainable_variables)
    return network


def _fit(
    network: keras.Model,
    batches: _OneDevice | Mirrored,
    config: TrainConfig,
    examples: tuple[Examples, Examples],
    checkpoint: Checkpoint,
    progress: Progress,
) -> tuple[Epoch, ...]:
    """Leave `network` with the weights to keep, and return the history; `examples` train and validate."""
    epochs, patience = config.epochs or find_recipe(config.recipe).epochs, config.patience or 0
    saved = load_run(checkpoint)
    history = _restore(network, saved) if saved else ()
    best = saved.best if saved else ()
    while len(history) < epochs and not should_stop(history, patience):
        loss = _run_epoch(batches, config, len(history) + 1, examples[0])
        with _averaged(network):
            judged = _values(network.variables)
            judged_loss = _evaluate(batches, examples[1], config.batch_size)
            epoch = Epoch(number=len(history) + 1, loss=loss, validation_loss=judged_loss)
            if epoch.validation_loss is None or epoch.validation_loss <= _best_loss(history):
                best = judged
        history = (*history, epoch)
        save_run(checkpoint, SavedRun(history=history, variables=_values(_all_variables(network)), best=best))
        progress.advance("epoch", epoch.number, epochs, str(epoch))
    if best:
        _assign(network.variables, best)
    return history


def should_stop(history: tuple[Epoch, ...], patience: int) -> bool:
    """Return whether the last `patience` epochs brought no better validation loss; 0 never stops."""
    losses = [epoch.validation_loss for epoch in history if epoch.validation_loss is not None]
    if not patience or not losses:
        return False
    return len(losses) - 1 - losses.index(min(losses)) >= patience


# A step's scaled error is mostly well under 1, where Huber's own threshold of 1 gives the squared error. This threshold
# gives nearly the absolute error, by which forecasts are judged, and is still smooth around 0.
NARROW_HUBER, NARROW_HUBER_DELTA = "narrow_huber", 0.1


def _loss(config: TrainConfig) -> Any:
    name = config.loss or find_recipe(config.recipe).loss
    return keras.losses.Huber(delta=NARROW_HUBER_DELTA) if name == NARROW_HUBER else name


def _optimizer(config: TrainConfig, batches: int) -> keras.optimizers.Optimizer:
    """Return Adam, which also keeps the average of the weights over `config.averaging` epochs of `batches` batches."""
    averaged = (config.averaging or 0.0) * batches
    if averaged <= 1:
        return keras.optimizers.Adam(config.learning_rate)
    return keras.optimizers.Adam(
        config.learning_rate, use_ema=True, ema_momentum=1 - 1 / averaged, ema_overwrite_frequency=None
    )


@contextmanager
def _averaged(network: keras.Model) -> Iterator[None]:
    """Give the network its averaged weights in this block, if there are any."""
    if not network.optimizer.use_ema:
        yield
        return
    trained = _values(network.trainable_variables)
    network.optimizer.finalize_variable_values(network.trainable_variables)
    # otherwise JAX shares one buffer between averages and weights, and deletes it when a step consumes the weights
    _assign(network.trainable_variables, _values(network.trainable_variables))
    yield
    _assign(network.trainable_variables, trained)


def _run_epoch(batches: _OneDevice | Mirrored, config: TrainConfig, number: int, training: Examples) -> float:
    """Return the mean training loss of one epoch; its order and noise depend on the seed and its number only."""
    random = np.random.default_rng((config.seed, number))
    order = random.permutation(len(training))
    total = 0.0
    for first in range(0, len(order), config.batch_size):
        batch = order[first : first + config.batch_size]
        inputs, targets = training.gather(batch)
        if config.level_noise:
            inputs = training.shifted(inputs, random.normal(scale=config.level_noise, size=len(batch)))
        total += batches.train(inputs, targets) * len(batch)
    loss = total / len(order)
    if not np.isfinite(loss):
        raise DataError(f"the loss is {loss} in epoch {number}: lower --learning-rate, or use the recommended recipe")
    return loss


def _evaluate(batches: _OneDevice | Mirrored, examples: Examples, batch_size: int) -> float | None:
    if not len(examples):
        return None
    total = 0.0
    for first in range(0, len(examples), batch_size):
        batch = np.arange(first, min(first + batch_size, len(examples)))
        total += batches.judge(*examples.gather(batch)) * len(batch)
    return total / len(examples)


def _best_loss(history: tuple[Epoch, ...]) -> float:
    return min((e.validation_loss for e in history if e.validation_loss is not None), default=float("inf"))


def _all_variables(network: keras.Model) -> list[Any]:
    return [*network.variables, *network.optimizer.variables]


def _values(variables: list[Any]) -> tuple[NDArray[np.generic], ...]:
    return tuple(np.array(np.asarray(variable)) for variable in variables)  # copies: a backend may reuse the memory


def _assign(variables: list[Any], values: tuple[NDArray[np.generic], ...]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _restore(network: keras.Model, saved: SavedRun) -> tuple[Epoch, ...]:
    _assign(_all_variables(network), saved.variables)
    return saved.history
