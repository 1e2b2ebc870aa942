"""From series to windows: the chronological split, and batches made on demand, so memory stays small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pulsecast.computing import reference
from pulsecast.computing.calendars import with_calendar
from pulsecast.errors import DataError
from pulsecast.model.scaler import Scaler
from pulsecast.model.spec import ModelSpec
from pulsecast.model.windows import Windows

from .series import Series

MINIMUM_TRAINING_WINDOWS = 64
MINIMUM_HELDOUT_WINDOWS = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Steps:
    """All steps of all series, one after the other, and the places of windows in them.

    values     (steps, features) float64, raw; NaN in gaps
    time       (steps,) int64, unix seconds (UTC)
    scaled     (steps, features) float64
    series_at  (steps,) number of the series that each step belongs to
    starts     (windows,) first step of each window's context; a window never crosses a gap or the end of a series
    """

    values: NDArray[np.float64]
    time: NDArray[np.int64]
    scaled: NDArray[np.float64]
    series_at: NDArray[np.int64]
    starts: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Starts of windows by use, each in time order within its series; no training target lies in the held-out part."""

    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    heldout: NDArray[np.int64]


def training_parts(series: Sequence[Series], heldout_fraction: float) -> list[NDArray[np.float64]]:
    """Return the first part in time of each series (steps, measured): only this part may be used for fitting."""
    return [one.values[: boundary(len(one.values), heldout_fraction)] for one in series]


def boundary(steps: int, heldout_fraction: float) -> int:
    """Return the index of the first held-out step.

    >>> boundary(1000, 0.2)
    800
    """
    return round(steps * (1 - heldout_fraction))


def all_steps(series: Sequence[Series], spec: ModelSpec, scaler: Scaler) -> Steps:
    """Return every series' steps with calendar features, raw and scaled, and the starts of all whole windows."""
    values = np.concatenate([with_calendar(spec, one.values, one.timestamps_s()) for one in series])
    starts, offset = [], 0
    for one in series:
        for first, stop in one.segments:
            last = stop - spec.context - spec.horizon
            starts.append(offset + np.arange(first, last + 1))
        offset += len(one.values)
    return Steps(
        values=values.astype(np.float64),
        time=np.concatenate([one.timestamps_s() for one in series]),
        scaled=scaler.transform(values).astype(np.float64),
        series_at=np.repeat(np.arange(len(series)), [len(one.values) for one in series]),
        starts=np.concatenate(starts).astype(np.int64),
    )


def split_windows(
    series: Sequence[Series], spec: ModelSpec, steps: Steps, heldout_fraction: float, validation_fraction: float
) -> Split:
    """Return the chronological split, series by series.

    A held-out window's targets lie after the boundary; its context may reach back into the training part, as it would
    in use. Raises DataError if too few windows remain for training or for testing.
    """
    parts, offset = [], 0
    for one in series:
        own = steps.starts[(steps.starts >= offset) & (steps.starts < offset + len(one.values))]
        parts.append(split_at(own, spec, offset + boundary(len(one.values), heldout_fraction), validation_fraction))
        offset += len(one.values)
    split = Split(
        training=np.concatenate([part.training for part in parts]),
        validation=np.concatenate([part.validation for part in parts]),
        heldout=np.concatenate([part.heldout for part in parts]),
    )
    check_enough(split, spec, sum(len(one.values) for one in series))
    return split


def split_at(starts: NDArray[np.int64], spec: ModelSpec, cut: int, validation_fraction: float) -> Split:
    """Return the split of one series' window `starts`: no target of training or validation lies at or after `cut`."""
    first_target = starts + spec.context  # (windows,)
    fitted = starts[first_target + spec.horizon <= cut]
    kept = len(fitted) - round(len(fitted) * validation_fraction)
    return Split(training=fitted[:kept], validation=fitted[kept:], heldout=starts[first_target >= cut])


def check_enough(split: Split, spec: ModelSpec, steps: int) -> None:
    """Raise DataError if `split`, of a log of `steps` steps, has too few windows for training or for testing."""
    for what, found, needed in (
        ("to train on", len(split.training), MINIMUM_TRAINING_WINDOWS),
        ("held out", len(split.heldout), MINIMUM_HELDOUT_WINDOWS),
    ):
        if found < needed:
            raise DataError(
                f"{steps} steps give {found} windows {what}, and {needed} are needed: one window takes {spec.context} "
                f"unbroken steps and {spec.horizon} to forecast; bring a longer log{finer_step(spec, steps)}, "
                "or fill longer gaps with --max-gap"
            )


def finer_step(spec: ModelSpec, steps: int) -> str:
    """Return the advice to choose a finer step, or another recipe where that is of no use to a log of `steps` steps.

    A context that looks back by a day is a day and a window long whatever the step.
    """
    lag_s = (spec.context - spec.window) * spec.step_s
    if steps * spec.step_s > lag_s:
        return " or a finer --step"
    return " or choose --recipe textbook, which does not look back by a day"


def raw_columns(steps: Steps, spec: ModelSpec, starts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return all raw columns of windows, (n, context, features), those of the calendar included."""
    view = sliding_window_view(steps.values, spec.context, axis=0)  # (steps, features, context)
    return np.ascontiguousarray(view[starts].swapaxes(1, 2), dtype=np.float32)


def raw_windows(
    steps: Steps, spec: ModelSpec, starts: NDArray[np.int64], series: NDArray[np.int64] | None = None
) -> Windows:
    """Return raw windows as an artifact takes them; `series` (n,) are their rows in a table of series."""
    values = np.ascontiguousarray(raw_columns(steps, spec, starts)[:, :, : spec.measured])
    time = steps.time[starts + spec.context - 1] if spec.timed else None
    return Windows(values=values, time=time, series=series)


def truth(steps: Steps, spec: ModelSpec, starts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the truth after each window: (n, horizon), raw."""
    happened: NDArray[np.float64] = steps.values[starts[:, np.newaxis] + spec.context + np.arange(spec.horizon), 0]
    return happened


class Examples:
    """Network inputs and targets of chosen windows, gathered batch by batch.

    A series of n steps takes n * channels floats here; as windows it would take `window` times that.
    """

    def __init__(self, steps: Steps, spec: ModelSpec, starts: NDArray[np.int64]) -> None:
        series_channels = reference.channels(spec, steps.scaled).astype(np.float32)  # (steps - lag, channels)
        # context starts at step s; its network window starts `lag` later, which is row s of the channels
        self._windows = sliding_window_view(series_channels, spec.window, axis=0)  # (rows, channels, window)
        self._scaled = steps.scaled[:, 0]
        self._spec = spec
        self._starts = starts

    def __len__(self) -> int:
        return len(self._starts)

    def gather(self, order: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return inputs (n, window, channels) and targets (n, horizon) of the windows at the positions in `order`."""
        starts = self._starts[order]
        inputs = np.ascontiguousarray(self._windows[starts].swapaxes(1, 2))
        ahead = starts[:, np.newaxis] + self._spec.context + np.arange(self._spec.horizon)
        targets = self._scaled[ahead]  # (n, horizon)
        if self._spec.target == "change":
            targets = targets - self._scaled[starts + self._spec.context - 1][:, np.newaxis]
        return inputs, targets.astype(np.float32)

    def shifted(self, inputs: NDArray[np.float32], shifts: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return `inputs` (n, window, channels) with each window's measured levels moved by its shift (n,).

        Changes stay as they are: their effect is the same at any level, also at a future one.
        """
        levels = [i for i, c in enumerate(self._spec.channels) if not c.lag and c.feature < self._spec.measured]
        moved = inputs.copy()
        moved[:, :, levels] += shifts[:, np.newaxis, np.newaxis].astype(np.float32)
        return moved
