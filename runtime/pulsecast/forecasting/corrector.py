"""A forecaster that goes on learning where it runs: twelve numbers a series, by which forecasts are corrected.

What a correction is made from is known when the forecast is made: the forecast itself, the level and the last changes,
the season, the time of day and the weekend. Its weights follow from what happened since, by ridge regression with
forgetting. The sums of the regression are kept, not its inverse: after ten thousand steps without a change an inverse
that is carried on is lost to rounding.

A correction is bounded by the usual error, a burst counts for little, and it is used only while corrected forecasts
were nearer to the truth than the exact ones, by a percent. With numpy alone.
"""

from __future__ import annotations

import bisect
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..computing.calendars import is_weekend
from ..errors import FormatError
from ..foundation.quick_dataclass import dataclass
from ..model.scaler import FeatureScale
from ..model.series import POOL_ROW, Scaling, SeriesTable
from ..model.spec import ModelSpec
from ..model.windows import Windows

Array = NDArray[np.float64]
Frame = tuple[float, float]  # offset and scale of a window's forecast column

INPUTS = 12
KEPT: Final = 0.998  # of the sums at every step: a month of hours weighs a quarter
PRIOR: Final = 10.0  # of the ridge; for a series that training never saw, at one step ahead:
PRIOR_UNSEEN: Final = 3.0
ORDINARY: Final = 1.5  # times the median error: a larger one counts as if it were no larger
REMEMBERED: Final = 64  # errors of which the median is taken
LARGEST: Final = 3.0  # a correction, in median errors
DEFAULT_SEASON: Final = 24
# Corrected forecasts must have been better by this share of the exact ones' errors, times the root of the horizon: the
# errors of overlapping forecasts say less than their number.
BETTER: Final = 0.01
LEAST_SEASON: Final = 3
FARTHEST: Final = 1e6  # of scaled values: their squares can still be summed
_TRIANGLE = np.triu_indices(INPUTS)


@dataclass(frozen=True, kw_only=True)
class CorrectorState:
    """What a corrector has learnt.

    gram     (78,) float64: the upper triangle of the inputs' products, row by row
    moment   (12,) float64: the sums of the inputs' products with what the exact forecasts missed
    errors   (n,) float64: errors of corrected forecasts, scaled, oldest first
    losses   (2,) float64: forgotten sums of errors, raw units, of exact and of corrected forecasts
    frames   (m, 2) float64: offset and scale of the windows whose forecasts wait for the truth, oldest first
    exact    (m, horizon) float64: these forecasts, raw; NaN where there was none
    guesses  (m, horizon) float64: the same, corrected
    """

    gram: Array
    moment: Array
    errors: Array
    losses: Array
    frames: Array
    exact: Array
    guesses: Array


class _Waiting(NamedTuple):
    """A forecast whose truth is not known yet.

    inputs   (ahead, 12) of the correction of each step; none where it cannot be corrected
    change   (ahead,) exact forecast less the last level, scaled; none likewise
    last     the last level, scaled by `frame`
    exact, guesses  (horizon,) raw
    """

    inputs: Array
    change: list[float]
    last: float
    frame: Frame
    exact: Array
    guesses: Array


class Corrector:
    """Corrects the forecasts of one series. Not thread-safe.

    At every step `observe` what happened, then `correct` the forecast that was made after it.
    """

    def __init__(self, spec: ModelSpec, scale: FeatureScale, *, prior: float = PRIOR) -> None:
        """Start with nothing learnt, for a model of `spec` whose forecast column has the transform of `scale`.

        prior  of the ridge
        """
        self._spec = spec
        self._scale = scale
        self._prior = prior * np.eye(INPUTS)
        self._enough = max(1 - BETTER * math.sqrt(spec.horizon), 0.0)
        self._season = season_of(spec)
        self._ahead = min(spec.horizon, spec.context - self._season)
        self._levels: deque[float] = deque(maxlen=self._season)  # f(raw), oldest first; NaN where there was none
        self._gram = np.zeros((INPUTS, INPUTS))
        self._moment = np.zeros(INPUTS)
        self._weights: Array = np.zeros(INPUTS)
        self._errors: deque[float] = deque()  # oldest first
        self._sorted: list[float] = []  # the same, smallest first
        self._usual = 0.0  # their median
        self._losses = [0.0, 0.0]
        self._waiting: deque[_Waiting] = deque(maxlen=self._ahead)  # oldest first

    def observe(self, value: float) -> None:
        """Take the value of a step, raw, and learn from what was forecast for it; NaN is a missing step."""
        level = _level(self._scale, value)
        if math.isfinite(level):
            self._learn(value, level)
        self._levels.append(level)

    def correct(self, forecast: Array, time: int | None, frame: Frame) -> Array:
        """Return the corrected forecast (horizon,), raw, of the steps after the last one; NaN where there is none.

        forecast  (horizon,) exact, raw
        time      of the last step, unix seconds; None where steps have no times
        frame     offset and scale of the window's forecast column
        """
        self._waiting.append(self._made(np.array(forecast, np.float64), time, frame))
        return self.corrected

    @property
    def corrected(self) -> Array:
        """The last corrected forecast (horizon,): the exact one while corrections were no better; NaN without one."""
        if not self._waiting:
            return np.full(self._spec.horizon, np.nan)
        made = self._waiting[-1]
        return (made.guesses if self._losses[1] < self._enough * self._losses[0] else made.exact).copy()

    def wait(self) -> None:
        """Forget the last steps and what waits for the truth; what was learnt stays."""
        self._levels.clear()
        self._waiting.clear()

    def state(self) -> CorrectorState:
        """Return what was learnt."""
        waiting = [(one.frame, one.exact, one.guesses) for one in self._waiting]
        frames, exact, guesses = zip(*waiting, strict=True) if waiting else ((), (), ())
        return CorrectorState(
            gram=self._gram[_TRIANGLE],
            moment=self._moment.copy(),
            errors=np.array(self._errors, np.float64),
            losses=np.array(self._losses, np.float64),
            frames=np.array(frames, np.float64).reshape(-1, 2),
            exact=np.array(exact, np.float64).reshape(-1, self._spec.horizon),
            guesses=np.array(guesses, np.float64).reshape(-1, self._spec.horizon),
        )

    def resume(self, state: CorrectorState, values: Array, time: int | None) -> None:
        """Continue from the state of a corrector of the same spec.

        values  (steps,) the last ones of its series, raw, oldest first; NaN where there was none
        time    of the last one
        """
        if len(state.frames) > self._ahead or state.exact.shape[1:] != (self._spec.horizon,):
            raise FormatError("the state's corrector is of another horizon or context")
        self._gram[_TRIANGLE] = state.gram
        self._gram.T[_TRIANGLE] = state.gram
        self._moment = state.moment.copy()
        for error in state.errors.tolist():
            self._remember(error)
        self._losses = state.losses.tolist()
        self._solve()
        levels = [_level(self._scale, float(value)) for value in values]
        count = len(state.frames)
        self._levels.extend(levels[: len(levels) - count + 1])
        for i, (frame, exact, guesses) in enumerate(zip(state.frames, state.exact, state.guesses, strict=True)):
            if i:
                self._levels.append(levels[len(levels) - count + i])
            at = None if time is None else time - (count - 1 - i) * self._spec.step_s
            self._waiting.append(self._made(exact, at, (float(frame[0]), float(frame[1])))._replace(guesses=guesses))

    def _made(self, exact: Array, time: int | None, frame: Frame) -> _Waiting:
        """Return a forecast with what corrects it: nothing, where it or a step of the season is not known."""
        (offset, scale), levels, season = frame, self._levels, self._season
        if len(levels) < season or not (math.isfinite(offset) and scale > 0):
            return _uncorrected(exact)
        last = (levels[-1] - offset) / scale
        usual = (sum(levels) / season - offset) / scale
        change = [(_level(self._scale, raw) - offset) / scale - last for raw in exact.tolist()]
        if not (abs(usual) < FARTHEST and all(abs(one) < FARTHEST for one in (last, *change))):  # NaN is not, either
            return _uncorrected(exact)
        z = _Steps(
            last=last, before=(levels[-2] - offset) / scale, third=(levels[-3] - offset) / scale, usual=usual,
            season=[(levels[k % season] - offset) / scale for k in range(self._ahead)],
        )  # fmt: skip
        inputs = np.array([self._inputs(z, change[k], k, time) for k in range(self._ahead)])  # (ahead, 12)
        most = LARGEST * self._usual
        moves = [min(max(move, -most), most) for move in (inputs @ self._weights).tolist()]
        corrected = [
            _raw(self._scale, (last + f + move) * scale + offset) for f, move in zip(change, moves, strict=False)
        ]
        floor = -math.inf if self._spec.floor is None else self._spec.floor
        guesses = np.array([*(max(one, floor) for one in corrected), *exact[self._ahead :].tolist()])
        return _Waiting(
            inputs=inputs, change=change[: self._ahead], last=last, frame=frame, exact=exact, guesses=guesses
        )

    def _inputs(self, z: _Steps, change: float, ahead: int, time: int | None) -> list[float]:
        """Return the twelve numbers from which the forecast of the step `ahead` is corrected."""
        day, weekend = (0.0, 0.0, 0.0, 0.0), 0.0
        if time is not None:
            at = time + self._spec.step_s * (ahead + 1)
            period = self._season * self._spec.step_s
            angle = 2 * math.pi * (at % period) / period
            day = (math.sin(angle), math.cos(angle), math.sin(2 * angle), math.cos(2 * angle))
            weekend = float(is_weekend(at))
        return [
            0.5, change, 0.3 * z.usual, 0.3 * (z.last - z.usual), *(0.5 * wave for wave in day), 0.5 * weekend,
            0.5 * (z.last - z.before), 0.3 * (z.season[ahead] - z.last), 0.5 * (z.before - z.third),
        ]  # fmt: skip

    def _learn(self, value: float, level: float) -> None:
        """Learn from the forecasts that were made for a step: one of each age."""
        known = [(age, one) for age, one in enumerate(reversed(self._waiting)) if one.change]
        known = [(age, one) for age, one in known if abs(level - one.frame[0]) < FARTHEST * one.frame[1]]
        if not known:
            return
        inputs = np.array([one.inputs[age] for age, one in known])  # (m, 12)
        missed = [(level - one.frame[0]) / one.frame[1] - one.last - one.change[age] for age, one in known]
        guessed = (inputs @ self._weights).tolist()
        errors = [abs(miss - guess) for miss, guess in zip(missed, guessed, strict=True)]
        self._remember(_middle(sorted(errors)))
        most = ORDINARY * self._usual
        counts = np.array([(most / error if error > most else 1.0) / len(known) for error in errors])  # (m,)
        weighted = inputs.T * counts  # (12, m)
        self._gram *= KEPT
        self._gram += weighted @ inputs
        self._gram.T[_TRIANGLE] = self._gram[_TRIANGLE]  # rounded alike, as a state holds one of the two
        self._moment = KEPT * self._moment + weighted @ np.array(missed)
        for i, kind in enumerate(("exact", "guesses")):
            lost = sum(abs(float(getattr(one, kind)[age]) - value) for age, one in known) / len(known)
            self._losses[i] = KEPT * self._losses[i] + lost
        self._solve()

    def _solve(self) -> None:
        self._weights = np.linalg.solve(self._gram + self._prior, self._moment).astype(np.float64)

    def _remember(self, error: float) -> None:
        """Take an error into the median of the last ones."""
        if len(self._errors) == REMEMBERED:
            del self._sorted[bisect.bisect_left(self._sorted, self._errors.popleft())]
        self._errors.append(error)
        bisect.insort(self._sorted, error)
        self._usual = _middle(self._sorted)


def _uncorrected(exact: Array) -> _Waiting:
    return _Waiting(inputs=np.empty((0, INPUTS)), change=[], last=0.0, frame=(0.0, 1.0), exact=exact, guesses=exact)


class _Steps(NamedTuple):
    """The steps that a correction looks at, scaled: the last three, the season's mean, and those a season before."""

    last: float
    before: float
    third: float
    usual: float
    season: list[float]


def _middle(ordered: list[float]) -> float:
    """Return the median of numbers in ascending order."""
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def season_of(spec: ModelSpec) -> int:
    """Return the steps of a season as the model knows it, or of a day, or those of its window if that is shorter."""
    linear = spec.linear
    longest = max(channel.lag for channel in spec.channels) + 1
    season = linear.season if linear is not None and linear.season else longest
    season = season if season >= LEAST_SEASON else DEFAULT_SEASON
    return min(season, spec.context - 1)


def _level(scale: FeatureScale, value: float) -> float:
    if scale.transform != "log1p":
        return value
    return math.log1p(value) if value > -1 else math.nan


def _raw(scale: FeatureScale, level: float) -> float:
    if scale.transform != "log1p":
        return level
    try:
        return math.expm1(level)
    except OverflowError:
        return math.inf


class Correctors:
    """The correctors of a stream: one for each of its windows, with the scale of the series that it is of."""

    def __init__(self, spec: ModelSpec, scaling: Scaling, rows: NDArray[np.int64] | None, count: int) -> None:
        """Start `count` of them, with nothing learnt.

        rows  the row of each window where `scaling` is a table of series; else None
        """
        self.spec = spec
        self._table, self._rows = scaling if isinstance(scaling, SeriesTable) else None, rows
        first = (scaling.pool if isinstance(scaling, SeriesTable) else scaling).features[0]
        pooled = [False] * count if rows is None else [int(row) == POOL_ROW for row in rows]
        self._pooled = any(pooled)
        known = [(first.offset, first.scale)] * count
        if self._table is not None and rows is not None:
            known = [(float(self._table.offset[row, 0]), float(self._table.scale[row, 0])) for row in rows]
        self._frames: list[Frame] = known
        unseen = PRIOR_UNSEEN if spec.horizon == 1 else PRIOR
        self._each = [Corrector(spec, first, prior=unseen if pool else PRIOR) for pool in pooled]

    def step(
        self, values: NDArray[np.floating], forecasts: NDArray[np.floating], time: int | None,
        window: Callable[[], NDArray[np.float32]],
    ) -> None:  # fmt: skip
        """Take a step and the exact forecasts (streams, horizon) made after it; `corrected` then has corrected ones.

        values  (streams,) of the forecast column, raw; NaN where it is missing
        window  gives the last steps (streams, context, columns), by which a series of the pool is scaled
        """
        frames = self._frames_of(window() if self._pooled else None)
        for one, value, forecast, frame in zip(self._each, values.tolist(), forecasts, frames, strict=True):
            one.observe(value)
            one.correct(forecast, time, frame)

    def _frames_of(self, window: NDArray[np.float32] | None) -> list[Frame]:
        if window is None or self._table is None or self._rows is None:
            return self._frames
        measured = window[:, :, : self.spec.measured].astype(np.float64)
        scaler = self._table.of(Windows(values=measured, series=self._rows))
        return [(float(scaler.offset[i, 0]), float(scaler.scale[i, 0])) for i in range(len(window))]

    @property
    def corrected(self) -> Array:
        """The last corrected forecasts (streams, horizon)."""
        return np.array([one.corrected for one in self._each])

    def wait(self) -> None:
        """Forget the last steps and what waits for the truth; what was learnt stays."""
        for one in self._each:
            one.wait()

    def state(self) -> tuple[CorrectorState, ...]:
        """Return what each has learnt."""
        return tuple(one.state() for one in self._each)

    def resume(self, states: Sequence[CorrectorState], window: NDArray[np.float32], time: int | None) -> None:
        """Continue from `state` of a stream of the same model whose last steps are `window`, the last one at `time`."""
        if len(states) != len(self._each):
            raise FormatError(f"the state has learnt of {len(states)} series; it holds {len(self._each)} streams")
        for one, state, steps in zip(self._each, states, window, strict=True):
            one.resume(state, steps[:, 0].astype(np.float64), time)


def replayed(
    correctors: Correctors, values: Array, times: NDArray[np.int64], exact: Mapping[int, NDArray[np.floating]]
) -> dict[int, Array]:
    """Return the corrected forecasts of one series whose exact ones are known, as a stream would have given them.

    correctors  one that has learnt nothing, in a stream of one
    values      (steps, measured) raw, oldest first; NaN where a step is missing
    times       (steps,) unix seconds
    exact       the forecast (horizon,) made after each step that completes a window: steps before it, itself counted
                -> forecast; the result has the same keys
    """
    spec, found = correctors.spec, {}
    nothing, values = np.full(spec.horizon, np.nan), values.astype(np.float32)
    for n in range(1, max(exact) + 1):
        window = values[np.newaxis, max(n - spec.context, 0) : n]  # (1, steps, measured)
        made = exact.get(n, nothing)[np.newaxis]
        correctors.step(window[:, -1, 0], made, int(times[n - 1]), lambda window=window: window)  # type: ignore[misc]
        if n in exact:
            found[n] = correctors.corrected[0]
    return found
