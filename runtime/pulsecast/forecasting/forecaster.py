"""What an app holds: a `Forecaster` checks raw input, adds calendar features and calls one backend."""

from __future__ import annotations

import math
import os
import warnings
from typing import TYPE_CHECKING, Literal, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..backends import Backend, choose, open_backend
from ..backends.chunks import in_chunks, windows_at_once
from ..bundle.bundle import Bundle
from ..bundle.manifest import Artifact, Manifest
from ..bundle.signing import UNSIGNED, Key, Signature
from ..computing.calendars import last_times, unix_seconds
from ..computing.frames import index_times, unlabelled
from ..errors import RangeWarning, TimeError, UsageError
from ..foundation.arguments import flag, plain, shown, whole_number
from ..model.ranges import TrainingRange, training_range
from ..model.series import refuse_series
from ..model.windows import Windows
from .copies import Origin, Reduced, lasting, reduced
from .given import (
    as_batch,
    checked_rows,
    real_numbers,
    refuse_non_finite,
    refuse_outside_domain,
    times_where_known,
    without_bad,
)

if TYPE_CHECKING:
    from ..computing.intervals import Interval
    from ..model.series import SeriesTable
    from .anomalies import AnomalyDetector
    from .streaming import Stream
    from .watching.monitor import Monitor

_FLOAT32, _INT64 = np.dtype(np.float32), np.dtype(np.int64)
Bad = Literal["raise", "nan"]  # what a window that cannot be forecast does to the others
RAISE: Bad = "raise"
MANY = 64  # windows of one call whose ranges are each looked at: below, that would take a noticeable part of the time


def load(
    path: str | os.PathLike[str],
    *,
    backend: str = "auto",
    artifact: str | None = None,
    threads: int = 1,
    key: Key | None = None,
    trust_code: bool = False,
) -> Forecaster:
    """Return a Forecaster for the bundle at `path`, after every file was checked against the manifest's hashes.

    path      a bundle's folder, or a `.pulse` file
    backend   `auto`, `numpy`, `onnx`, `tflite`, `savedmodel` or `native`. `auto` takes the first of onnx, tflite,
              numpy whose engine is installed and for which the bundle has an artifact; it never tries another one
              after a failed load.
    artifact  an id from the manifest, e.g. `tflite-w8`; None is the backend's first artifact in the manifest,
              the float32 one where the bundle has it.
    threads   threads that one call may use; 1 is fastest for single windows.
    key       Ed25519 public key that must have signed the bundle: a PEM file's path, its bytes, or 32 raw bytes. None
              checks hashes only.
    trust_code  a `native` artifact is C that this process compiles and runs, so it is refused unless `key` verified the
              bundle, or you set this because you trust the bundle's origin

    Raises FormatError or IntegrityError (the bundle), SignatureError (not signed by `key`, or code without a checked
    signature), UsageError (unknown names, a file of another kind), MissingExtraError (engine, or cryptography for
    `key`, not installed), EngineError (engine broken), ToleranceError (a few golden windows, forecast at every load,
    differ from those of the export).

        model = load("bundle")
        model.predict(values, timestamps=time)   # (batch, context, measured) and (batch,) -> (batch, horizon)
    """
    threads, trust_code = whole_number("threads", threads), flag("trust_code", trust_code)
    bundle = Bundle.open(path, key=key)
    chosen = choose(bundle, backend, artifact)
    opened = open_backend(bundle, chosen, threads, trust_code=trust_code)
    from .verification import check_loaded

    golden = check_loaded(bundle, chosen, opened)
    found = Forecaster(bundle.manifest, chosen, opened, bundle.signature, bundle.series)
    found.phase_s = _phase(golden.windows.time, bundle.manifest.spec.step_s)
    found.origin = Origin(
        loader="load", path=str(bundle.path.absolute()), artifact=chosen.id, key=lasting(key), trust_code=trust_code,
        threads=threads,
    )  # fmt: skip
    return found


class Forecaster:
    """A loaded model. `predict` may be called from several threads at once.

    manifest   what the bundle says about itself, `manifest.spec` above all
    artifact   which artifact was loaded
    backend    the engine that runs it: `backend.engine`, `backend.device`
    signature  whether the bundle was signed, and whether that was checked
    series     the table of series, its `names` above all; None where the bundle is of one series
    phase_s    seconds of each step of training after a multiple of the step: 1800 for hourly ones at half past; None
               where the model has no calendar, or its series have different ones
    origin     how it was loaded: `pickle` and `copy.deepcopy` load the bundle again, and refuse one that was changed
    """

    def __init__(
        self,
        manifest: Manifest,
        artifact: Artifact,
        backend: Backend,
        signature: Signature = UNSIGNED,
        series: SeriesTable | None = None,
    ) -> None:
        self.manifest = manifest
        self.artifact = artifact
        self.backend = backend
        self.signature = signature
        self.series = series
        self.origin: Origin | None = None
        self.phase_s: int | None = None
        spec = manifest.spec
        self._step_shape = (spec.context, spec.measured)
        self._timed = spec.timed
        self._backend_predict = backend.predict
        self._at_once = windows_at_once(spec)
        self._range: TrainingRange = training_range(spec, manifest.scaler, series)
        self._squares = self._range.squares(spec.context)
        self._least, self._most = (part.tolist() for part in self._squares)  # a list is read faster than an array
        self._inside = (self._least[0], self._most[0])

    def __reduce__(self) -> Reduced:
        return reduced(self, self.origin, self.manifest)

    def __repr__(self) -> str:
        return f"Forecaster({self.manifest.name!r}, artifact={self.artifact.id!r}, engine={self.backend.engine!r})"

    @overload
    def predict(
        self, values: ArrayLike | Windows, *, timestamps: object = None, series: object = None, bad: Bad = RAISE
    ) -> NDArray[np.float32]: ...
    @overload
    def predict(
        self, values: ArrayLike | Windows, *, timestamps: object = None, series: object = None, interval: float,
        bad: Bad = RAISE,
    ) -> Interval: ...  # fmt: skip
    def predict(
        self,
        values: ArrayLike | Windows,
        *,
        timestamps: object = None,
        series: object = None,
        interval: float | None = None,
        bad: Bad = RAISE,
    ) -> NDArray[np.float32] | Interval:
        """Return forecasts (batch, horizon) in raw units for raw `values`; never a non-finite number, unless asked for.

        values      (batch, context, measured), or one window (context, measured) for a batch of one. A model with one
                    measured column also takes (batch, context) and (context,). Or `Windows`, which have their times. Or
                    a frame of pandas, polars or pyarrow, one window, or a list of them: its columns are taken by name.
        timestamps  where the model has a calendar: of each window's last step, (batch,), or of every step, (batch,
                    context); for one window also one time, or (context,). datetime64 or unix seconds, UTC, or datetimes
                    that have a zone. A frame whose index has times in a zone needs none.
        series      where the bundle holds several: the name of the windows' series, or one for each, (batch,);
                    `pulsecast.POOL` for a series that training never saw, which is scaled by its window
        interval    coverage, such as 0.9: the result is then an `Interval` of forecast, lower and upper, each (batch,
                    horizon), by the radii in the manifest. Where truth keeps arriving, `pulsecast.RollingConformal`
                    follows the series and is the better choice.
        bad         `raise`: one window that cannot be forecast refuses all; `nan`: its forecast is NaN, and the others
                    have theirs. Such a window holds NaN, infinity, masked cells, a number that the scaler cannot
                    take, or a time that is refused.

        A bundle of format 1 also takes (batch, context, features) without timestamps, its calendar columns ready-made.

        Warns with RangeWarning where the level of the windows lies far outside what training saw, as it does if the
        units are others; `outside` says it of each window. Many windows are computed in parts, so that memory is
        bounded; a forecast may then differ by the rounding that another size of batch makes.

        Raises WindowLengthError, FeatureCountError, DtypeError, NonFiniteError, EmptyInputError, TimeError (all
        InputError), and UsageError for an interval that the bundle has no radii for.
        """
        lenient = bad is not RAISE and _is_lenient(bad)
        given, when = values, timestamps
        if lenient and type(values) is Windows and timestamps is None:  # else each is checked, for a precise error
            given, when = values.values, values.time
        if (
            type(given) is np.ndarray
            and given.dtype == _FLOAT32
            and given.shape[1:] == self._step_shape
            and len(given)
            and (
                when is None
                if not self._timed
                else type(when) is np.ndarray and when.dtype == _INT64 and when.shape == given.shape[:1]
            )
        ):
            raw = cast("NDArray[np.float32]", np.ascontiguousarray(given))
            time = np.ascontiguousarray(when, np.int64) if self._timed else None
        else:
            raw, time = self._windows(values, timestamps, lenient=lenient)
        count = len(raw)
        rows = self._rows_of(values, series, count)
        # x.x is finite unless an element is not finite or the sum overflows: one pass in BLAS decides the usual case
        flat = raw.reshape(-1)
        squares = np.vdot(flat, flat).item()
        least, most = self._inside if rows is None else (self._least[rows[0]], self._most[rows[0]])
        if not least <= squares <= most * count or count >= MANY:
            self._look_closer(raw, rows, squares, lenient=lenient)
        if count > self._at_once:
            forecasts = in_chunks(self._backend_predict, self._at_once, raw, time, *([] if rows is None else [rows]))
        else:
            forecasts = self._backend_predict(raw, time) if rows is None else self._backend_predict(raw, time, rows)
        flat = forecasts.reshape(-1)
        if not math.isfinite(flat.item() if flat.size == 1 else np.vdot(flat, flat)):
            if lenient:
                forecasts = without_bad(forecasts, raw)
            else:
                refuse_outside_domain(forecasts, self.manifest.spec, time)
        return forecasts if interval is None else self._interval(forecasts, interval, rows)

    def outside(self, values: ArrayLike | Windows, *, series: object = None) -> NDArray[np.bool_]:
        """Return which windows (batch,) of `values` lie far outside what training saw: do not trust their forecasts.

        In one of its columns a value is beyond the range of training by more than the range is wide, or the mean by
        more than a tenth of it; or the column is scaled by log1p, and its mean on that scale is more than four spreads
        below that of training. Nothing is known of `pulsecast.POOL`, which is False throughout.

        values, series  as for `predict`, and raises the same

            model.outside(values)[0]    # True: the units may be others, or the series
        """
        held = values.values if isinstance(values, Windows) else values
        if type(held) is np.ndarray and held.dtype == _FLOAT32 and held.shape[1:] == self._step_shape and len(held):
            return self._far(held, values, series)
        spec = self.manifest.spec
        array = real_numbers(unlabelled("values", held, self._names(spec.measured)))
        ready_made = self.manifest.format == 1 and array.ndim > 1 and array.shape[-1] == len(spec.features)
        raw = as_batch(array, spec.context, len(spec.features) if ready_made else spec.measured, hint="")
        return self._far(raw, values, series)

    def _far(self, raw: NDArray[np.float32], values: ArrayLike | Windows, series: object) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = np.any(self._range.far(raw, self._rows_of(values, series, len(raw))), axis=1)
        return found

    def _look_closer(
        self, raw: NDArray[np.float32], rows: NDArray[np.int64] | None, squares: float, *, lenient: bool
    ) -> None:
        """Refuse what is not finite, unless `lenient`, and warn of windows far outside what training saw."""
        if not lenient and not math.isfinite(squares):
            refuse_non_finite(raw)
        each = raw.reshape(len(raw), -1)
        sums = np.einsum("ij,ij->i", each, each)  # (batch,)
        least, most = self._squares if rows is None else (part[rows] for part in self._squares)
        odd = np.flatnonzero((sums < least) | (sums > most))
        far = np.argwhere(
            self._range.far(raw[odd], None if rows is None else rows[odd])
        )  # one row each: window, column
        if not len(far):
            return
        window, column = odd[far[0][0]], int(far[0][1])
        row = 0 if rows is None else int(rows[window])
        said = self._range.words(raw[window, :, column], row, column)
        of = "" if self.series is None else f" of series {self.series.names.name(row)!r}"
        warnings.warn(
            f"column {self.manifest.spec.features[column].name!r}{of} lies far outside what training saw: {said}; do "
            "not trust such a forecast. Forecaster.outside(values) says which windows",
            RangeWarning,
            stacklevel=3,
        )

    def _rows_of(self, values: ArrayLike | Windows, series: object, count: int) -> NDArray[np.int64] | None:
        """Return the rows (batch,) of the windows' series in the table; None where the bundle is of one."""
        table = self.series
        if isinstance(values, Windows) and values.series is not None:
            if series is not None:
                raise UsageError("the windows have their series; leave series out")
            if table is None:
                refuse_series(values.series)
                return None
            return checked_rows(values.series, count, len(table))
        if table is None:
            if series is not None:
                refuse_series(series)
            return None
        return np.array(table.names.rows(series, count), np.int64)

    def _interval(self, forecasts: NDArray[np.float32], level: float, rows: NDArray[np.int64] | None) -> Interval:
        split = self.manifest.intervals
        if split is None:
            raise UsageError("this bundle has no intervals; train and export its model again, or use RollingConformal")
        from ..computing.intervals import split_interval

        return split_interval(split, forecasts, level, self.series, rows)

    def stream(self, streams: int | None = None, *, series: object = None, adapt: bool = False) -> Stream:
        """Return a Stream of `streams` empty sliding windows, one unless there are names for more.

        series  as for `predict`: the name of all of them, or one for each
        adapt   go on learning from what happens: `Stream.adapted` then has corrected forecasts beside the exact ones

        Raises UsageError, also below 1 stream.
        """
        from .streaming import Stream

        return Stream(self, streams, series=series, adapt=adapt)

    def detector(
        self, *, series: object = None, false_alarm_rate: float | None = None, window: int | None = None
    ) -> AnomalyDetector:
        """Return an AnomalyDetector for one series, which flags about `false_alarm_rate` of its ordinary steps.

        None is about one step a week. `series` is its name, as for `predict`; `window` is how many residuals are kept.
        Raises UsageError.
        """
        from .anomalies import AnomalyDetector

        stream = self.stream(1, series=series)
        return AnomalyDetector(stream, self.manifest, false_alarm_rate=false_alarm_rate, window=window)

    def monitor(self, *, series: object = None) -> Monitor:
        """Return a Monitor of one series, which says when the model no longer fits it.

        `series` is its name, as for `predict`. Raises UsageError.
        """
        from .watching.monitor import Monitor

        return Monitor(self.stream(1, series=series), self)

    def _windows(
        self, values: ArrayLike | Windows, timestamps: object, *, lenient: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
        """Return values (batch, context, measured) and the times of the last steps (batch,), from all that is taken."""
        if isinstance(values, Windows):
            if timestamps is not None:
                raise UsageError("the windows have their times; leave timestamps out")
            return self._windows(values.values, values.time, lenient=lenient)
        spec = self.manifest.spec
        timestamps = self._times_of(values) if timestamps is None else timestamps
        if timestamps is None and self.manifest.format == 1:
            array = real_numbers(unlabelled("values", values, self._names(len(spec.features))), fill=lenient)
            return as_batch(array, spec.context, len(spec.features), hint=self._calendar_hint()), None
        array = real_numbers(unlabelled("values", values, self._names(spec.measured)), fill=lenient)
        hint = "" if array.shape[-1:] == (spec.measured,) else self._calendar_hint()
        raw = as_batch(array, spec.context, spec.measured, hint=hint)
        if timestamps is None:
            if spec.timed:
                raise TimeError(
                    "this model has a calendar and the time is missing: pass timestamps, the unix seconds (UTC) or "
                    "datetime64 of each window's last step"
                )
            return raw, None
        if lenient and spec.timed:
            return raw, times_where_known(spec, timestamps, len(raw))
        time = last_times(spec, unix_seconds(timestamps), len(raw))
        return raw, time if spec.timed else None

    def _names(self, count: int) -> list[str]:
        return [feature.name for feature in self.manifest.spec.features[:count]]

    def _times_of(self, values: ArrayLike) -> NDArray[np.int64] | None:
        """Return the times (context,) of a frame's index, None without one; raises TimeError if it has no zone."""
        spec = self.manifest.spec
        found = index_times(values, spec.step_s)
        if found is None:
            return None
        seconds, has_zone = found
        if spec.timed and not has_zone:
            raise TimeError(
                "the frame's index has times without a zone: give it one, such as "
                "frame.tz_localize('Europe/Berlin'), or pass timestamps=frame.index if its times are UTC"
            )
        return seconds if has_zone else None

    def _calendar_hint(self) -> str:
        spec = self.manifest.spec
        calendar = len(spec.features) - spec.measured
        return f"; its {calendar} calendar columns are computed from timestamps" if calendar else ""


def _phase(time: NDArray[np.int64] | None, step_s: int) -> int | None:
    """Return what all of `time`, of last steps (n,), are after a multiple of the step; None if they differ."""
    if time is None or not len(time):
        return None
    phases = time % step_s
    return int(phases[0]) if (phases == phases[0]).all() else None


def _is_lenient(bad: object) -> bool:
    word = plain(bad)
    if word not in (RAISE, "nan"):
        raise UsageError(f"bad is {shown(bad)}; expected raise or nan")
    return word == "nan"
