"""Reading a log for a bundle: as its training log was read; refused unless it fits the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from pulsecast.bundle.manifest import Manifest
from pulsecast.computing.iso_time import iso_whole_seconds
from pulsecast.errors import DataError, FormatError, UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.arguments import StrPath, instance, with_changes
from pulsecast.model.series import POOL, Pool, SeriesNames
from pulsecast.model.spec import ModelSpec
from pulsecast.stages.progress import SILENT, Progress

from ..series import Series
from .config import LogConfig
from .reader import ReadLog, off_grid_words, read_log

SHOWN = 5  # names in a sentence


def read_as_trained(
    logs: StrPath | Sequence[StrPath],
    manifest: Manifest,
    changes: Mapping[str, object] | None = None,
    *,
    progress: Progress = SILENT,
) -> ReadLog:
    """Return the result of `read_log` with the training log's configuration, changed by `changes` to `LogConfig`.

    changes  an empty name for `series` means that no column names the series; `events` False, of a model whose training
             log had events, that the log has their counts in steps: all options of single events are then left out

    Raises DataError unless every series has the metrics and the step that the model takes and, where the model has a
    calendar, steps as far after whole ones as in training: hours that are named by their end would be forecast as later
    ones. `phase_s` in `changes` states another grid.
    """
    config = reading_of(manifest, changes)
    return read_fitting(logs, manifest, config, progress=progress)


def read_fitting(
    logs: StrPath | Sequence[StrPath], manifest: Manifest, config: LogConfig, *, progress: Progress = SILENT
) -> ReadLog:
    """Return the result of `read_log`; raises DataError unless every series fits the bundle of `manifest`."""
    try:
        found = read_log(logs, config, progress=progress, as_trained=True)
    except DataError as error:
        if config.events and "has no column" in str(error):
            raise DataError(
                f"{error}; the training log held single events: if this one holds their counts in steps, pass --samples"
            ) from error
        if config.series is None or f"has no column {config.series}" not in str(error):
            raise
        raise DataError(
            f"{error}; {config.series} named the series of the training log: for a log of one series pass "
            "--series-column ''"
        ) from error
    phase_s = trained_phase_s(manifest)
    for one in found.series:
        check_series(manifest.spec, one)
        if config.phase_s is None and phase_s is not None and not one.has_phase(phase_s):
            raise DataError(
                f"{off_grid_words(one)}, and those of training {phase_s:,} s after one: correct the times, which may "
                f"name the middle or the end of a step, or pass --phase {one.phase_s} if the series comes so"
            )
    return found


def trained_phase_s(manifest: Manifest) -> int | None:
    """Return how many seconds after a whole step each step of the training log came.

    None where nothing depends on it, as the model has no calendar, where it is not recorded, or where series differ.
    """
    spec, series = manifest.spec, manifest.provenance.data.get("series")
    if not spec.timed or not isinstance(series, Sequence):
        return None
    phases = {_phase_s(one, spec.step_s) for one in series}
    return phases.pop() if len(phases) == 1 else None


def _phase_s(series: object, step_s: int) -> int | None:
    first = series.get("first") if isinstance(series, Mapping) else None
    try:
        return iso_whole_seconds(first) % step_s
    except ValueError:
        return None


def names_its_series(manifest: Manifest, changes: Mapping[str, object] | None = None) -> bool:
    """Return whether a column of the logs, read so, names their series; without one a file's name does."""
    return reading_of(manifest, changes).series is not None


def reading_of(manifest: Manifest, changes: Mapping[str, object] | None = None) -> LogConfig:
    """Return how a log is read for a bundle: as its training log was, changed by `changes`."""
    instance("manifest", manifest, Manifest)
    changes = instance("changes", {} if changes is None else changes, Mapping)  # type: ignore[type-abstract]
    recorded = as_trained(manifest)
    if recorded.events and changes.get("events") is False:
        recorded = _of_samples(recorded, manifest.spec)
    if changes.get("series") != "":
        return with_changes(recorded, changes)
    return with_changes(dataclasses.replace(recorded, series=None), {**changes, "series": None})


def _of_samples(events: LogConfig, spec: ModelSpec) -> LogConfig:
    """Return how a log of counts in steps is read, for a model whose training log had one event in each row.

    What says how single events are counted has no meaning in it. Each column of the model is a column of the log.
    """
    return dataclasses.replace(
        events, events=False, id=None, user=None, user_cap=None, maturity=None, category=None, categories=(),
        metrics=spec.measured_names,
    )  # fmt: skip


def known_or_pooled(names: SeriesNames, series: Sequence[Series], *, pool: bool) -> list[str | Pool]:
    """Return for each of `series` its name in a bundle's table, or with `pool` POOL for one that is not there.

    Raises UsageError, with all names that are not there, unless `pool`.
    """
    unknown = [one.name for one in series if not names.knows(one.name)]
    if len(unknown) == 1 and not pool:
        names.row(unknown[0])  # raises, with names that are alike
    if unknown and not pool:
        raise UsageError(
            f"{len(unknown):,} series of the log are not in this bundle: {_shown(unknown)}; leave them out of the log, "
            "or ask for the pool for what training never saw: pool=True (--pool)"
        )
    return [one.name if names.knows(one.name) else POOL for one in series]


def asked_for(
    names: SeriesNames, series: Sequence[Series], *, named: bool, name: str | None = None, pool: bool = False
) -> list[str | Pool]:
    """Return which series of a bundle's table each of `series`, read from a log, is forecast as.

    named  whether the log names its series itself, `names_its_series`: then each goes by its own name; the name of a
           file is never taken for that of a series
    name   the series in the table that a log of one series is of
    pool   forecast what training never saw by the pool

    Raises UsageError where that is not said, or not known.
    """
    if name is not None and pool:
        raise UsageError("a name and the pool are given; a series is forecast by one of them: leave one out")
    if name is not None and len(series) > 1:
        others = _shown([one.name for one in series])
        way = "leave it out, and each goes by its own name" if named else "forecast them one after the other"
        raise UsageError(f"{name[:60]!r} is the name of one series, and the log holds {len(series):,}: {others}; {way}")
    if name is not None:
        names.row(name)
        return [name]
    if named:
        return known_or_pooled(names, series, pool=pool)
    if pool:
        return [POOL] * len(series)
    raise UsageError(
        f"this bundle holds {len(names):,} series, and the log does not say which one it is of: pass the name of one, "
        f"--series {names.names[0]!r}, --pool for a series that training never saw, or --series-column for a log that "
        "names its series; `pulsecast inspect` lists them"
    )


def _shown(names: Sequence[str]) -> str:
    return ", ".join([*(repr(name[:60]) for name in names[:SHOWN]), *(["..."] if len(names) > SHOWN else [])])


def as_trained(manifest: Manifest) -> LogConfig:
    """Return how the training log was read, which the bundle's provenance records."""
    recorded = manifest.provenance.training.get("log")
    try:
        return LogConfig() if recorded is None else strict_json.parse(LogConfig, recorded, where="provenance")
    except FormatError:  # from a version with other options: the given options must be complete
        return LogConfig()


def check_series(spec: ModelSpec, series: Series) -> None:
    """Raise DataError unless `series` has the metrics and the step that a model of `spec` takes."""
    measured = spec.measured_names
    if series.metrics != measured:
        wanted = [name for name in measured if name not in series.metrics]
        spare = [name for name in series.metrics if name not in measured]
        named = " ".join(f"--column {name}={source}" for name, source in zip(wanted, spare, strict=False))
        raise DataError(
            f"series {series.name} has {', '.join(series.metrics)}; this model takes {', '.join(measured)}: pass "
            + (f"{named}, if it was trained on this" if named else f"--metric {' --metric '.join(measured)}")
        )
    if series.step_s != spec.step_s:
        raise DataError(
            f"series {series.name} has a step of {series.step_s} s; this model takes {spec.step_s} s: choose --step"
        )
