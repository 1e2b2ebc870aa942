"""Reading a log for a command: with progress, as the options say, or as a bundle's training log was read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pulsecast.errors import DataError, FormatError
from pulsecast.foundation import strict_json

from ..terminal.output import progress, tell
from .options import LogOptions

if TYPE_CHECKING:
    from pulsecast.bundle.manifest import Manifest
    from pulsecast.model.spec import ModelSpec
    from pulsecast_train.logs.config import LogConfig
    from pulsecast_train.logs.data_report import DataReport
    from pulsecast_train.recipes.train_config import RunConfig
    from pulsecast_train.series import Series

    Read = tuple[tuple[Series, ...], DataReport]

SHOWN_FROM_BYTES = 64 << 20  # smaller logs are read before a bar is seen


@contextmanager
def reading() -> Iterator[Callable[[int, int], None]]:
    """Yield what is to hear of bytes read; it shows them in percent, for logs large enough that one waits."""
    with progress("reading") as steps:
        done = shown = 0

        def on_bytes(count: int, total: int) -> None:
            nonlocal done, shown
            done += count
            while total >= SHOWN_FROM_BYTES and shown < min(100 * done // total, 100):
                shown += 1
                steps.advance("%", 100)

        yield on_bytes


def configured(config: Path | None, options: LogOptions, training: dict[str, object] | None = None) -> RunConfig:
    """Return what the TOML file says, if there is one, changed by the options of the command line."""
    from pulsecast_train.recipes.train_config import RunConfig, read_config, with_changes

    run = read_config(config) if config else RunConfig()
    return RunConfig(log=with_changes(run.log, options.changes()), train=with_changes(run.train, training or {}))


def read_with(logs: list[Path], config: LogConfig, *, user_key: bytes | None = None, as_trained: bool = False) -> Read:
    """Return the series in `logs` and the report of what was found in them, as `read_log` does."""
    from pulsecast_train.logs.reader import read_log

    with reading() as on_bytes:
        return read_log(logs, config, on_bytes=on_bytes, user_key=user_key, as_trained=as_trained)


def read_as_trained(logs: list[Path], manifest: Manifest, options: LogOptions) -> Read:
    """Return what `read_with` does, read as the training log was unless an option says otherwise.

    Raises DataError unless every series has the metrics and the step that the model takes.
    """
    from pulsecast_train.recipes.train_config import with_changes

    series, report = read_with(logs, with_changes(as_trained(manifest), options.changes()), as_trained=True)
    for one in series:
        check_series(manifest.spec, one)
    return series, report


def tell_findings(report: DataReport) -> None:
    """Say what was repaired, a line each."""
    for finding in report.findings:
        tell(f"{finding.rows:,} {finding.policy}: {finding.sentence}")


def as_trained(manifest: Manifest) -> LogConfig:
    """Return how the training log was read, which the bundle's provenance records."""
    from pulsecast_train.logs.config import LogConfig

    recorded = manifest.provenance.training.get("log")
    try:
        return LogConfig() if recorded is None else strict_json.parse(LogConfig, recorded, where="provenance")
    except FormatError:  # made by a version with other options: the options given have to say it all
        return LogConfig()


def check_series(spec: ModelSpec, series: Series) -> None:
    """Raise DataError unless `series` has the metrics and the step that a model of `spec` takes."""
    measured = tuple(feature.name for feature in spec.features[: spec.measured])
    if series.metrics != measured:
        wanted = [name for name in measured if name not in series.metrics]
        spare = [name for name in series.metrics if name not in measured]
        named = " ".join(f"--column {name}={source}" for name, source in zip(wanted, spare, strict=False))
        raise DataError(
            f"series {series.name} has {', '.join(series.metrics)}; this model takes {', '.join(measured)}: pass "
            + (f"{named}, if that is what it was trained on" if named else f"--metric {' --metric '.join(measured)}")
        )
    if series.step_s != spec.step_s:
        raise DataError(
            f"series {series.name} has a step of {series.step_s} s; this model takes {spec.step_s} s: choose --step"
        )
