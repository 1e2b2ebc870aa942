"""An evaluation's metrics through a bundle's artifacts: do they forecast as well as the trained model?

Every artifact forecasts the last part of the series, through the runtime as an app would, and is scored by the same
functions as a back-test. Each metric must agree with that of the float64 reference.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pulsecast.backends import Backend, open_backend
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.manifest import Artifact
from pulsecast.computing import reference
from pulsecast.errors import DataError, MissingExtraError
from pulsecast.forecasting.verification import why_not_run
from pulsecast.model.series import POOL_ROW
from pulsecast.model.spec import ModelSpec
from pulsecast.model.windows import Windows

from ..logs.as_trained import known_or_pooled
from ..naive import naive_forecasts
from ..recipes.recipes import season_steps
from ..series import Series
from ..windows import Steps, all_steps, boundary, raw_windows, truth
from .backtest import FoldForecasts
from .bundle_scores import NAIVE_NAME, REFERENCE_NAME, ArtifactScore, BundleScores
from .interval_scores import Judged, covered_by_one, joined, judge_fold, summarise
from .metrics import PointErrors, naive_scale, point_errors

BATCH = 256

Predict = Callable[[Windows], NDArray[np.floating]]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """The tested windows of one series, and the scale of MASE and RMSSE from before them.

    row  of the series in the bundle's table; None where the bundle is of one series
    """

    series: Series
    row: int | None
    steps: Steps
    starts: NDArray[np.int64]
    targets: NDArray[np.int64]
    truth: NDArray[np.float64]
    absolute: float
    squared: float


def score_bundle(
    bundle: Bundle,
    series: Sequence[Series],
    *,
    tested: float,
    interval: float,
    trust_code: bool = False,
    pool: bool = False,
) -> BundleScores:
    """Return the scores of every artifact that can and may run here, over the last `tested` part of each series.

    pool  score series that are not in the bundle's table by the pool's row

    Raises DataError if a series has no whole window there, UsageError if it is not in the bundle's table and not
    `pool`, and EngineError if an engine refuses its artifact.
    """
    manifest = bundle.manifest
    spec, scaling, weights = manifest.spec, bundle.scaling, bundle.weights()
    rows = _rows(bundle, series, pool=pool)
    parts = [_part(one, row, bundle, tested) for one, row in zip(series, rows, strict=True)]
    ideal, intended = _score(
        (REFERENCE_NAME, "numpy, float64"), parts, interval,
        [
            _forecasts(part, spec, lambda windows: reference.forecast(spec, scaling, weights, windows))
            for part in parts
        ],
    )  # fmt: skip
    naive = [naive_forecasts(part.steps, spec, part.starts)[NAIVE_NAME] for part in parts]
    found, skipped = [], {}
    for artifact in manifest.artifacts:
        backend = _open(bundle, artifact, trust_code=trust_code)
        if isinstance(backend, str):
            skipped[artifact.id] = backend
            continue
        forecasts = [_forecasts(part, spec, partial(_predicted, backend)) for part in parts]
        score, judged = _score((artifact.id, backend.engine), parts, interval, forecasts)
        found.append(dataclasses.replace(score, changes=_changes(score, ideal), chance=_chance(judged, intended)))
    return BundleScores(
        bundle=manifest.name,
        series=tuple(one.name for one in series),
        tested=tested,
        forecasts=sum(len(part.starts) for part in parts),
        interval=interval,
        scores=(ideal, ArtifactScore(name=NAIVE_NAME, engine="", errors=_errors(parts, naive)), *found),
        skipped=skipped,
        pooled=tuple(part.series.name for part in parts if part.row == POOL_ROW),
    )


def _rows(bundle: Bundle, series: Sequence[Series], *, pool: bool) -> list[int] | list[None]:
    """Return the row of each of `series` in the bundle's table; None for each where the bundle is of one series."""
    names = bundle.series_names
    if names is None:
        return [None] * len(series)
    return [names.row(known) for known in known_or_pooled(names, series, pool=pool)]


def _part(series: Series, row: int | None, bundle: Bundle, tested: float) -> _Part:
    spec = bundle.manifest.spec
    cut = boundary(len(series.values), tested)
    steps = all_steps([series], spec, bundle.manifest.scaler)
    starts = steps.starts[steps.starts + spec.context >= cut]
    if not len(starts):
        raise DataError(
            f"series {series.name} has no whole window in its last {tested:.0%}: {spec.context} unbroken steps and "
            f"{spec.horizon} to forecast are needed; bring a longer log, or fill longer gaps with --max-gap"
        )
    scale = naive_scale(series.values[:cut, 0], season_steps(series.step_s) or 1)
    return _Part(
        series=series,
        row=row,
        steps=steps,
        starts=starts,
        targets=starts + spec.context,
        truth=truth(steps, spec, starts),
        absolute=scale.absolute,
        squared=scale.squared,
    )


def _open(bundle: Bundle, artifact: Artifact, *, trust_code: bool) -> Backend | str:
    """Return the loaded artifact, or why it does not run here."""
    try:
        reason = why_not_run(bundle, artifact, trust_code=trust_code)
        return reason or open_backend(bundle, artifact, threads=1, trust_code=trust_code)
    except MissingExtraError as error:
        return str(error)


def _score(
    name: tuple[str, str], parts: Sequence[_Part], interval: float, forecasts: Sequence[NDArray[np.float64]]
) -> tuple[ArtifactScore, Judged]:
    judged = joined(
        [judge_fold(part.series, _as_fold(part, own), interval) for part, own in zip(parts, forecasts, strict=True)]
    )
    covered = summarise(judged, interval)
    score = ArtifactScore(
        name=name[0],
        engine=name[1],
        errors=_errors(parts, forecasts),
        coverage=None if covered is None else covered.coverage,
    )
    return score, judged


def _chance(found: Judged, ideal: Judged) -> float:
    from scipy.stats import binomtest

    more, less = covered_by_one(found, ideal)
    return float(binomtest(more, more + less).pvalue) if more + less else 1.0


def _forecasts(part: _Part, spec: ModelSpec, predict: Predict) -> NDArray[np.float64]:
    """Return raw forecasts (n, horizon) of the part's windows."""
    batches = [part.starts[first : first + BATCH] for first in range(0, len(part.starts), BATCH)]
    rows = [None if part.row is None else np.full(len(batch), part.row, np.int64) for batch in batches]
    windows = (raw_windows(part.steps, spec, batch, row) for batch, row in zip(batches, rows, strict=True))
    return np.concatenate([predict(one) for one in windows]).astype(np.float64)


def _predicted(backend: Backend, windows: Windows) -> NDArray[np.float32]:
    return backend.predict(*windows.inputs)


def _as_fold(part: _Part, forecasts: NDArray[np.float64]) -> FoldForecasts:
    return FoldForecasts(
        targets=part.targets,
        forecasts=forecasts,
        earlier_targets=np.empty(0, np.int64),
        earlier=np.empty((0, forecasts.shape[1])),
        epochs=0,
    )


def _errors(parts: Sequence[_Part], forecasts: Sequence[NDArray[np.float64]]) -> PointErrors:
    counts = [len(part.starts) for part in parts]
    return point_errors(
        np.concatenate(forecasts),
        np.concatenate([part.truth for part in parts]),
        np.repeat([part.absolute for part in parts], counts),
        np.repeat([part.squared for part in parts], counts),
    )


def _changes(found: ArtifactScore, ideal: ArtifactScore) -> dict[str, float]:
    mine, best = found.errors, ideal.errors
    pairs = {name: (getattr(mine, name), getattr(best, name)) for name in ("mae", "rmse", "smape", "mase", "rmsse")}
    changes = {name: _relative(a, b) for name, (a, b) in pairs.items() if a is not None and b is not None}
    changes["bias"] = _relative(best.mae + mine.bias - best.bias, best.mae)
    if found.coverage is not None and ideal.coverage is not None:
        changes["coverage"] = found.coverage - ideal.coverage
    return changes


def _relative(measured: float, ideal: float) -> float:
    return measured / ideal - 1 if ideal > 0 else float(measured != ideal)
