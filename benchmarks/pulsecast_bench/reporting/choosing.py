"""The choice, in words: the front, the verdicts, and the recommendation within a budget."""

from __future__ import annotations

from ..analysis.pareto import LATENCY_TIE, RMSE_TIE, Budget, Recommendation, recommend
from ..analysis.summary import Row, Summary, points
from ..analysis.verdicts import ALIKE, FASTER, MAX_RMSE_CHANGE, SLOWER, SMALLER
from .section import Measured, Section
from .table import MISSING, VERDICT_HEAD, number, verdict_rows


def recommendation(part: Measured, budget: Budget) -> Recommendation:
    """Return which artifact of the bundle to take; peers are not candidates."""
    peers = {subject.artifact for subject in part.result.subjects if subject.kind == "peer"}
    return recommend([point for point in points(part.summary.rows) if point.artifact not in peers], budget)


def recommendation_section(part: Measured, budget: Budget) -> Section:
    """Return the recommendation in words."""
    return Section(title=f"Recommendation for {_budget_text(budget)}", text=tuple(recommended(part, budget)))


def _budget_text(budget: Budget) -> str:
    limits = []
    if budget.latency_us is not None:
        limits.append(f"p50 up to {budget.latency_us:g} us")
    if budget.rmse_change is not None:
        limits.append(f"RMSE up to {budget.rmse_change:+.2%}")
    if budget.size_kb is not None:
        limits.append(f"size up to {budget.size_kb:g} kB")
    return ", ".join(limits)


def recommended(part: Measured, budget: Budget) -> list[str]:
    """Return the recommendation as sentences."""
    found = recommendation(part, budget)
    rows = {row.artifact: row for row in part.summary.rows}
    if found.artifact:
        first = f"Take {_described(rows[found.artifact])}."
        others = f" Also within it, in this order: {', '.join(found.fits[1:])}." if found.fits[1:] else ""
        sentences = [first + others]
    elif found.nearest:
        over = "; ".join(excess.text for excess in found.excess)
        sentences = [f"Nothing fits. Nearest is {_described(rows[found.nearest])}: {over}."]
    else:
        sentences = ["Nothing fits."] if found.unstable else ["No measured artifact can be recommended."]
    if found.unstable:
        sentences.append(f"Would fit, but unstable: {', '.join(found.unstable)}; measure on a quiet machine.")
    chosen = rows.get(found.artifact or found.nearest or "")
    if chosen and chosen.leading and chosen.leading.p50_ns.low is None:
        sentences.append("Judged by values without intervals (too few processes): a first look, not a decision.")
    sentences.append(
        "Rule: the upper end of each interval is within the budget; of these the fastest, and among those within "
        f"{LATENCY_TIE - 1:.0%} of it the smallest, then the most accurate."
    )
    return sentences


def _described(row: Row) -> str:
    p50 = number(row.leading.p50_ns.value, 1e-3) if row.leading else MISSING
    change = f"{row.fidelity.rmse_change:+.2%}" if row.fidelity else MISSING
    return f"{row.artifact} ({p50} us, RMSE {change}, {number(row.size_bytes, 1e-3)} kB)"


def choices_section(summary: Summary) -> Section:
    """Return the front and the verdicts, with their rules."""
    front = (
        f"Not beaten in p50, RMSE and size together: {', '.join(summary.front) or 'no fully measured artifact'}. "
        f"Latencies within {LATENCY_TIE - 1:.0%} and RMSEs within {RMSE_TIE - 1:.1%} count as equal."
    )
    rule = (
        "The rule: against the float32 artifact of the same engine, in the same rounds and on the same windows. No, if "
        f"the interval of the RMSE change lies above {MAX_RMSE_CHANGE:+.0%}; cannot tell, if it holds that. Otherwise "
        f"yes, if the time ratio's interval lies below {FASTER:g}; for size, if it lies within {ALIKE[0]:g} and "
        f"{ALIKE[1]:g} and the file has at most {SMALLER:g} of the size; no, unless size decides, if it lies above "
        f"{SLOWER:g}; cannot tell in between, or without an interval."
    )
    if not summary.verdicts:
        return Section(title="What to choose from", text=(front,), picture="pareto")
    head = (*VERDICT_HEAD, "why")
    rows = [[*row, one.why] for row, one in zip(verdict_rows(summary), summary.verdicts, strict=True)]
    return Section(title="What to choose from", text=(front, rule), grids=((head, rows),), picture="pareto")
