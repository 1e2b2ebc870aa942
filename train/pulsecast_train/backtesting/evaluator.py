"""A whole evaluation: its pieces of work; it runs those not done yet and keeps each result."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pulsecast.errors import UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.whole_file import write_whole
from pulsecast.stages.progress import SILENT, Progress

from ..baselines import find_baseline, installed_baselines
from ..recipes.recipes import filled, find_recipe, spec_of
from ..series import Series
from ..workers import Where, run_tasks
from .backtest import LINEAR, MODEL, FoldForecasts, Task, read_result, run_task, write_result
from .config import EvaluateConfig
from .derived import SMEARED_NAME, with_adapted, with_smeared
from .folds import check_folds, rolling_folds
from .metrics import FORMULAS
from .outside import check_names, fold_forecasts, read_outside, refuse_incomplete, wanted_targets
from .result import ADAPTED_NAME, ENSEMBLE_NAME, NAIVE_NAME, Evaluation
from .scoring import Forecasts, score_horizon

RESULT_NAME = "evaluation.json"
FOLDS_NAME = "folds"

Run = Callable[[Task], tuple[FoldForecasts, ...]]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A task and which series (by number), seed and horizon its result is for."""

    task: Task
    series: tuple[int, ...]
    seed: int
    horizon: int


def evaluate_series(  # noqa: PLR0913  # an option is a parameter
    series: Sequence[Series],
    config: EvaluateConfig,
    folder: Path,
    where: Where,
    progress: Progress = SILENT,
    *,
    run: Run = run_task,
    outside: Sequence[Path] = (),
) -> tuple[Evaluation, dict[int, Forecasts]]:
    """Evaluate and write `folder`/evaluation.json; also return every forecast, by horizon.

    Each fold's result is kept in `folder`/folds: an interrupted evaluation continues where it stopped, and one with
    more seeds or baselines does only the new pieces. `progress` receives every piece. `outside` are files of forecasts
    from elsewhere. Raises DataError (a series too short, a file of forecasts), UsageError, MissingExtraError.
    """
    began = time.monotonic()
    config = resolved(config)
    pieces = plan(series, config)
    others = _outside(outside, series, config, folder)
    (folder / FOLDS_NAME).mkdir(parents=True, exist_ok=True)
    found = _run_pieces(pieces, folder / FOLDS_NAME, where, progress, run)
    forecasts = {horizon: _collect(pieces, found, horizon) for horizon in config.horizons}
    for horizon, found_outside in others.items():
        forecasts[horizon].update(found_outside)
    if config.smearing:
        forecasts = {horizon: with_smeared(one, series) for horizon, one in forecasts.items()}
    if config.adapting:
        forecasts = {
            horizon: with_adapted(one, series, dataclasses.replace(config.train, horizon=horizon), config.origins)
            for horizon, one in forecasts.items()
        }
    result = Evaluation(
        config=config,
        pooled=_is_pooled(config, series),
        formulas=FORMULAS,
        horizons=tuple(
            score_horizon(series, config, horizon, forecasts[horizon], outside=tuple(others[horizon]))
            for horizon in config.horizons
        ),
        seconds=round(time.monotonic() - began, 3),
    )
    write_whole(folder / RESULT_NAME, strict_json.dumps(result), force=True)
    return result, forecasts


def resolved(config: EvaluateConfig) -> EvaluateConfig:
    """Return `config` without Nones; raises UsageError, MissingExtraError if a package is missing."""
    chosen = installed_baselines() if config.baselines is None else config.baselines
    for name in chosen:
        find_baseline(name)
    if config.smearing and find_recipe(config.train.recipe).transform != "log1p":
        raise UsageError(f"smearing undoes a logarithm, and recipe {config.train.recipe} takes none; leave it out")
    return dataclasses.replace(
        config,
        train=filled(config.train),
        baselines=tuple(dict.fromkeys((NAIVE_NAME, *chosen))),
    )


def plan(series: Sequence[Series], config: EvaluateConfig) -> list[Piece]:
    """Return every piece of the evaluation that `config`, without Nones, asks for; raises DataError, UsageError."""
    steps = sorted({one.step_s for one in series})
    if len(steps) > 1:
        raise UsageError(f"the series have steps of {', '.join(map(str, steps))} s; choose one for all with --step")
    everyone = tuple(range(len(series)))
    groups = [everyone] if _is_pooled(config, series) else [(i,) for i in everyone]
    pieces = []
    for horizon in config.horizons:
        for fold in range(config.origins):
            for method, seed, members in (  # what takes longest comes first: it would be waited for at the end
                *((MODEL, seed, group) for seed in range(1, config.seeds + 1) for group in groups),
                *((LINEAR, 0, group) for group in groups if config.train.linear),
                *((name, 0, (i,)) for name in config.baselines or () for i in everyone),
            ):
                task = Task(
                    method=method,
                    series=tuple(series[i] for i in members),
                    fold=fold,
                    origins=config.origins,
                    horizon=horizon,
                    train=dataclasses.replace(config.train, seed=seed, horizon=horizon),
                )
                pieces.append(Piece(task=task, series=members, seed=seed, horizon=horizon))
        for one in series:
            check_folds(one, pieces[-1].task.spec, rolling_folds(len(one.values), config.origins))
    return pieces


def _outside(
    paths: Sequence[Path], series: Sequence[Series], config: EvaluateConfig, folder: Path
) -> dict[int, Forecasts]:
    """Return the forecasts of the files at `paths` by horizon, which are checked before anything runs."""
    check_names(paths, {MODEL, LINEAR, ENSEMBLE_NAME, SMEARED_NAME, ADAPTED_NAME, *(config.baselines or ())})
    files = [read_outside(path, series) for path in paths]
    tested = {
        horizon: wanted_targets(
            series, spec_of(dataclasses.replace(config.train, horizon=horizon), series), config.origins
        )
        for horizon in config.horizons
    }
    refuse_incomplete(files, series, tested, folder)
    return {
        horizon: {one.name: {0: fold_forecasts(one, found, horizon)} for one in files}
        for horizon, found in tested.items()
    }


def _is_pooled(config: EvaluateConfig, series: Sequence[Series]) -> bool:
    return bool(config.train.pool) and len(series) > 1


def _run_pieces(
    pieces: Sequence[Piece], folder: Path, where: Where, progress: Progress, run: Run
) -> list[tuple[FoldForecasts, ...]]:
    """Return every piece's result, from `folder` if it is already there."""
    paths = [folder / f"{piece.task.fingerprint()[:32]}.npz" for piece in pieces]
    found = {i: read_result(path, len(pieces[i].series)) for i, path in enumerate(paths)}
    results = {i: result for i, result in found.items() if result is not None}
    if results:
        progress.advance("piece", len(results), len(pieces), "kept from before")
    missing = [i for i in range(len(pieces)) if i not in results]

    def keep(position: int, result: tuple[FoldForecasts, ...]) -> None:
        i = missing[position]
        write_result(paths[i], result)
        results[i] = result
        progress.advance("piece", len(results), len(pieces), _describe(pieces[i]))

    run_tasks(run, [pieces[i].task for i in missing], where, keep)
    return [results[i] for i in range(len(pieces))]


def _describe(piece: Piece) -> str:
    names = piece.task.series[0].name if len(piece.series) == 1 else f"{len(piece.series)} series"
    seed = f", seed {piece.seed}" if piece.seed else ""
    return f"{piece.task.method}, {names}, fold {piece.task.fold + 1}, horizon {piece.horizon}{seed}"


def _collect(pieces: Sequence[Piece], results: Sequence[tuple[FoldForecasts, ...]], horizon: int) -> Forecasts:
    """Return forecasts[method][seed][series][fold]; a baseline has the one seed 0."""
    forecasts: Forecasts = {}
    for piece, result in zip(pieces, results, strict=True):
        if piece.horizon == horizon:
            by_series = forecasts.setdefault(piece.task.method, {}).setdefault(piece.seed, {})
            for number, found in zip(piece.series, result, strict=True):
                by_series.setdefault(number, {})[piece.task.fold] = found
    return forecasts
