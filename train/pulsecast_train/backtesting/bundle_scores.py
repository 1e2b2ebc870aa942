"""The scores of a bundle's artifacts: records, and whether they reproduce the reference, in words."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from pulsecast.foundation.tables import html_table, text_table

from .metrics import PointErrors

REPRODUCED = 0.01  # largest change of any metric against the reference's
CHANCE = 0.05  # least probability at which a coverage that differs by more is still the same one
REFERENCE_NAME, NAIVE_NAME = "reference", "last_value"


@dataclass(frozen=True, kw_only=True)
class ArtifactScore:
    """One artifact, the float64 reference or the last value, over all series.

    coverage  of rolling intervals; None for the last value, or with too few residuals
    changes   of each metric against the reference's: relative, that of the bias to the reference's MAE, that of the
              coverage as it is; empty for the reference and the last value
    chance    probability of such a difference in coverage if both cover alike: the exact sign test over the values that
              only one of the two covers (McNemar's), because three of some hundred values already change a share by 1 %
    """

    name: str
    engine: str
    errors: PointErrors
    coverage: float | None = None
    changes: dict[str, float] = dataclasses.field(default_factory=dict)
    chance: float | None = None

    @property
    def reproduced(self) -> bool:
        """True if no metric changed by more than REPRODUCED, a coverage beyond chance as well; NaN has."""
        changed = {name for name, change in self.changes.items() if not abs(change) <= REPRODUCED}
        return not changed or (changed == {"coverage"} and self.chance is not None and self.chance >= CHANCE)


@dataclass(frozen=True, kw_only=True, repr=False)
class BundleScores:
    """How a bundle's artifacts forecast the last `tested` part of series; reference and last value come first.

    skipped  artifacts that were not run, with the reason
    pooled   those of `series` that are not in the bundle's table and were forecast by the pool's row
    """

    bundle: str
    series: tuple[str, ...]
    tested: float
    forecasts: int
    interval: float
    scores: tuple[ArtifactScore, ...]
    skipped: dict[str, str]
    pooled: tuple[str, ...] = ()

    @property
    def reproduced(self) -> bool:
        """Whether every artifact that ran reproduces every metric."""
        return all(score.reproduced for score in self.scores)

    def __repr__(self) -> str:
        failed = [score.name for score in self.scores if not score.reproduced]
        by_chance = [
            f"{score.name}: its coverage differs by {score.changes['coverage']:+.1%}, which may be chance "
            f"(sign test over the values that only one of the two covers, p = {score.chance:.2f})"
            for score in self.scores
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
                f"the last {self.tested:.0%} of {', '.join(self.series)}: {self.forecasts:,} forecasts, raw units",
                *([f"by the pool, as series that training never saw: {', '.join(self.pooled)}"] if self.pooled else []),
                text_table(*self._table()),
                *(f"{name}: skipped, {reason}" for name, reason in self.skipped.items()),
                *by_chance,
                verdict,
            ]
        )

    def _repr_html_(self) -> str:
        return html_table(*self._table())

    def _table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        naive = next(score.errors.mae for score in self.scores if score.name == NAIVE_NAME)
        head = (
            "forecast", "MAE", "MAE/last", "RMSE", "MASE", "RMSSE", "sMAPE", "bias", f"in {self.interval:.0%}",
            "largest change",
        )  # fmt: skip
        return head, [_row(score, naive) for score in self.scores]


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
