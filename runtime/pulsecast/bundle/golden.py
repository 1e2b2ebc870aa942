"""The golden: held-out windows of a trained model and the forecasts it must give for them, shipped in every bundle."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .. import limits
from ..errors import FormatError
from ..foundation.quick_dataclass import dataclass
from ..model.weights import array_problems, read_npz, write_npz
from ..model.windows import SERIES, TIME, Windows
from ..plain_text import listed
from .manifest import Manifest

MINIMUM_WINDOWS = 64


@dataclass(frozen=True, kw_only=True)
class Extremes:
    """Windows of the largest and the smallest numbers, m of them, and what a graph gives for them.

    values     (m, context, measured) float32
    reference  (m, horizon) float64; NaN where there is no forecast
    """

    values: NDArray[np.float32]
    reference: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Golden:
    """Held-out raw windows and their forecasts, all in raw units.

    windows    n of them
    truth      (n, horizon) float64: what really happened
    reference  (n, horizon) float64: the float64 numpy forward pass; of a graph, Keras' own in float64
    trained    (n, horizon) float32: the trained Keras model
    unit       (n,) float64: the range of each window's series, in which its errors are measured
    extremes   of a graph, which no reader can compute; None for a network
    """

    windows: Windows
    truth: NDArray[np.float64]
    reference: NDArray[np.float64]
    trained: NDArray[np.float32]
    unit: NDArray[np.float64]
    extremes: Extremes | None = None

    def take(self, rows: slice | list[int] | NDArray[np.integer]) -> Golden:
        """Return the golden of the windows at `rows`."""
        return Golden(
            windows=self.windows.take(rows),
            truth=self.truth[rows],
            reference=self.reference[rows],
            trained=self.trained[rows],
            unit=self.unit[rows],
            extremes=self.extremes,
        )

    def largest_error(self, forecasts: NDArray[np.floating]) -> float:
        """Return the largest |forecasts - reference| as a fraction of the window's unit; NaN if there is one."""
        error = np.abs(np.asarray(forecasts, np.float64) - self.reference)
        return float(np.max(error / self.unit[:, np.newaxis]))


def write_golden(golden: Golden) -> bytes:
    """Return the file's bytes: a compressed .npz, little-endian; the same golden gives the same bytes."""
    values, time, series = golden.windows.inputs
    return write_npz(
        values=values.astype("<f4"),
        **({} if time is None else {TIME: time.astype("<i8")}),
        **({} if series is None else {SERIES: series.astype("<i8"), "unit": golden.unit.astype("<f8")}),
        truth=golden.truth.astype("<f8"),
        reference=golden.reference.astype("<f8"),
        trained=golden.trained.astype("<f4"),
        **extreme_arrays(golden.extremes),
    )


def extreme_arrays(extremes: Extremes | None) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a file that holds these windows, by name."""
    if extremes is None:
        return {}
    return {"extreme_values": extremes.values.astype("<f4"), "extreme_reference": extremes.reference.astype("<f8")}


def extremes_of(arrays: Mapping[str, NDArray[np.generic]]) -> Extremes:
    """Return what `extreme_arrays` gave."""
    return Extremes(
        values=arrays["extreme_values"].astype(np.float32), reference=arrays["extreme_reference"].astype(np.float64)
    )


def read_golden(data: bytes, manifest: Manifest) -> Golden:
    """Return the golden in `data`, a file of the bundle of `manifest`.

    Raises FormatError if its arrays are not those of its model.
    """
    spec, number = manifest.spec, manifest.format
    rows = 0 if manifest.series is None else manifest.series.count + 1
    arrays = read_npz(data, where="golden.npz")
    values, columns = ("values", spec.measured) if number > 1 else ("windows", len(spec.features))
    count = len(arrays[values]) if values in arrays else 0
    expected = {
        values: ("<f4", (count, spec.context, columns)),
        **({TIME: ("<i8", (count,))} if number > 1 and spec.timed else {}),
        **({SERIES: ("<i8", (count,)), "unit": ("<f8", (count,))} if rows else {}),
        "truth": ("<f8", (count, spec.horizon)),
        "reference": ("<f8", (count, spec.horizon)),
        "trained": ("<f4", (count, spec.horizon)),
    }
    if spec.graph is not None:
        extremes = len(arrays.get("extreme_values", ()))
        expected["extreme_values"] = ("<f4", (extremes, spec.context, spec.measured))
        expected["extreme_reference"] = ("<f8", (extremes, spec.horizon))
    problems = array_problems(arrays, expected, unknown=("extreme_reference",))
    if count < MINIMUM_WINDOWS:
        problems.append(f"{count} windows; at least {MINIMUM_WINDOWS} are needed")
    if count > limits.GOLDEN_WINDOWS:
        problems.append(f"{count} windows; at most {limits.GOLDEN_WINDOWS} are read")
    if rows and not problems:
        if not np.array_equal(np.unique(arrays[SERIES]), np.arange(rows)):
            problems.append(
                f"its windows are not of every row of the table of series, 0 to {rows - 1}, and of no other"
            )
        if not (arrays["unit"] > 0).all():  # type: ignore[operator]
            problems.append("unit holds a number that is not positive")
    if problems:
        raise FormatError("golden.npz: " + listed(problems))
    time, series = (arrays[name].astype(np.int64) if name in arrays else None for name in (TIME, SERIES))
    unit = arrays["unit"].astype(np.float64) if rows else np.full(count, manifest.scaler.range)
    return Golden(
        windows=Windows(values=arrays[values].astype(np.float32), time=time, series=series),
        truth=arrays["truth"].astype(np.float64),
        reference=arrays["reference"].astype(np.float64),
        trained=arrays["trained"].astype(np.float32),
        unit=unit,
        extremes=None if spec.graph is None else extremes_of(arrays),
    )


def evenly(count: int, at_most: int) -> NDArray[np.int64]:
    """Return at most `at_most` evenly spaced rows of `count`, ascending, with the first and the last one.

    >>> evenly(10, 4)
    array([0, 3, 6, 9])
    """
    return np.unique(np.linspace(0, count - 1, min(count, at_most)).round().astype(np.int64))
