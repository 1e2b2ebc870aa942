"""Evaluating from logs: a back-test of models, or a score of every artifact of a finished bundle."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.signing import Key
from pulsecast.errors import UsageError
from pulsecast.foundation.arguments import StrPath, flag, fraction, instance, one_path, paths, text, whole_number
from pulsecast.foundation.whole_file import check_file_free
from pulsecast.stages.progress import SILENT, Progress, require_progress

from .backtesting.bundle_scores import BundleScores
from .backtesting.config import EvaluateConfig
from .backtesting.result import Evaluation
from .logs.as_trained import read_as_trained
from .logs.config import LogConfig
from .logs.looking.settling import read_settled

REPORT_NAME = "report.html"
HELDOUT = 0.2  # tested if the bundle does not state its held-out part


def evaluate(  # noqa: PLR0913  # an option is a parameter
    logs: StrPath | Sequence[StrPath],
    *,
    out: StrPath = "evaluation",
    log: LogConfig = LogConfig(),
    config: EvaluateConfig = EvaluateConfig(),
    jobs: int = 0,
    dask: str | None = None,
    html: bool = True,
    force: bool = False,
    forecasts: StrPath | Sequence[StrPath] = (),
    yes: bool = False,
    user_key: bytes | None = None,
    progress: Progress = SILENT,
) -> Evaluation:
    """Back-test over rolling origins beside simple forecasts, and return the result, with a verdict in words.

    out     folder of the result, of each fold's forecasts, and with `html` of report.html; an interrupted evaluation
            continues where it stopped
    log     how the logs are read
    config  what is tested, how often, and how the network is trained
    jobs    local processes; 0 is one per core
    yes     where a log can be read in several ways, take the proposed one and record it, instead of asking
    dask    address of a Dask scheduler, such as tcp://host:8786, instead of local processes
    force   replace the result and the report of a finished evaluation; its folds are used again where they fit
    forecasts  CSV files of forecasts from elsewhere to score beside ours, each under the file's name

    Raises DataError (the log, too short a series, or a file of forecasts), UsageError, MissingExtraError.
    """
    from .backtesting.evaluator import RESULT_NAME, evaluate_series
    from .baselines import find_baseline
    from .workers import Where

    html, force = flag("html", html), flag("force", force)
    instance("config", config, EvaluateConfig)
    require_progress(progress)
    if html:
        from .pages.backtest_report import write_report  # a missing package is reported now, not after an hour
    folder, jobs = one_path("out", out), whole_number("jobs", jobs, least=0)
    dask = None if dask is None else text("dask", dask)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; --out must name a folder")
    if folder.exists():
        for name in (RESULT_NAME, *([REPORT_NAME] if html else [])):
            check_file_free(folder / name, force=force)
    nothing = isinstance(forecasts, tuple | list) and len(forecasts) == 0
    outside = [] if nothing else paths("forecasts", forecasts)
    for name in config.baselines or ():
        find_baseline(name)  # refused before a long log is read
    files, yes = paths("logs", logs), flag("yes", yes)
    log, now_s = instance("log", log, LogConfig), int(time.time())
    (series, report), _ = read_settled(files, log, now_s=now_s, yes=yes, progress=progress, user_key=user_key)
    report.tell(progress)
    result, found = evaluate_series(series, config, folder, Where(jobs=jobs, dask=dask), progress, outside=outside)
    if html:
        write_report(folder / REPORT_NAME, series, result, found)
    return result


def evaluate_bundle(  # noqa: PLR0913
    logs: StrPath | Sequence[StrPath],
    bundle: StrPath,
    *,
    changes: Mapping[str, object] | None = None,
    pool: bool = False,
    interval: float = 0.9,
    key: Key | None = None,
    trust_code: bool = False,
    progress: Progress = SILENT,
) -> BundleScores:
    """Score every artifact of a bundle on the held-out part of logs, beside the float64 reference.

    changes   fields of `LogConfig` for which these logs differ from the training log
    pool      of a bundle of several series: score a series that it does not have by the pool's row; else it is refused
    interval  nominal coverage of the judged intervals
    key, trust_code  as for `pulsecast.load`; without either, artifacts that are code are skipped

    Nothing is trained. Look at `reproduced`: True if every metric of every artifact is within 1 % of the reference's.
    Raises what `Bundle.open` raises, DataError (the logs), UsageError (a series that the bundle does not have),
    EngineError (an engine refuses its artifact).
    """
    from .backtesting.artifacts import score_bundle

    interval, trust_code = fraction("interval", interval, such_as=0.9), flag("trust_code", trust_code)
    pool = flag("pool", pool)
    opened = Bundle.open(bundle, key=key)
    if pool and opened.series_names is None:
        raise UsageError("this bundle is of one series and has no pool: leave pool out")
    series, report = read_as_trained(logs, opened.manifest, changes, progress=progress)
    report.tell(progress)
    config = opened.manifest.provenance.training.get("config")
    held = config.get("heldout_fraction") if isinstance(config, dict) else None
    tested = held if isinstance(held, float) and 0 < held < 1 else HELDOUT
    return score_bundle(opened, series, tested=tested, interval=interval, trust_code=trust_code, pool=pool)
