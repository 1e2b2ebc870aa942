"""One network over many series, each scaled by its own training part; useful for short histories.

The network sees scaled values only, so series of any size share it. Each keeps its own scaler and with it makes an
ordinary model: pooling changes how weights are found, not what is exported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsecast.model.scaler import Scaler
from pulsecast.model.spec import ModelSpec

from ..recipes.recipes import Recipe, fit_scaler
from ..series import Series
from ..windows import Examples, Split, Steps, all_steps, split_at


@dataclass(frozen=True, kw_only=True, eq=False)
class Member:
    """One series of a pool: its scaler, its steps scaled by it, and its windows by use."""

    series: Series
    scaler: Scaler
    steps: Steps
    split: Split


def prepare_member(series: Series, recipe: Recipe, spec: ModelSpec, cut: int, validation_fraction: float) -> Member:
    """Return `series` prepared for training on the steps before `cut`; raises DataError if it cannot be scaled."""
    scaler = fit_scaler(recipe, spec, [series.values[:cut]])
    steps = all_steps([series], spec, scaler)
    return Member(
        series=series, scaler=scaler, steps=steps, split=split_at(steps.starts, spec, cut, validation_fraction)
    )


def pooled_examples(parts: Sequence[tuple[Steps, Split]], spec: ModelSpec) -> tuple[Examples, Examples]:
    """Return the training and the validation examples of all series."""
    lengths = [len(steps.values) for steps, _ in parts]
    offsets = [int(offset) for offset in np.concatenate(([0], np.cumsum(lengths)[:-1]))]
    joined = Steps(
        values=np.concatenate([steps.values for steps, _ in parts]),
        time=np.concatenate([steps.time for steps, _ in parts]),
        scaled=np.concatenate([steps.scaled for steps, _ in parts]),
        series_at=np.repeat(np.arange(len(parts)), lengths),
        starts=np.concatenate([steps.starts + offset for (steps, _), offset in zip(parts, offsets, strict=True)]),
    )
    training = [split.training + offset for (_, split), offset in zip(parts, offsets, strict=True)]
    validation = [split.validation + offset for (_, split), offset in zip(parts, offsets, strict=True)]
    return Examples(joined, spec, np.concatenate(training)), Examples(joined, spec, np.concatenate(validation))
