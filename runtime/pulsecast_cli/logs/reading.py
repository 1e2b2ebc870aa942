"""How a command line's options and TOML file become a configuration, and the report on a log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pulsecast.foundation.arguments import with_changes

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
