"""A comparison as text for a terminal, or as Markdown to paste into a pull request."""

from __future__ import annotations

from pulsecast.foundation.tables import html_table

from ..analysis.statistics import Estimate
from ..reporting.table import MISSING, aligned, grid, number, span
from .baseline import BaselineCheck, Checked
from .compare import CaseRatio, Comparison

Table = tuple[tuple[str, ...], list[list[str]]]
_CASES = ("artifact", "batch or call", "threads", "first us", "second us", "second / first", "")
_ARTIFACTS = ("artifact", "cold start", "peak memory", "size", "call over bare", "RMSE")
_RATIOS = ("artifact", "over", "baseline", "now", "now / baseline", "")


def comparison_text(found: Comparison, *, markdown: bool) -> str:
    """Return the comparison with its rule and its outcome."""
    title = f"{found.second} over {found.first}"
    tables = [(_CASES, [_case(one) for one in found.cases]), (_ARTIFACTS, _artifacts(found))]
    notes = [*(f"lost: {case} failed in {found.second}" for case in found.lost), *found.notes]
    return _laid_out(title, tables, [outcome(found), *_reasons(found), *notes], markdown=markdown)


def baseline_text(found: BaselineCheck, *, markdown: bool) -> str:
    """Return the check against a baseline with its outcome."""
    rows = [_checked(one) for one in found.ratios]
    notes = [f"not in the result: {', '.join(found.missing)}"] if found.missing else []
    return _laid_out("ratios over the baseline's", [(_RATIOS, rows)], [outcome(found), *notes], markdown=markdown)


def ratio_table(found: Comparison | BaselineCheck) -> str:
    """Return the ratios for a notebook."""
    if isinstance(found, Comparison):
        return html_table(_CASES, [_case(one) for one in found.cases], caption=outcome(found))
    return html_table(_RATIOS, [_checked(one) for one in found.ratios], caption=outcome(found))


def outcome(found: Comparison | BaselineCheck) -> str:
    """Return the outcome, with the rule."""
    rule = f"slower means: the whole 95 % interval lies above {found.max_slowdown:g}"
    total = len(found.cases if isinstance(found, Comparison) else found.ratios)
    parts = []
    if found.slower:
        parts.append(f"{len(found.slower)} of {total} are slower")
    if found.not_judged:
        parts.append(f"{len(found.not_judged)} of {total} cannot be judged: fewer than five processes on a side")
    return f"{'; '.join(parts) or f'none of {total} is slower'} ({rule})"


def _case(one: CaseRatio) -> list[str]:
    case = one.case
    state = f"{one.state}, {one.unstable} unstable" if one.unstable else one.state
    times = [number(one.first_ns.value, 1e-3), number(one.second_ns.value, 1e-3)]
    what = str(case.batch) if case.call == "predict" else case.call
    return [case.artifact, what, str(case.threads), *times, span(one.ratio, "x"), state]


def _checked(one: Checked) -> list[str]:
    return [one.name, one.over, span(one.then, "x"), span(one.now, "x"), span(one.change, "x"), one.state]


def _artifacts(found: Comparison) -> list[list[str]]:
    return [
        [
            one.artifact,
            span(one.cold_start, "x"),
            span(one.peak, "x"),
            MISSING if one.size is None else f"{one.size:.2f}x",
            span(one.bare, "x"),
            MISSING if one.rmse_change is None else span(one.rmse_change, "%"),
        ]
        for one in found.artifacts
    ]


def _reasons(found: Comparison) -> list[str]:
    missing: list[Estimate] = [one.ratio for one in found.not_judged]
    return list(dict.fromkeys(one.reason for one in missing if one.reason))


def _laid_out(title: str, tables: list[Table], notes: list[str], *, markdown: bool) -> str:
    if markdown:
        parts = [f"### {title}", *(grid(head, rows) for head, rows in tables), "\n".join(f"* {n}" for n in notes)]
        return "\n\n".join(parts)
    parts = [title, *("\n".join(aligned([head, *rows])) for head, rows in tables), "\n".join(notes)]
    return "\n\n".join(parts)
