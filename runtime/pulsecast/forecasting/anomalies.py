"""A model's stream with a judge of its steps: `departures` says how one is judged."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..computing.frames import first_number
from ..errors import FormatError
from ..foundation.arguments import flag, fraction, whole_number
from ..model.radii import IntervalScale
from ..model.series import Pool
from .copies import Reduced, resumed
from .departures import REASONS, Anomaly, default_rate, residuals_needed
from .stream_state import JUDGE, MOST_KEPT, DetectorState, read_state, require_loaded, write_state
from .watching.judge import Judge
from .watching.judge_state import JudgeState, pack_judge, unpack_judge

if TYPE_CHECKING:
    from ..bundle.manifest import Manifest
    from .streaming import Loaded, Stream


class AnomalyDetector:
    """A model's stream with a judge: push a measurement, get whether it was expected.

    Every step is judged by the forecast made one step before it. Not thread-safe; one object per series.

        detector = model.detector(false_alarm_rate=0.001)
        for second, value in measurements:
            if detector.push(value, timestamp=second).alarm:
                ...
    """

    def __init__(
        self, stream: Stream, manifest: Manifest, *, false_alarm_rate: float | None = None, window: int | None = None
    ) -> None:
        """Start with a stream of one series that has seen nothing yet, of the model in `manifest`.

        false_alarm_rate  share of ordinary steps that may be flagged; None means `default_rate`
        window            residuals kept; None means `default_window` of half the rate

        The model's radii, if it has any, say on which scale to judge. Raises UsageError.
        """
        spec, split = manifest.spec, manifest.intervals
        rate = default_rate(spec.step_s) if false_alarm_rate is None else false_alarm_rate
        rate = fraction("false-alarm rate", rate, such_as=0.001)
        scale: IntervalScale = "log1p" if spec.floor == 0.0 else "identity"
        self.false_alarm_rate = rate
        self._stream = stream
        self._names = spec.measured_names
        self._judge = Judge(
            false_alarm_rate=rate,
            step_s=spec.step_s,
            window=window,
            scale=scale if split is None else split.scale,
            counts=split is not None and split.counts,
        )
        self._forecasts = np.full((1, spec.horizon), np.nan, np.float32)
        self._judged: Anomaly | None = None

    def __reduce__(self) -> Reduced:
        return resumed, (type(self), self._stream.model, self.to_bytes(), self._stream.by_window)

    def __deepcopy__(self, memo: object = None) -> AnomalyDetector:
        """Return a detector that goes on from the same steps, of the same loaded model."""
        del memo
        return self.from_bytes(self._stream.model, self.to_bytes(), by_window=self._stream.by_window)

    __copy__ = __deepcopy__

    @property
    def series(self) -> tuple[str | Pool, ...] | None:
        """The name of the series, as a tuple of one; None where the bundle is of one series."""
        return self._stream.series

    @property
    def due(self) -> int | None:
        """The time of the next step in unix seconds (UTC), None before a step had one."""
        return self._stream.due

    @property
    def forecasts(self) -> NDArray[np.float32]:
        """The forecasts (horizon,) made after the last step; NaN where there is no whole window."""
        last: NDArray[np.float32] = self._forecasts[0]
        return last

    @property
    def memory(self) -> int:
        """How many residuals are kept: so many steps that have a forecast are learnt from."""
        return self._judge.window

    @property
    def adapted(self) -> NDArray[np.float32] | None:
        """The corrected forecasts (horizon,) after the last step; None unless the stream adapts."""
        found = self._stream.adapted
        return None if found is None else found[0]

    @property
    def judged(self) -> Anomaly | None:
        """The judgement of the last step; None before the first one."""
        return self._judged

    def push(self, step: ArrayLike, *, timestamp: object = None) -> Anomaly:
        """Take one step and return how it fits what was forecast for it.

        step, timestamp  as for `Stream.push`; the first column is judged, and NaN is a step that is missing
        """
        forecasts = self._stream.push(step, timestamp=timestamp)  # (1, horizon), of the steps after this one
        value = step if type(step) is float else first_number(step, self._names)
        self._judged = found = self._judge.judge(self._forecasts.item(0), value)
        self._forecasts = forecasts
        return found

    def hasten(self) -> None:
        """Advance by single steps from now on, as `Stream.hasten` does."""
        self._stream.hasten()

    def window(self) -> NDArray[np.float32]:
        """Return the last steps (1, context, columns), as `Stream.window` does."""
        return self._stream.window()

    def settle(self) -> None:
        """Do the stream's postponed work now, as `Stream.settle` does."""
        self._stream.settle()

    def skip(self) -> None:
        """Take one step that is missing: it is not judged, and leaves a gap in the window."""
        self._judge.judge(math.nan, math.nan)
        self._stream.skip()
        self._forecasts = np.full_like(self._forecasts, np.nan)

    def restart(self, missing: int) -> None:
        """Forget the window after `missing` steps, at least a whole one; what was learnt of residuals stays.

        Raises UsageError.
        """
        missing = whole_number("missing", missing)
        self._judge.wait(missing)
        self._stream.reset()
        self._forecasts = np.full_like(self._forecasts, np.nan)

    def to_bytes(self) -> bytes:
        """Return the state, as `Stream.to_bytes` does: with all that the detector has learnt."""
        known = DetectorState(
            rate=self.false_alarm_rate,
            kept=min(self._judge.window, MOST_KEPT),  # a rate near zero takes more than there ever are
            forecasts=self._forecasts[0],
            judged=_as_numbers(self._judged),
            residuals=np.array(self._judge.residuals, np.float64),
            highest=np.array(self._judge.highest, np.float64).reshape(-1, 2),
        )
        reason = self._judged.reason if self._judged else None
        section = pack_judge(self._judge.state(), 0 if reason is None else [*REASONS].index(reason) + 1)
        return write_state(self._stream.state(), known, {JUDGE: section})

    @classmethod
    def from_bytes(
        cls, model: Loaded, data: bytes, *, carry_over: bool = False, by_window: bool = False, adapt: bool = False
    ) -> AnomalyDetector:
        """Return a detector of `model` that continues from `to_bytes`.

        carry_over  as for `Stream.from_bytes`; the residuals of the other model are kept: they are forgotten as new
                    ones come
        adapt       as for `Stream.from_bytes`

        Raises FormatError (damaged, or a stream's state), UsageError (the state of another model).
        """
        from .streaming import Stream

        require_loaded(model)
        state = read_state(data)
        known = state.detector
        if known is None:
            raise FormatError("the state is a stream's; expected what AnomalyDetector.to_bytes returned")
        by_window = flag("by_window", by_window)
        stream = Stream.of_state(model, state.stream, carry_over=carry_over, by_window=by_window, adapt=adapt)
        rate = fraction("false-alarm rate", known.rate, such_as=0.001)
        window = max(known.kept, residuals_needed(rate / 2))  # of version 1: it took half as many
        detector = cls(stream, model.manifest, false_alarm_rate=known.rate, window=window)
        same = len(known.forecasts) == model.manifest.spec.horizon
        if same and state.stream.digest == model.manifest.model_digest:
            detector._forecasts = known.forecasts[np.newaxis]
        if JUDGE in state.sections:
            learnt, reason = unpack_judge(state.sections[JUDGE], len(REASONS))
        else:  # version 1 judged steps by their forecasts only
            learnt, reason = JudgeState(), 1 + [*REASONS].index("step")
        detector._judged = _as_anomaly(known.judged, reason)
        highest = [(int(ago), score) for ago, score in known.highest.tolist()]
        detector._judge.resume(known.residuals.tolist(), highest, learnt)
        return detector


_NUMBERS = ("value", "forecast", "lower", "upper", "score", "anomalous", "alarm")  # of an Anomaly, in a state's order


def _as_numbers(judged: Anomaly | None) -> NDArray[np.float64]:
    """Return (7,) float64, NaN if no step was judged yet."""
    if judged is None:
        return np.full(len(_NUMBERS), np.nan)
    return np.array([getattr(judged, name) for name in _NUMBERS], np.float64)


def _as_anomaly(judged: NDArray[np.float64], reason: int) -> Anomaly | None:
    value, forecast, lower, upper, score, anomalous, alarm = judged.tolist()
    if math.isnan(anomalous):  # no step was judged yet
        return None
    return Anomaly(
        value=value, forecast=forecast, lower=lower, upper=upper, score=score, anomalous=bool(anomalous),
        alarm=bool(alarm), reason=[*REASONS][reason - 1] if anomalous and reason else None,
    )  # fmt: skip
