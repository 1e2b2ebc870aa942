"""What an app holds: a `Forecaster` checks raw input, adds calendar features and calls one backend."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..backends import Backend, choose, open_backend
from ..bundle.bundle import Bundle
from ..bundle.manifest import Artifact, Manifest
from ..bundle.signing import UNSIGNED, Key, Signature
from ..computing.calendars import last_times, require_known, unix_seconds
from ..errors import (
    DtypeError,
    EmptyInputError,
    FeatureCountError,
    NonFiniteError,
    TimeError,
    UsageError,
    WindowLengthError,
)
from ..foundation.arguments import flag, shown, whole_number
from ..foundation.masked import has_masked
from ..foundation.uncopied import uncopied
from ..model.series import refuse_series
from ..model.windows import Windows

if TYPE_CHECKING:
    from ..computing.intervals import Interval
    from ..model.series import SeriesTable
    from ..model.spec import ModelSpec
    from .anomalies import AnomalyDetector
    from .streaming import Stream

_FLOAT32, _INT64 = np.dtype(np.float32), np.dtype(np.int64)


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

    check_loaded(bundle, chosen, opened)
    return Forecaster(bundle.manifest, chosen, opened, bundle.signature, bundle.series)


class Forecaster:
    """A loaded model. `predict` may be called from several threads at once.

    manifest   what the bundle says about itself, `manifest.spec` above all
    artifact   which artifact was loaded
    backend    the engine that runs it: `backend.engine`, `backend.device`
    signature  whether the bundle was signed, and whether that was checked
    series     the table of series, its `names` above all; None where the bundle is of one series
    """

    __reduce_ex__ = uncopied("load the bundle in each process")

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
        spec = manifest.spec
        self._step_shape = (spec.context, spec.measured)
        self._timed = spec.timed
        self._backend_predict = backend.predict

    def __repr__(self) -> str:
        return f"Forecaster({self.manifest.name!r}, artifact={self.artifact.id!r}, engine={self.backend.engine!r})"

    @overload
    def predict(
        self, values: ArrayLike | Windows, *, timestamps: object = None, series: object = None
    ) -> NDArray[np.float32]: ...
    @overload
    def predict(
        self, values: ArrayLike | Windows, *, timestamps: object = None, series: object = None, interval: float
    ) -> Interval: ...
    def predict(
        self,
        values: ArrayLike | Windows,
        *,
        timestamps: object = None,
        series: object = None,
        interval: float | None = None,
    ) -> NDArray[np.float32] | Interval:
        """Return forecasts (batch, horizon) in raw units for raw `values`; never a non-finite number.

        values      (batch, context, measured), or one window (context, measured) for a batch of one. A model with one
                    measured column also takes (batch, context) and (context,). Or `Windows`, which have their times.
        timestamps  where the model has a calendar: of each window's last step, (batch,), or of every step, (batch,
                    context); for one window also one time, or (context,). datetime64 or unix seconds, UTC.
        series      where the bundle holds several: the name of the windows' series, or one for each, (batch,);
                    `pulsecast.POOL` for a series that training never saw, which is scaled by its window
        interval    coverage, such as 0.9: the result is then an `Interval` of forecast, lower and upper, each (batch,
                    horizon), by the radii in the manifest. Where truth keeps arriving, `pulsecast.RollingConformal`
                    follows the series and is the better choice.

        A bundle of format 1 also takes (batch, context, features) without timestamps, its calendar columns ready-made.

        Raises WindowLengthError, FeatureCountError, DtypeError, NonFiniteError, EmptyInputError, TimeError (all
        InputError), and UsageError for an interval that the bundle has no radii for.
        """
        if (
            type(values) is np.ndarray
            and values.dtype == _FLOAT32
            and values.shape[1:] == self._step_shape
            and len(values)
            and (
                timestamps is None
                if not self._timed
                else type(timestamps) is np.ndarray
                and timestamps.dtype == _INT64
                and timestamps.shape == values.shape[:1]
            )
        ):
            raw = cast("NDArray[np.float32]", np.ascontiguousarray(values))
            time = np.ascontiguousarray(timestamps, np.int64) if self._timed else None
        else:
            raw, time = self._windows(values, timestamps)
        rows = self._rows_of(values, series, len(raw))
        # x.x is finite unless an element is not finite or the sum overflows: one pass in BLAS decides the usual case
        flat = raw.reshape(-1)
        if not math.isfinite(np.vdot(flat, flat)):
            _refuse_non_finite(raw)
        forecasts = self._backend_predict(raw, time) if rows is None else self._backend_predict(raw, time, rows)
        flat = forecasts.reshape(-1)
        if not math.isfinite(flat.item() if flat.size == 1 else np.vdot(flat, flat)):
            _refuse_outside_domain(forecasts, self.manifest.spec, time)
        return forecasts if interval is None else self._interval(forecasts, interval, rows)

    def _rows_of(self, values: ArrayLike | Windows, series: object, count: int) -> NDArray[np.int64] | None:
        """Return the rows (batch,) of the windows' series in the table; None where the bundle is of one."""
        table = self.series
        if isinstance(values, Windows) and values.series is not None:
            if series is not None:
                raise UsageError("the windows have their series; leave series out")
            if table is None:
                refuse_series(values.series)
                return None
            return _checked_rows(values.series, count, len(table))
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

    def _windows(
        self, values: ArrayLike | Windows, timestamps: object
    ) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
        """Return values (batch, context, measured) and the times of the last steps (batch,), from all that is taken."""
        if isinstance(values, Windows):
            if timestamps is not None:
                raise UsageError("the windows have their times; leave timestamps out")
            return self._windows(values.values, values.time)
        array = _real_numbers(values)
        spec = self.manifest.spec
        if timestamps is None and self.manifest.format == 1:
            return _batch(array, spec.context, len(spec.features), hint=self._calendar_hint()), None
        hint = "" if array.shape[-1:] == (spec.measured,) else self._calendar_hint()
        raw = _batch(array, spec.context, spec.measured, hint=hint)
        if timestamps is None:
            if spec.timed:
                raise TimeError(
                    "this model has a calendar and the time is missing: pass timestamps, the unix seconds (UTC) or "
                    "datetime64 of each window's last step"
                )
            return raw, None
        time = last_times(spec, unix_seconds(timestamps), len(raw))
        return raw, time if spec.timed else None

    def _calendar_hint(self) -> str:
        spec = self.manifest.spec
        calendar = len(spec.features) - spec.measured
        return f"; its {calendar} calendar columns are computed from timestamps" if calendar else ""


def _checked_rows(series: NDArray[np.int64], count: int, rows: int) -> NDArray[np.int64]:
    """Return the rows of windows (count,) in a table; raises UsageError unless each is one of its `rows`."""
    given = np.asarray(series)
    if given.dtype.kind not in "iu" or given.shape != (count,):
        raise UsageError(f"series of the windows is {given.dtype}{given.shape}; expected whole numbers ({count},)")
    if given is not series and has_masked(series):
        raise UsageError("series of the windows has masked cells; expected the row of each window")
    if not ((given >= 0) & (given < rows)).all():
        raise UsageError(f"series of the windows holds a row that is not in the table, whose rows are 0 to {rows - 1}")
    return np.ascontiguousarray(given, np.int64)


def _real_numbers(values: ArrayLike) -> NDArray[np.float32]:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DtypeError("values are ragged; every window needs the same number of steps and features") from error
    except Exception:  # an object's own methods
        raise DtypeError(f"values are {shown(values)}; expected an array of real numbers") from None
    if array.size == 0:
        raise EmptyInputError(f"values are empty (shape {array.shape}); pass at least one window")
    if array.dtype.kind not in "iuf":
        raise DtypeError(f"values are {array.dtype}; expected real numbers (float32 is used without a copy)")
    if array is not values and has_masked(values):  # a plain array is passed on as it is
        raise NonFiniteError("values have masked cells; fill or drop these windows")
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which is refused
        return array.astype(np.float32, copy=False)


def _batch(array: NDArray[np.float32], context: int, features: int, *, hint: str) -> NDArray[np.float32]:
    """Return `array` as (batch, context, features), reading the shorter shapes that `predict` documents."""
    shape = array.shape
    if array.ndim == 1 and features == 1:
        array = array.reshape(1, -1, 1)
    elif array.ndim == 2:
        as_window = features > 1 or (shape[1] == 1 and context > 1)
        array = array[np.newaxis] if as_window else array[:, :, np.newaxis]
    if array.ndim != 3:
        raise FeatureCountError(f"values have shape {shape}; this model takes (batch, {context}, {features}){hint}")
    if array.shape[2] != features:
        raise FeatureCountError(
            f"steps have {array.shape[2]} features; this model takes {features} (manifest: features){hint}"
        )
    if array.shape[1] != context:
        raise WindowLengthError(f"windows have {array.shape[1]} steps; this model takes {context} (manifest: context)")
    return np.ascontiguousarray(array)


def _refuse_non_finite(windows: NDArray[np.float32]) -> None:
    bad = np.argwhere(~np.isfinite(windows))
    if len(bad):
        row, step, feature = bad[0]
        raise NonFiniteError(
            f"{len(bad)} values are NaN or infinite in float32, first in window {row}, step {step}, feature {feature}; "
            "fill or drop these windows"
        )


def _refuse_outside_domain(forecasts: NDArray[np.float32], spec: ModelSpec, time: NDArray[np.int64] | None) -> None:
    rows = np.flatnonzero(~np.isfinite(forecasts).all(axis=1))
    if not len(rows):
        return
    if time is not None:
        require_known(spec, time)
    raise NonFiniteError(
        f"{len(rows)} windows have no finite forecast, first window {rows[0]}: "
        "its values lie outside what the model's scaler, or an 8-bit input, can take"
    )
