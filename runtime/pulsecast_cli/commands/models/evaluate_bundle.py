"""`pulsecast evaluate --bundle`: the metrics of an evaluation through every artifact of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import UsageError

from ...logs.options import LogOptions
from ...logs.reading import read_as_trained
from ...terminal.output import table, tell

if TYPE_CHECKING:
    from pulsecast_train.backtesting.artifacts import ArtifactScore, BundleScores

HELDOUT = 0.2  # tested where the bundle does not say what was held out


def evaluate_bundle(
    logs: list[Path], path: Path, log: LogOptions, *, interval: float, key: Path | None, trust_code: bool
) -> BundleScores:
    """Read the logs, as the training log was unless `log` says otherwise, and score every artifact."""
    from pulsecast_train.backtesting.artifacts import score_bundle

    if not 0 < interval < 1:
        raise UsageError(f"interval is {interval}; expected a number between 0 and 1, such as 0.9")
    bundle = Bundle.open(path, key=key)
    manifest = bundle.manifest
    series, report = read_as_trained(logs, manifest, log)
    tell(report.text())
    config = manifest.provenance.training.get("config")
    held = config.get("heldout_fraction") if isinstance(config, dict) else None
    tested = held if isinstance(held, float) and 0 < held < 1 else HELDOUT
    return score_bundle(bundle, series, tested=tested, interval=interval, trust_code=trust_code)


def scores_text(found: BundleScores) -> str:
    """Return the table of all artifacts, and whether they reproduce the reference."""
    from pulsecast_train.backtesting.artifacts import NAIVE_NAME, REPRODUCED

    naive = next(score.errors.mae for score in found.scores if score.name == NAIVE_NAME)
    rows = [_row(score, naive) for score in found.scores]
    head = (
        "forecast", "MAE", "MAE/last", "RMSE", "MASE", "RMSSE", "sMAPE", "bias", f"in {found.interval:.0%}",
        "largest change",
    )  # fmt: skip
    skipped = [f"{name}: skipped, {reason}" for name, reason in found.skipped.items()]
    failed = [score.name for score in found.scores if not score.reproduced]
    by_chance = [
        f"{score.name}: its coverage differs by {score.changes['coverage']:+.1%}, which may be chance "
        f"(sign test over the values that only one of the two covers, p = {score.chance:.2f})"
        for score in found.scores
        if score.reproduced and abs(score.changes.get("coverage", 0.0)) > REPRODUCED
    ]
    within = f"within {REPRODUCED:.0%}"
    verdict = (
        f"NOT {within} of the reference: {', '.join(failed)}"
        if failed
        else f"every artifact that ran reproduces every metric {within}{' or chance' if by_chance else ''}"
    )
    return "\n".join(
        [
            f"the last {found.tested:.0%} of {', '.join(found.series)}: {found.forecasts:,} forecasts, raw units",
            table(head, rows),
            *skipped,
            *by_chance,
            verdict,
        ]
    )


def _row(score: ArtifactScore, naive_mae: float) -> tuple[str, ...]:
    errors = score.errors
    worst = max(score.changes.items(), key=lambda item: abs(item[1]), default=None)
    return (
        score.name.replace("_", " "),
        f"{errors.mae:,.5g}",
        f"{errors.mae / naive_mae:.4f}" if naive_mae > 0 else "-",
        f"{errors.rmse:,.5g}",
        "-" if errors.mase is None else f"{errors.mase:.4f}",
        "-" if errors.rmsse is None else f"{errors.rmsse:.4f}",
        f"{errors.smape:.2f}",
        f"{errors.bias:+,.3g}",
        "-" if score.coverage is None else f"{score.coverage:.1%}",
        "" if worst is None else f"{worst[1]:+.3%} {worst[0]}",
    )
