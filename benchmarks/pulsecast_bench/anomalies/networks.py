"""One network over several series, trained on their first steps, and its forecasts of any series of that size."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.model.scaler import Scaler
from pulsecast.model.spec import ModelSpec
from pulsecast.stages.progress import SILENT
from pulsecast_train.series import Series


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """A trained network, and the scaler of each series by its name."""

    network: Any
    spec: ModelSpec
    scalers: dict[str, Scaler]

    def forecast(self, series: Series) -> NDArray[np.float64]:
        """Return the forecasts (steps,) that were made one step before; NaN where there was no whole window.

        series  one of those that the network was trained on, by its name: its values may differ
        """
        from pulsecast_train.backtesting.backtest import network_forecasts
        from pulsecast_train.windows import all_steps

        scaler = self.scalers[series.name]
        steps = all_steps([series], self.spec, scaler)
        found = np.full(len(series.values), np.nan)
        made = network_forecasts(self.network, self.spec, scaler, steps, steps.starts)
        found[steps.starts + self.spec.context] = made[:, 0]
        return found


def fit_pool(series: Sequence[Series], cut: int, *, epochs: int | None = None) -> Pool:
    """Return a network that is trained on the steps before `cut` of all `series`, each scaled by these steps."""
    from pulsecast_train.fitting.checkpoint import Checkpoint
    from pulsecast_train.fitting.pooling import pooled_examples, prepare_member
    from pulsecast_train.fitting.training import fit_network
    from pulsecast_train.recipes.recipes import build_spec, filled, find_recipe
    from pulsecast_train.recipes.train_config import TrainConfig

    config = filled(TrainConfig(epochs=epochs))
    recipe, first = find_recipe(config.recipe), series[0]
    spec = build_spec(recipe, config, first.metrics, first.step_s)
    members = [prepare_member(one, recipe, spec, cut, config.validation_fraction or 0.0) for one in series]
    training, validation = pooled_examples(members, spec)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Checkpoint(folder=Path(folder), run="")
        network, _ = fit_network(spec, config, training, validation, checkpoint, SILENT)
    return Pool(network=network, spec=spec, scalers={one.series.name: one.scaler for one in members})
