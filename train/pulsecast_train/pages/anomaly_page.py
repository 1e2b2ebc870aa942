"""What was unusual, seen: the last steps with those that were flagged, and every day and week beside what was usual."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from pulsecast.foundation.tables import html_table

from ..rhythm.usual import Period, sentence
from ..rhythm.words import amount
from .document import STYLE, document, write_drawn
from .forecast_page import DAY_S, HEIGHT, date_axis, stamps
from .pictures import FORECAST, OTHERS, TRUTH, axes, png, svg
from .watched import Watched

SHOWN_DAYS, SHOWN_PERIODS = 14, 120
FLAGGED = OTHERS[0]


def write_watched(path: Path, found: Sequence[Watched], *, force: bool) -> None:
    """Write all of `found` to `path`, as a page or, if its name ends in .png, as a picture, in one step."""
    write_drawn(path, partial(watched_html, found), partial(watched_png, found), force=force)


def watched_html(found: Sequence[Watched]) -> str:
    """Return the page as one HTML document."""
    return document("What was unusual", STYLE, f"<h1>What was unusual</h1>{''.join(_part(one) for one in found)}")


def watched_png(found: Sequence[Watched]) -> bytes:
    """Return the pictures of all of `found`, one below the other."""

    def draw(figure: Any) -> None:
        rows = figure.subfigures(2 * len(found), 1, squeeze=False)[:, 0]
        for i, one in enumerate(found):
            draw_steps(rows[2 * i], one)
            draw_days(rows[2 * i + 1], one)

    return png(draw, height=2 * HEIGHT * len(found))


def _part(one: Watched) -> str:
    said = "".join(f"<p>{escape(line)}</p>" for line in one.words)
    steps = svg(partial(draw_steps, one=one), height=HEIGHT, label=f"{one.series}: steps and their interval")
    days = svg(partial(draw_days, one=one), height=HEIGHT, label=f"{one.series}: days beside the usual ones")
    tables = "".join(
        f"<h3>{name}</h3><div class='scroll'>{html_table(('', 'a step', 'usual', 'verdict'), _rows(found))}</div>"
        for name, found in (("Weeks", one.weeks), ("Days", one.days))
    )
    return (
        f"<h2>{escape(one.series)}</h2><div class='verdict'>{said}</div><figure>{steps}</figure>"
        f"<figure>{days}</figure>{tables}"
    )


def _rows(found: Sequence[Period]) -> list[tuple[str, ...]]:
    return [
        (
            sentence(one).partition(":")[0],
            "" if one.mean is None else amount(one.mean),
            "" if one.low is None or one.high is None else f"{amount(one.low)} to {amount(one.high)}",
            one.verdict,
        )
        for one in reversed(found[-SHOWN_PERIODS:])
    ]


def draw_steps(figure: Any, one: Watched) -> None:
    """Draw the steps of the last days with the interval that each was judged by, and those that were flagged."""
    seconds = one.steps["seconds"]
    recent = seconds > seconds[-1] - SHOWN_DAYS * DAY_S
    when = np.array(stamps(seconds[recent], one.zone))
    value, lower, upper, flagged = (one.steps[name][recent] for name in ("value", "lower", "upper", "anomalous"))
    with axes(figure, f"{one.series}: step by step", one.column) as ax:
        ax.fill_between(when, lower, upper, color=FORECAST, alpha=0.2, linewidth=0, label="ordinary")
        ax.plot(when, value, color=TRUTH, linewidth=0.9, label="measured")
        ax.plot(
            when[flagged], value[flagged], color=FLAGGED, marker="o", markersize=4, linestyle="none", label="flagged"
        )
        ax.set_ylim(top=1.15 * max(float(np.nanmax(value)), float(np.nanpercentile(upper, 95))))
        if np.nanmin(value) >= 0:
            ax.set_ylim(bottom=0)
        date_axis(ax)
        ax.set_xlabel(one.zone)
        figure.legend(loc="outside lower center", ncols=3)


def draw_days(figure: Any, one: Watched) -> None:
    """Draw the mean of each day over what was usual for its weekday; a day without a verdict is an empty dot."""
    shown = [day for day in one.days if day.mean is not None][-SHOWN_PERIODS:]
    when = np.array([day.first for day in shown], "datetime64[D]")
    mean = np.array([day.mean for day in shown], np.float64)
    odd = np.array([day.verdict in ("higher", "lower") for day in shown], bool)
    known = np.array([day.usual is not None for day in shown], bool)
    with axes(figure, f"{one.series}: day by day", f"{one.column} a step") as ax:
        ranges = [
            (w, d.low, d.high) for w, d in zip(when, shown, strict=True) if d.low is not None and d.high is not None
        ]
        if ranges:
            at, low, high = zip(*ranges, strict=True)
            ax.vlines(at, low, high, color=FORECAST, alpha=0.3, linewidth=4, label="usual")
        for which, face, label in (
            (known & ~odd, TRUTH, "as usual"),
            (~known, "none", "too early"),
            (odd, FLAGGED, "unusual"),
        ):
            if which.any():
                edge = FLAGGED if label == "unusual" else TRUTH
                ax.plot(
                    when[which], mean[which], marker="o", markersize=4, linestyle="none", markerfacecolor=face,
                    markeredgecolor=edge, label=label,
                )  # fmt: skip
        if len(mean) and mean.min() >= 0:
            ax.set_ylim(bottom=0)
        date_axis(ax)
        figure.legend(loc="outside lower center", ncols=4)
