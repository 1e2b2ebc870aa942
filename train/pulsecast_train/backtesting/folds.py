"""Rolling origins: where a series is cut, what is forecast after each cut, and what a method may look at.

The window expands: a fold trains on everything before its cut and is tested on the part that follows, up to the next
cut. A method never gets data from after its fold's `stop`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulsecast.errors import DataError
from pulsecast.model.spec import ModelSpec

from ..series import Series
from ..windows import finer_step

FIRST_CUT = 0.5


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Steps before `cut` train, steps from `cut` to before `stop` are tested."""

    number: int
    cut: int
    stop: int


def rolling_folds(steps: int, origins: int) -> tuple[Fold, ...]:
    """Return `origins` folds: the first half always trains, the second half is tested part by part.

    >>> [(fold.cut, fold.stop) for fold in rolling_folds(1000, 5)]
    [(500, 600), (600, 700), (700, 800), (800, 900), (900, 1000)]
    """
    edges = [round(steps * (FIRST_CUT + (1 - FIRST_CUT) * i / origins)) for i in range(origins + 1)]
    return tuple(Fold(number=i, cut=edges[i], stop=edges[i + 1]) for i in range(origins))


def until(series: Series, stop: int) -> Series:
    """Return the steps of `series` before step `stop`."""
    return dataclasses.replace(series, values=series.values[:stop])


def first_targets(series: Series, spec: ModelSpec, first: int, stop: int) -> NDArray[np.int64]:
    """Return the first forecast step of every window whose targets all lie in [first, stop).

    A window needs `context` unbroken steps before its first target, and `horizon` unbroken ones from there. All methods
    forecast from the same steps, so that their errors compare.
    """
    found = []
    for start, end in series.segments:
        low, high = max(start + spec.context, first), min(end, stop) - spec.horizon
        found.append(np.arange(low, high + 1, dtype=np.int64))
    return np.concatenate(found) if found else np.empty(0, np.int64)


def check_folds(series: Series, spec: ModelSpec, folds: tuple[Fold, ...]) -> None:
    """Raise DataError unless every fold has something to train on and something to test."""
    for fold in folds:
        trained = len(first_targets(series, spec, 0, fold.cut))
        tested = len(first_targets(series, spec, fold.cut, fold.stop))
        if trained < MINIMUM_TRAINING_WINDOWS or not tested:
            raise DataError(
                f"series {series.name} has {len(series.values)} steps: fold {fold.number + 1} of {len(folds)} has "
                f"{trained} windows to train on (at least {MINIMUM_TRAINING_WINDOWS} are needed) and {tested} to test; "
                f"bring a longer log{finer_step(spec, len(series.values))}, or ask for fewer --origins or a smaller "
                "--window or --horizon"
            )


MINIMUM_TRAINING_WINDOWS = 64
