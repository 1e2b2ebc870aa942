"""Small fitted models of every kind that the graphs know, each converted once, and the times that calendars turn at."""

from __future__ import annotations

import dataclasses
import datetime
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from helpers import plain
from pulsecast.backends import Backend, open_backend
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.manifest import MANIFEST_NAME, HeldOut, Manifest
from pulsecast.computing.calendars import known_times
from pulsecast.computing.intervals import fit_split
from pulsecast.foundation import strict_json
from pulsecast.model.linear import Linear, Wave
from pulsecast.model.network import Network, Recurrent, plain_stack
from pulsecast.model.radii import SplitConformal
from pulsecast.model.scaler import FeatureScale, Scaler
from pulsecast.model.spec import DAY_S, WEEK_S, Calendar, CalendarFunction, Channel, Feature, Holidays, ModelSpec
from pulsecast.model.windows import Windows
from pulsecast.stages.model_directory import HeldOutWindows, ModelDirectory, ModelRecord, write_model_directory

YEAR_S = 31_556_952  # of 365.2425 days
TARGETS = ("savedmodel", "onnx", "tflite")  # the converted ones of float32
ARTIFACTS = ("numpy", *TARGETS)
NAMES = ("calendar", "bare", "logs", "scaled", "columns", "quarters", "network", "alone")  # of `make_cases`
LOGS = FeatureScale(transform="log1p", offset=5.75, scale=0.3125, low=100.0, high=500.0)
RANGE = FeatureScale(offset=96.0, scale=400.0, low=96.0, high=496.0)
AS_IT_IS = FeatureScale()


DAYS = tuple(Wave(period_s=DAY_S, multiple=multiple) for multiple in (1, 2, 7))


def at(text: str) -> int:
    """Return the unix seconds of an ISO time in UTC."""
    return int(datetime.datetime.fromisoformat(f"{text}+00:00").timestamp())


# Edges inside an hour, a span inside one step, two spans that touch, a leap day, before 1970 and after 2100.
NEPAL = Holidays(
    region="NP",
    zone="Asia/Kathmandu",
    known=(at("1950-01-01"), at("2150-01-01")),
    spans=(
        (at("1969-12-25 00:30"), at("1969-12-26 00:30")),
        (at("2024-02-28 18:15"), at("2024-02-29 18:15")),
        (at("2024-02-29 18:15"), at("2024-03-01 18:15")),
        (at("2025-01-10 10:10"), at("2025-01-10 10:20")),
        (at("2101-06-01"), at("2101-06-02")),
    ),
)
NONE_KNOWN = Holidays(region="XX", zone="UTC", known=(at("2000-01-01"), at("2100-01-01")), spans=())


def calendar(name: str, function: CalendarFunction, period_s: int, **more: Any) -> Feature:
    """Return a calendar feature."""
    return Feature(name=name, calendar=Calendar(function=function, period_s=period_s, **more))


DAY = (calendar("day_sin", "sin", DAY_S), calendar("day_cos", "cos", DAY_S))
SHIFT = (calendar("shift_sin", "sin", DAY_S // 4), calendar("shift_cos", "cos", DAY_S // 4))
WEEK = (calendar("week_sin", "sin", WEEK_S), calendar("week_cos", "cos", WEEK_S, ahead_steps=0))
YEAR = (calendar("year_sin", "sin", YEAR_S), calendar("year_cos", "cos", YEAR_S))
WEEKEND = calendar("weekend", "weekend", WEEK_S)
HOLIDAY = calendar("holiday", "holiday", DAY_S, holidays=NEPAL)
HOLIDAY_TOMORROW = calendar("holiday_24", "holiday", DAY_S, holidays=NEPAL, ahead_steps=24)


def spec(
    features: tuple[Feature, ...], channels: tuple[tuple[int, int], ...], *, units: tuple[int, ...] = (5, 4),
    horizon: int = 2, target: Literal["level", "change"] = "change", **more: Any,
) -> ModelSpec:  # fmt: skip
    """Return a spec of a short window; `channels` are (feature, lag)."""
    return ModelSpec(
        window=8,
        features=features,
        channels=tuple(Channel(feature=feature, lag=lag) for feature, lag in channels),
        units=units,
        horizon=horizon,
        step_s=more.pop("step_s", plain.STEP_S),
        target=target,
        **more,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A fitted model, and how its intervals are made; None are none."""

    model: plain.PlainModel
    intervals: SplitConformal | None

    def directory(self) -> ModelDirectory:
        """Return the model as training would have left it."""
        golden, model = self.model.golden(), self.model
        record = ModelRecord(
            format=2,
            name="graph",
            recipe="plain",
            spec=model.spec,
            scaler=model.scaler,
            heldout=HeldOut(windows=len(golden.windows), forecasts={}),
            provenance=plain.PROVENANCE,
            intervals=self.intervals,
        )
        heldout = HeldOutWindows(windows=golden.windows, truth=golden.truth, trained=golden.trained)
        return ModelDirectory(record=record, weights=model.weights, heldout=heldout, calibration=model.calibration)


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A case in `folder`: its model directory, `model`, and its bundle; each artifact is opened once."""

    case: Case
    folder: Path
    opened: dict[str, Backend] = field(default_factory=dict)

    @property
    def spec(self) -> ModelSpec:
        """What the model is."""
        return self.case.model.spec

    @property
    def limit(self) -> float:
        """How far a forecast of a float32 artifact may be from the reference, relative to it or to the range.

        Undoing a logarithm makes an error relative to the value: `pulsecast_export.targets.FLOAT32_CHANGE`.
        """
        logs = self.case.model.scaler.features[0].transform == "log1p"
        return 1e-5 if logs or not self.spec.network.is_plain else 2e-6

    def backend(self, artifact: str) -> Backend:
        """Return an artifact of the bundle, loaded."""
        if artifact not in self.opened:
            bundle = Bundle.open(self.folder / "bundle")
            self.opened[artifact] = open_backend(bundle, bundle.manifest.artifact(artifact), threads=1)
        return self.opened[artifact]


def case(
    described: ModelSpec, scales: tuple[FeatureScale, ...], intervals: tuple[Literal["log1p", "identity"], bool] | None
) -> Case:
    """Return the fitted model of a spec; `intervals` are their scale, and whether values are counts."""
    rest = (AS_IT_IS,) * (len(described.features) - len(scales))
    model = plain.make_model(described, Scaler(features=(*scales, *rest)))
    if intervals is None:
        return Case(model=model, intervals=None)
    split = fit_split(model.golden().reference, model.truth, intervals[0], counts=intervals[1])
    return Case(model=model, intervals=split)


VALUE = Feature(name="value")
OTHER, THIRD = Feature(name="other"), Feature(name="third")


def make_cases() -> dict[str, Case]:
    """Return the models by name."""
    every = (VALUE, *DAY, *WEEK, *YEAR, WEEKEND, HOLIDAY, HOLIDAY_TOMORROW)
    mixed = (VALUE, OTHER, WEEKEND, DAY[0], HOLIDAY, calendar("none", "holiday", DAY_S, holidays=NONE_KNOWN), *WEEK)
    halved = FeatureScale(offset=-1.0, scale=2.0)
    return {
        # the recommended recipe's form, with every calendar column there is, and counts
        "calendar": case(
            spec(
                every, (*((i, 0) for i in range(10)), (0, 1), (0, 23)), horizon=3, floor=0.0,
                network=plain_stack(
                    (5, 4), Linear(lags=20, season=24, waves=(*DAYS, Wave(period_s=WEEK_S)), weekend_waves=2)
                ),
            ),
            (LOGS,),
            ("log1p", True),
        ),
        # the textbook recipe's form
        "bare": case(spec((VALUE,), ((0, 0),), units=(6,), horizon=1, target="level"), (RANGE,), None),
        # a logarithm without a floor and without intervals
        "logs": case(spec((VALUE, *DAY), ((0, 0), (1, 0), (2, 0)), units=(6,)), (LOGS,), None),
        # calendar columns scaled, lagged, out of order and not all used; values that are not counts
        "scaled": case(
            spec(
                mixed, ((3, 0), (0, 0), (2, 0), (4, 0), (1, 0), (2, 6), (4, 3), (1, 2)), units=(14,), target="level",
                floor=0.0,
            ),
            (LOGS, RANGE, FeatureScale(transform="log1p", offset=0.25, scale=0.5), halved, halved),
            ("log1p", False),
        ),
        # transforms in turns, without a calendar; a floor amid the forecasts; a linear path of three columns
        "columns": case(
            spec(
                (VALUE, OTHER, THIRD), ((0, 0), (1, 0), (2, 0), (2, 4)), units=(10, 8), floor=200.0,
                network=plain_stack((10, 8), Linear(lags=5)),
            ),
            (RANGE, LOGS, RANGE),
            ("log1p", True),
        ),
        # bounds by addition; steps of a quarter of an hour
        "quarters": case(
            spec((VALUE, *SHIFT), ((0, 0), (1, 0), (2, 0)), units=(12,), step_s=900, target="level"),
            (RANGE,),
            ("identity", False),
        ),
        # beyond the plain stack; a linear path whose waves are those of the columns in part, and in another order
        "network": case(
            spec(
                (VALUE, *DAY, WEEKEND, HOLIDAY), ((0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (0, 1)), units=(5, 3),
                network=Network(
                    recurrent=(
                        Recurrent(kind="gru", units=5),
                        Recurrent(kind="lstm", units=3, direction="both", merge="concat"),
                    ),
                    linear=Linear(lags=9, waves=(Wave(period_s=WEEK_S), *DAYS[1:]), weekend_waves=3),
                ),
            ),
            (LOGS,),
            ("log1p", True),
        ),
        # a linear path without layers; steps of a day, many ahead
        "alone": case(
            spec(
                (VALUE, OTHER, WEEKEND), ((0, 0), (1, 0), (2, 0), (0, 6)), units=(), horizon=24, step_s=DAY_S,
                network=Network(
                    recurrent=(),
                    linear=Linear(lags=14, season=7, waves=(Wave(period_s=WEEK_S, multiple=2),), weekend_waves=0),
                ),
            ),
            (LOGS, RANGE),
            ("log1p", True),
        ),
    }  # fmt: skip


def times(model: plain.PlainModel) -> NDArray[np.int64]:
    """Return (n,) times of last steps at which a calendar turns, none of them unknown to the model."""
    turns = [
        *map(at, ("1970-01-01", "2024-02-29", "2024-03-01", "2025-01-01", "2000-03-01", "2100-03-01")),
        *map(at, ("2025-01-11", "2025-01-13", "2038-01-19 03:14:07", "2106-02-07 06:28:15")),  # a weekend; 32 bits
        *map(at, ("1969-12-27", "1968-02-29", "1901-12-13 20:45:52", "1600-02-29", "0001-06-01", "9999-06-01")),
        *(edge for span in NEPAL.spans for edge in span),
        *(edge - DAY_S for span in NEPAL.spans for edge in span),  # as seen a day ahead
    ]
    around = (-7200, -3600, -1800, -1, 0, 1, 599, 3600, 3601)
    first, last = known_times(model.spec)
    found = np.array([turn + by for turn in turns for by in around], np.int64)
    return np.unique([first, last, *found[(found >= first) & (found <= last)]])


def windows(model: plain.PlainModel) -> Windows:
    """Return held-out values at each of `times`, or the held-out windows of a model without a calendar."""
    if not model.spec.timed:
        return model.windows
    moments = times(model)
    rows = np.arange(len(moments)) % len(model.windows)
    return replace(model.windows.take(rows), time=moments)


def convert(case: Case, folder: Path) -> None:
    """Write the model directory and a bundle of ARTIFACTS into `folder`, in this process, each target gated."""
    from pulsecast_export.converting.conversion_child import main

    (folder / "model").mkdir(parents=True)
    write_model_directory(folder / "model", case.directory())
    bundle = folder / "bundle"
    plain.write_bundle(bundle, case.model)
    assert main([str(folder / "model"), str(bundle), *TARGETS]) == 0
    artifacts = [plain.artifact_of(name, case.model.spec) for name in TARGETS]
    _write_manifest(bundle, plain.write_manifest(bundle, case.model, (plain.numpy_artifact(), *artifacts)), case)


def _write_manifest(bundle: Path, manifest: Manifest, case: Case) -> None:
    split = case.intervals
    level = None if split is None else split.default_level
    changed = dataclasses.replace(manifest, intervals=split, level=level)
    (bundle / MANIFEST_NAME).write_text(strict_json.dumps(changed), encoding="utf-8")
