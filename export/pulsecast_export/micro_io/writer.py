"""Writer of `micro_io.h` and `micro_io.c`, from the templates here and the numbers of a model's scaling and calendar.

The full-integer TFLite file has neither: a program on a microcontroller compiles these beside it. What they compute is
that of `pulsecast.backends.tflite`, in float32.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulsecast.bundle.contract import contract_text
from pulsecast.computing.calendars import known_times
from pulsecast.computing.intervals import FLOAT32_SLACK
from pulsecast.model.radii import SplitConformal
from pulsecast.model.scaler import FeatureScale, Scaler
from pulsecast.model.spec import Calendar, ModelSpec
from pulsecast.stages.model_directory import ModelDirectory

from ..c_text import array_text, commented, filled, float_text, plain
from ..contracts import contract_of
from ..linear_kernel import folded

SOURCE, HEADER = "micro_io.c", "micro_io.h"
LARGEST = float(np.finfo(np.float32).max)
# a calendar's value is -1 to 1: scaled by numbers of this size it stays finite
USUAL = 1e18
_FUNCTIONS = {"sin": "SINE", "cos": "COSINE", "weekend": "WEEKEND", "holiday": "HOLIDAY"}


def write_micro_io(model: ModelDirectory, folder: Path, limits: tuple[float, float] = (-LARGEST, LARGEST)) -> None:
    """Write both files into `folder`, where `model.int8.tflite` is.

    limits  the least and the largest channel that has a forecast
    """
    for name, text in sources(model, limits).items():
        (folder / name).write_text(text, encoding="ascii", newline="\n")


def sources(model: ModelDirectory, limits: tuple[float, float] = (-LARGEST, LARGEST)) -> dict[str, str]:
    """Return the texts of both files by name; the same model gives the same texts."""
    record = model.record
    spec = record.spec
    values = _dimensions(spec, record.scaler) | _calendar(spec) | _bounds(record.intervals, spec.horizon)
    values |= _linear(spec, model.weights.linear)
    values |= {
        "NAME": plain(record.name),
        "CONTRACT": commented(contract_text(contract_of(model, "tflite-int8"))),
        "FEATURE_LINES": "\n".join(
            f" *     {i}  {plain(x.name)}" for i, x in enumerate(spec.features[: spec.measured])
        ),
        "LEAST_CHANNEL": float_text(max(limits[0], -LARGEST)),
        "MOST_CHANNEL": float_text(min(limits[1], LARGEST)),
        "FLOOR": float_text(spec.floor or 0.0),
        "SCALING_ROWS": _rows(
            (float_text(x.offset), float_text(x.scale), str(int(x.transform == "log1p")))
            for x in record.scaler.features
        ),
        "CHANNEL_ROWS": _rows((str(c.feature), str(c.lag)) for c in spec.channels),
    }
    return {SOURCE: filled(__package__, "micro_io.c.in", values), HEADER: filled(__package__, "micro_io.h.in", values)}


def _dimensions(spec: ModelSpec, scaler: Scaler) -> dict[str, str]:
    numbers = {
        "CONTEXT": spec.context,
        "MEASURED": spec.measured,
        "FEATURES": len(spec.features),
        "CHECKED": _checked(spec, scaler),
        "WINDOW": spec.window,
        "CHANNELS": len(spec.channels),
        "HORIZON": spec.horizon,
        "STEP_S": spec.step_s,
        "TIMED": int(spec.timed),
        "CHANGE": int(spec.target == "change"),
        "HAS_FLOOR": int(spec.floor is not None),
    }
    return {name: str(number) for name, number in numbers.items()}


def _checked(spec: ModelSpec, scaler: Scaler) -> int:
    """Return how many leading features may be infinite once they are scaled: a recipe's calendar is not."""
    tame = all(map(_is_tame, scaler.features[spec.measured :]))
    return spec.measured if tame else len(spec.features)


def _is_tame(scale: FeatureScale) -> bool:
    return scale.transform == "identity" and abs(scale.offset) < USUAL and scale.scale > 1 / USUAL


def _calendar(spec: ModelSpec) -> dict[str, str]:
    first, last = known_times(spec)
    calendars = [feature.calendar for feature in spec.features if feature.calendar is not None]
    spans: list[tuple[int, ...]] = []
    places: dict[tuple[tuple[int, ...], ...], int] = {}  # columns of the same holidays share their spans
    for calendar in calendars:
        found = () if calendar.holidays is None else calendar.holidays.spans
        if found not in places:
            places[found] = len(spans)
            spans += found
    return {
        "FIRST_KNOWN": str(first),
        "LAST_KNOWN": str(last),
        "CALENDAR_ROWS": _rows(_column(calendar, spec.step_s, places) for calendar in calendars),
        "HOLIDAYS": str(int(any(calendar.holidays for calendar in calendars))),
        "SPAN_ROWS": _rows((f"INT64_C({start})", f"INT64_C({stop})") for start, stop in spans or [(0, 0)]),
    }


def _column(calendar: Calendar, step_s: int, places: dict[tuple[tuple[int, ...], ...], int]) -> tuple[str, ...]:
    spans = () if calendar.holidays is None else calendar.holidays.spans
    return (
        _FUNCTIONS[calendar.function],
        f"INT64_C({calendar.ahead_steps * step_s})",
        f"INT64_C({calendar.period_s})",
        float_text(np.pi / 2 / calendar.period_s),
        str(places[spans]),
        str(places[spans] + len(spans)),
    )


def _bounds(intervals: SplitConformal | None, horizon: int) -> dict[str, str]:
    """Return what the templates say about bounds, at the level that artifacts give them at."""
    radii = (0.0,) * horizon if intervals is None else intervals.at(intervals.default_level)
    on_logs = intervals is not None and intervals.scale == "log1p"
    return {
        "BOUNDED": str(int(intervals is not None)),
        "LEVEL_TEXT": "" if intervals is None else f" with a coverage of {intervals.default_level:g}",
        "LOG_BOUNDS": str(int(on_logs)),
        "COUNTS": str(int(intervals is not None and intervals.counts)),
        "SLACK": float_text(FLOAT32_SLACK),
        "LOWER_ROWS": _rows(_bound(-radius, on_logs=on_logs) for radius in radii),
        "UPPER_ROWS": _rows(_bound(radius, on_logs=on_logs) for radius in radii),
    }


def _bound(radius: float, *, on_logs: bool) -> tuple[str, str]:
    """Return (times, plus) of a bound that lies `radius` above the forecast, or below it if that is negative.

    e^(log(1 + x) + r) - 1 = x e^r + (e^r - 1), which needs neither logarithm nor exponential where it runs.
    """
    with np.errstate(over="ignore"):
        times, plus = (np.exp(radius), np.expm1(radius)) if on_logs else (1.0, radius)
    return float_text(min(float(times), LARGEST)), float_text(max(min(float(plus), LARGEST), -LARGEST))


def _linear(spec: ModelSpec, kernel: NDArray[np.float32] | None) -> dict[str, str]:
    """Return what the templates say about the linear path; nothing else than that there is none where there is none."""
    linear = spec.linear
    if linear is None or kernel is None:
        names = ("SEASON", "PATH_PAST", "WAVES", "WEEKEND_ROWS", "PATH_ROWS", "TONE_ROWS", "KERNEL")
        return {"LINEAR": "0", "BESIDE": ""} | dict.fromkeys(names, "0")
    weekend, rows = linear.parts(spec.measured)["weekend"], folded(linear, kernel, spec.measured)
    return {
        "LINEAR": "1",
        "BESIDE": " and the\n * linear path beside it",
        "SEASON": str(linear.season),
        "PATH_PAST": str(linear.steps - 1),
        "WAVES": str(len(linear.waves)),
        "WEEKEND_ROWS": str(weekend.stop - weekend.start),
        "PATH_ROWS": str(len(rows)),
        "TONE_ROWS": _rows(
            (str(wave.period_s), str(wave.multiple), float_text(np.pi / 2 / wave.period_s)) for wave in linear.waves
        ),
        "KERNEL": array_text(rows.reshape(-1)),
    }


def _rows(rows: Iterable[Iterable[str]]) -> str:
    return ",\n".join(f"    {{{', '.join(row)}}}" for row in rows)
