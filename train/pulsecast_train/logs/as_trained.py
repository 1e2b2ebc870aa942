"""Reading a log for a bundle: as its training log was read; refused unless it fits the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pulsecast.bundle.manifest import Manifest
from pulsecast.errors import DataError, FormatError
from pulsecast.foundation import strict_json
from pulsecast.foundation.arguments import StrPath, with_changes
from pulsecast.model.spec import ModelSpec
from pulsecast.stages.progress import SILENT, Progress

from ..series import Series
from .config import LogConfig
from .reader import ReadLog, read_log


def read_as_trained(
    logs: StrPath | Sequence[StrPath],
    manifest: Manifest,
    changes: Mapping[str, object] | None = None,
    *,
    progress: Progress = SILENT,
) -> ReadLog:
    """Return the result of `read_log` with the training log's configuration, changed by `changes` to `LogConfig`.

    Raises DataError unless every series has the metrics and the step that the model takes.
    """
    config = with_changes(as_trained(manifest), changes or {})
    found = read_log(logs, config, progress=progress, as_trained=True)
    for one in found.series:
        check_series(manifest.spec, one)
    return found


def as_trained(manifest: Manifest) -> LogConfig:
    """Return how the training log was read, which the bundle's provenance records."""
    recorded = manifest.provenance.training.get("log")
    try:
        return LogConfig() if recorded is None else strict_json.parse(LogConfig, recorded, where="provenance")
    except FormatError:  # from a version with other options: the given options must be complete
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
            + (f"{named}, if it was trained on this" if named else f"--metric {' --metric '.join(measured)}")
        )
    if series.step_s != spec.step_s:
        raise DataError(
            f"series {series.name} has a step of {series.step_s} s; this model takes {spec.step_s} s: choose --step"
        )
