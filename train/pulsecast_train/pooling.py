"""One network over many series, each scaled by its own training part: what short histories need.

The network sees scaled values only, so series of any size share it. Each of them keeps a scaler of its own, and with it
makes an ordinary model: pooling changes how weights are found and nothing about what is exported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pulsecast.scaler import Scaler
from pulsecast.spec import ModelSpec

from .recipes import Recipe, fit_scaler
from .series import Series
from .windows import Examples, Split, Steps, all_steps, split_at


@dataclass(frozen=True, kw_only=True, eq=False)
class Member:
    """One series of a pool: its scaler, its steps scaled by it, and its windows by use."""

    series: Series
    scaler: Scaler
    steps: Steps
    split: Split


def prepare_member(series: Series, recipe: Recipe, spec: ModelSpec, cut: int, validation_fraction: float) -> Member:
    """Return `series` ready to be trained on up to before step `cut`; raises DataError if it cannot be scaled."""
    scaler = fit_scaler(recipe, spec, [series.values[:cut]])
    steps = all_steps([series], spec, scaler)
    return Member(
        series=series, scaler=scaler, steps=steps, split=split_at(steps.starts, spec, cut, validation_fraction)
    )


def pooled_examples(members: Sequence[Member], spec: ModelSpec) -> tuple[Examples, Examples]:
    """Return the training and the validation examples of all `members`."""
    lengths = [len(member.steps.values) for member in members]
    offsets = np.concatenate(([0], np.cumsum(lengths)[:-1])).astype(np.int64)
    steps = Steps(
        values=np.concatenate([member.steps.values for member in members]),
        scaled=np.concatenate([member.steps.scaled for member in members]),
        series_at=np.repeat(np.arange(len(members)), lengths),
        starts=np.concatenate([m.steps.starts + offset for m, offset in zip(members, offsets, strict=True)]),
    )
    training, validation = (
        np.concatenate([getattr(m.split, use) + offset for m, offset in zip(members, offsets, strict=True)])
        for use in ("training", "validation")
    )
    return Examples(steps, spec, training), Examples(steps, spec, validation)
