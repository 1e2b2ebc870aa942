"""Forecasting from thousands of log files: piece by piece on processes or a cluster, into one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pulsecast.bundle.signing import Key
from pulsecast.errors import DataError, UsageError
from pulsecast.forecasting.forecaster import load
from pulsecast.foundation.arguments import (
    StrPath,
    file_path,
    flag,
    fraction,
    paths,
    text,
    whole_number,
)
from pulsecast.foundation.whole_file import check_file_free
from pulsecast.stages.progress import SILENT, Progress, require_progress

from .logs.as_trained import reading_of
from .predicting.after_log import Wanted, bounds_level
from .predicting.files import expanded, refuse_unfit
from .predicting.kept import Made, Note, Pieces, kept_pieces
from .predicting.piece import merged, nothing_but, run_piece
from .predicting.plan import Asking, Task, tasks_of
from .predicting.result import BatchForecasts, Finished
from .predicting.table import ENDINGS, check_notes_free, notes_path
from .workers import Where, run_tasks


def predict_logs(  # noqa: PLR0913  # an option is a parameter
    bundle: StrPath,
    logs: StrPath | Sequence[StrPath],
    *,
    out: StrPath,
    changes: Mapping[str, object] | None = None,
    every: bool = False,
    adapt: bool = False,
    interval: float | None = None,
    series: str | None = None,
    pool: bool = False,
    by_file: bool = False,
    jobs: int = 0,
    dask: str | None = None,
    force: bool = False,
    backend: str = "auto",
    artifact: str | None = None,
    threads: int = 1,
    key: Key | None = None,
    trust_code: bool = False,
    progress: Progress = SILENT,
) -> BatchForecasts:
    """Forecast what follows every series in many log files, into one table; memory does not grow with their number.

    logs      files, or patterns such as `logs/*.parquet`; each file is read by itself, once, as the training log was
    out       .parquet or .csv: file, series, time (UTC), step, forecast, lower, upper, adapted …; written whole. Beside
              it `OUT.notes.csv` says what failed, was odd or was repaired
    changes   fields of `LogConfig` for which these logs differ from the training log
    every     forecast after every step, not only after the last
    adapt     replay each series as a stream that adapts: corrected forecasts stand beside the exact ones
    interval  coverage of the bounds; None is the bundle's own
    series, pool, by_file  where the bundle holds several series and no column names them: the name of the only file's
              series; the pool, for what training never saw; or each file is the series of its own name
    jobs      local processes of one thread; 0 is one per core
    dask      address of a Dask scheduler instead; its workers see the same files and the bundle under the same paths
    force     replace `out`
    backend, artifact, threads, key, trust_code  as for `pulsecast.load`

    What cannot be forecast, a file or a series, is in `failures`, and the others go on. A killed run goes on where it
    stopped when it is called again, and gives the same bytes as one that was not killed. What was finished of other
    files, another bundle or other options is made again. Local processes import the program that calls this: a script
    calls it under `if __name__ == "__main__":`.

        predict_logs("bundle", "logs/*.parquet", out="forecasts.parquet")

    Raises what `pulsecast.load` raises, UsageError (also if another run writes `out`), DataError (nothing could be
    forecast), MissingExtraError.
    """
    every, adapt, force = flag("every", every), flag("adapt", adapt), flag("force", force)
    target, given = _target(out, force=force), paths("logs", logs)
    asking = Asking(
        name=None if series is None else text("series", series),
        pool=flag("pool", pool),
        by_file=flag("by_file", by_file),
    )
    where = _where(jobs, dask)
    interval = None if interval is None else fraction("interval", interval, such_as=0.9)
    require_progress(progress)
    files = expanded(given).files
    model = load(bundle, backend=backend, artifact=artifact, threads=threads, key=key, trust_code=trust_code)
    config = reading_of(model.manifest, changes)
    refuse_unfit(files, (target, notes_path(target)), named_by_file=config.series is None)
    wanted = Wanted(level=bounds_level(model.manifest, interval), every=every, adapt=adapt)
    asking = asking.settled(None if model.series is None else model.series.names, config, len(files))
    tasks = tasks_of(model, files, config, wanted, asking)
    names = tuple(task.fingerprint() for task in tasks)
    engine = f"{model.artifact.id} on {model.backend.engine}, {model.backend.device}"
    progress.tell(f"{len(files):,} files in {len(tasks):,} pieces, forecast with {engine}")
    with kept_pieces(target) as pieces:
        _run(tasks, names, pieces, where, progress)
        try:
            tally = Finished(pieces=pieces, fingerprints=names, column=config.series).write(target, force=force)
        except DataError:  # nothing could be forecast: this run is done, too
            pieces.sweep()
            raise
        pieces.sweep()
    return BatchForecasts(
        out=str(target), artifact=model.artifact.id, engine=model.backend.engine, level=wanted.level, files=len(files),
        series=tally.series, rows=tally.rows, failures=tuple(tally.failures),
        notes=str(notes_path(target)) if tally.noted else None, noted=dict(tally.noted),
    )  # fmt: skip


def _where(jobs: int, dask: str | None) -> Where:
    """Return where the pieces run: a local process has one thread, so that its sums do not depend on `jobs`."""
    jobs, dask = whole_number("jobs", jobs, least=0), None if dask is None else text("dask", dask)
    if jobs and dask is not None:
        raise UsageError(f"jobs is {jobs} and dask is {dask}; pieces run on one of them: leave one out")
    return Where(jobs=jobs, dask=dask, threads=1)


def _target(out: StrPath, *, force: bool) -> Path:
    """Return the path of the result; raises UsageError if it cannot be written."""
    target = file_path("out", out)
    if target.suffix not in ENDINGS:
        raise UsageError(f"out is {target.name}; expected a name that ends in {' or '.join(ENDINGS)}")
    check_file_free(target, force=force)
    check_notes_free(notes_path(target))
    return target


def _run(tasks: Sequence[Task], names: Sequence[str], pieces: Pieces, where: Where, progress: Progress) -> None:
    """Keep what every piece gives, unless it is kept already."""
    if stale := pieces.others(set(names)):
        progress.tell(
            f"{stale:,} finished pieces are of other files, another bundle or other options, or their files have "
            "changed since: they are not used, and go when this run ends well"
        )
    missing = [i for i, name in enumerate(names) if not pieces.has(name)]
    done, files = len(names) - len(missing), sum(len(task.files) for task in tasks)
    known = files - sum(len(tasks[i].files) for i in missing)
    if done:
        progress.advance("piece", done, len(tasks), f"{known:,} of {files:,} files, kept from before")

    def keep(position: int, made: Made) -> None:
        nonlocal done, known
        i = missing[position]
        pieces.keep(names[i], made)
        done, known = done + 1, known + len(tasks[i].files)
        progress.advance("piece", done, len(tasks), f"{known:,} of {files:,} files")

    lost: list[int] = []
    run_tasks(run_piece, [tasks[i] for i in missing], where, keep, lost.append)
    for position in lost:
        keep(position, _file_by_file(tasks[missing[position]], where))


def _file_by_file(task: Task, where: Where) -> Made:
    """Return what a piece gives over which processes die: a file alone that ends its process is a failure."""
    parts = task.alone()
    found: dict[int, Made] = {}

    def dead(i: int) -> None:
        text = "the process that forecast it died, also alone, usually for lack of memory; look at the file by itself"
        found[i] = nothing_but(Note(kind="failed", file=parts[i].files[0].name, series="", text=text), task.wanted)

    if len(parts) == 1:
        dead(0)
    else:
        run_tasks(run_piece, parts, where, found.__setitem__, dead)
    return merged([found[i] for i in range(len(parts))])
