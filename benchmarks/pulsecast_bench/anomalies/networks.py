"""One network over several series, trained on their first steps, and its forecasts of any series of that size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pulsecast.model.spec import ModelSpec
from pulsecast_train.series import Series

if TYPE_CHECKING:
    from pulsecast_train.fitting.combined import Model


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """A trained network with the linear path and the scaler of each series, by its name."""

    spec: ModelSpec
    models: dict[str, Model]

    def forecast(self, series: Series) -> NDArray[np.float64]:
        """Return the forecasts (steps,) that were made one step before; NaN where there was no whole window.

        series  one of those that the network was trained on, by its name: its values may differ
        """
        from pulsecast.model.scaler import Scaler
        from pulsecast_train.windows import all_steps

        model = self.models[series.name]
        assert isinstance(model.scaling, Scaler)  # noqa: S101  # for the type checker: each series has its own
        steps = all_steps([series], self.spec, model.scaling)
        found = np.full(len(series.values), np.nan)
        found[steps.starts + self.spec.context] = model.forecasts(steps, steps.starts)[:, 0]
        return found


def fit_pool(series: Sequence[Series], cut: int, *, epochs: int | None = None) -> Pool:
    """Return a network that is trained on the steps before `cut` of all `series`, each scaled by these steps."""
    from pulsecast_train.backtesting.backtest import fit_members, member_models
    from pulsecast_train.fitting.pooling import prepare_member
    from pulsecast_train.recipes.recipes import build_spec, filled, find_recipe
    from pulsecast_train.recipes.train_config import TrainConfig

    config = filled(TrainConfig(epochs=epochs))
    recipe, first = find_recipe(config.recipe), series[0]
    spec = build_spec(recipe, config, first.metrics, first.step_s)
    members = [prepare_member(one, recipe, spec, cut, config.validation_fraction or 0.0) for one in series]
    network, _ = fit_members(spec, config, members)
    models = member_models(spec, members, network.predict_on_batch)
    return Pool(spec=spec, models={one.series.name: model for one, (model, _) in zip(members, models, strict=True)})
