"""How a command line's options and TOML file become a configuration, and the report on a log."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pulsecast.errors import MissingExtraError, UsageError
from pulsecast.foundation.arguments import with_changes
from pulsecast.foundation.whole_file import check_file_free

from ..terminal.output import tell
from .options import LogOptions

if TYPE_CHECKING:
    from pulsecast_train.logs.data_report import DataReport
    from pulsecast_train.recipes.train_config import RunConfig


def configured(config: Path | None, options: LogOptions, training: dict[str, object] | None = None) -> RunConfig:
    """Return the configuration of the TOML file, if there is one, changed by the options of the command line."""
    from pulsecast_train import RunConfig, read_config

    run = read_config(config) if config else RunConfig()
    return RunConfig(log=with_changes(run.log, options.changes()), train=with_changes(run.train, training or {}))


def tell_findings(report: DataReport) -> None:
    """Print every repair, and every warning, on a line of its own."""
    for finding in report.findings:
        tell(f"{finding.rows:,} {finding.policy}: {finding.sentence}")
    for warning in report.warnings:
        tell(f"warning: {warning}")


def check_out(
    out: Path | None, suffixes: Sequence[str], clock: str = "UTC", *, force: bool, read: Iterable[Path]
) -> None:
    """Raise what is wrong with a file to write, before a long log is `read`: its name, its place, what draws it."""
    if clock != "UTC":
        from pulsecast_train.zones import check_zone

        check_zone("clock", clock)
    if out is None:
        return
    if out.suffix not in suffixes:
        *first, last = suffixes
        raise UsageError(f"out is {out.name}; expected a name that ends in {', '.join(first)} or {last}")
    check_file_free(out, force=force, read=read)
    if out.suffix in (".html", ".png") and importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError(
            f"{out.suffix} needs matplotlib, which is not installed: pip install 'pulsecast[evaluate]'"
        )
