"""The options of `predict` for many files: where they are forecast, and what it means if some are not."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from pulsecast.errors import UsageError

from ...logs.options import LogOptions
from ...logs.series_options import SeriesOptions
from ...terminal.options import ModelOptions, under
from ...terminal.output import Format, progress, show, tell

_option = under("Many files")
SUFFIXES = (".parquet", ".csv")
FAILED = 1


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """How many files are forecast; one that is given makes a batch of any `--input`."""

    jobs: Annotated[int | None, _option("--jobs", "Local processes; 0, the default, is one per core.")] = None
    dask: Annotated[
        str | None, _option("--dask", "Dask scheduler, such as tcp://host:8786; its workers see the same paths.")
    ] = None
    by_file: Annotated[
        bool, _option("--series-by-file", "Each file is the series of its own name in a bundle of several.")
    ] = False
    skip_bad: Annotated[
        bool, _option("--skip-bad", "Exit with 0 even if some files or series could not be forecast.")
    ] = False

    def is_asked(self, out: Path | None) -> bool:
        """Return whether an option, or the ending of `out`, makes this a batch."""
        return self != ONE_LOG or (out is not None and out.suffix == ".parquet")

    def table(self, out: Path | None, clock: str, bundle: Path, inputs: Sequence[str]) -> Path:
        """Return `out`; raises UsageError unless it is a table, with a command that works."""
        if clock != "UTC":
            raise UsageError("times of a table are in UTC; --clock is for pages and pictures: leave it out")
        if out is None or out.suffix not in SUFFIXES:
            words = ["pulsecast", "predict", str(bundle)]
            for one in inputs:
                words += ["--input", one]
            raise UsageError(
                f"forecasts of many files are written to a table, .parquet or .csv: {shlex.join(words)} --out "
                "forecasts.parquet"
            )
        return out

    def run(
        self, bundle: Path, logs: Sequence[Path], out: Path, of: SeriesOptions, model: ModelOptions,
        log: LogOptions, *, force: bool, format_: Format, **wanted: Any,
    ) -> None:  # fmt: skip
        """Forecast the files, and print what came of it; exit with 1 if some could not be forecast."""
        from pulsecast_train import predict_logs
        from pulsecast_train.predicting.result import failure_lines

        with progress() as heard:
            found = predict_logs(
                bundle, logs, out=out, changes=log.changes(), series=of.known_as, pool=of.pool, by_file=self.by_file,
                jobs=self.jobs or 0, dask=self.dask, force=force, progress=heard, **vars(model), **wanted,
            )  # fmt: skip
        show(format_, text=repr(found), document={"command": "predict", "batch": found})
        for line in failure_lines(found.failures, found.notes or ""):
            tell(f"not forecast: {line}")
        if found.failures and not self.skip_bad:
            raise typer.Exit(FAILED)


ONE_LOG = BatchOptions()
