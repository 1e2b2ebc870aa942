"""What comes, seen: the forecast after a log with its interval, behind the last steps; a page, or one picture."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.bundle.manifest import Manifest
from pulsecast.foundation.tables import html_table
from pulsecast.model.windows import FORECAST as FORECAST_COLUMN
from pulsecast.model.windows import LOWER, UPPER

from ..logs.config import step_text
from ..predicting.after_log import SeriesForecasts
from ..rhythm.words import amount
from ..series import Series
from ..zones import check_zone
from .document import STYLE, document, write_drawn
from .pictures import FORECAST, TRUTH, axes, png, svg

HEIGHT = 3.0
SHOWN_DAYS, LEAST_SHOWN, MOST_SHOWN = 7, 48, 400  # of the past; the last two in steps
DAY_S = 86400


@dataclass(frozen=True, kw_only=True, eq=False)
class Outlook:
    """The forecast after one series.

    column   name of the forecast column
    zone     whose clock the dates are of
    seconds, values  unix seconds and raw values of the steps before, each (steps,); a missing one is NaN
    ahead    unix seconds of the steps forecast, (horizon,)
    forecast (horizon,), and at `level` its bounds; without a level there are none
    """

    series: str
    column: str
    zone: str
    step_s: int
    seconds: NDArray[np.int64]
    values: NDArray[np.float64]
    ahead: NDArray[np.int64]
    forecast: NDArray[np.float64]
    lower: NDArray[np.float64] | None
    upper: NDArray[np.float64] | None
    level: float | None


def outlook(found: SeriesForecasts, series: Series, manifest: Manifest, *, zone: str, level: float | None) -> Outlook:
    """Return the last forecast of `series` as it is drawn; `level` is that of the bounds in `found`."""
    spec, stamps = manifest.spec, series.timestamps_s()
    last = {name: answer[-1].astype(np.float64) for name, answer in found.answers.items()}
    return Outlook(
        series=found.name,
        column=spec.features[0].name,
        zone=zone,
        step_s=spec.step_s,
        seconds=stamps,
        values=series.values[:, 0],
        ahead=stamps[-1] + spec.step_s * np.arange(1, spec.horizon + 1),
        forecast=last[FORECAST_COLUMN],
        lower=last.get(LOWER),
        upper=last.get(UPPER),
        level=level,
    )


def write_outlooks(path: Path, found: Sequence[Outlook], *, force: bool) -> None:
    """Write all of `found` to `path`, as a page or, if its name ends in .png, as a picture, in one step."""
    write_drawn(path, partial(outlooks_html, found), partial(outlooks_png, found), force=force)


def outlooks_html(found: Sequence[Outlook]) -> str:
    """Return the page as one HTML document."""
    return document("What comes", STYLE, f"<h1>What comes</h1>{''.join(_part(one) for one in found)}")


def outlooks_png(found: Sequence[Outlook]) -> bytes:
    """Return the pictures of all of `found`, one below the other."""

    def draw(figure: Any) -> None:
        for rows, one in zip(figure.subfigures(len(found), 1, squeeze=False)[:, 0], found, strict=True):
            draw_outlook(rows, one)

    return png(draw, height=HEIGHT * len(found))


def words(one: Outlook) -> str:
    """Return the forecast of the next step, and of the highest one, as a sentence."""
    first = f"{date_text(one.ahead[0], one)}: {_with_bounds(one, 0)}."
    if len(one.forecast) == 1:
        return first
    top = int(np.argmax(one.forecast))
    most = f"{date_text(one.ahead[top], one)}: {_with_bounds(one, top)}"
    return f"{first} The highest of the {len(one.forecast)} steps, {most}."


def _with_bounds(one: Outlook, at: int) -> str:
    said = f"{one.column} {amount(one.forecast[at])}"
    if one.lower is None or one.upper is None or one.level is None:
        return said
    return f"{said}, and with {100 * one.level:g} % between {amount(one.lower[at])} and {amount(one.upper[at])}"


def _part(one: Outlook) -> str:
    picture = svg(partial(draw_outlook, one=one), height=HEIGHT, label=words(one))
    bounded = one.lower is not None and one.upper is not None
    rows = [
        (
            date_text(one.ahead[i], one),
            amount(one.forecast[i]),
            *((amount(one.lower[i]), amount(one.upper[i])) if bounded else ()),  # type: ignore[index]
        )
        for i in range(len(one.ahead))
    ]
    head = (f"from, {one.zone}", one.column, *(("lower", "upper") if bounded else ()))
    return (
        f"<h2>{escape(one.series)}</h2><p class='verdict'>{escape(words(one))}</p><figure>{picture}</figure>"
        f'<div class="scroll">{html_table(head, rows)}</div>'
    )


def draw_outlook(figure: Any, one: Outlook) -> None:
    """Draw the last steps, and the forecast with its interval behind them, over dates on the clock of the zone."""
    kept = min(MOST_SHOWN, max(LEAST_SHOWN, 3 * len(one.ahead), SHOWN_DAYS * DAY_S // one.step_s))
    past, values = stamps(one.seconds[-kept:], one.zone), one.values[-kept:]
    ahead = stamps(one.ahead, one.zone)
    with axes(figure, one.series, f"{one.column} per {step_text(one.step_s)}") as ax:
        ax.plot(past, values, color=TRUTH, linewidth=1.1, label="so far")
        alone = len(ahead) == 1
        if one.lower is not None and one.upper is not None and one.level is not None:
            label = f"{100 * one.level:g} % of steps"
            if alone:
                ax.vlines(ahead, one.lower, one.upper, color=FORECAST, alpha=0.35, linewidth=6, label=label)
            else:
                ax.fill_between(ahead, one.lower, one.upper, color=FORECAST, alpha=0.2, linewidth=0, label=label)
        ax.plot(ahead, one.forecast, color=FORECAST, linewidth=1.8, marker="o" if alone else None, label="forecast")
        date_axis(ax)
        ax.set_xlabel(one.zone)
        if np.nanmin(values) >= 0:
            ax.set_ylim(bottom=0)
        ax.margins(x=0.02)
        figure.legend(loc="outside lower center", ncols=3)


def date_axis(ax: Any) -> None:
    """Write few dates below a picture, days with their weekday."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(maxticks=6)
    formatter = ConciseDateFormatter(locator)
    formatter.formats[2] = "%a %d"
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(formatter)


def stamps(seconds: NDArray[np.int64], zone: str) -> list[datetime.datetime]:
    """Return the times on the zone's clock, without a zone: matplotlib would turn them back into UTC."""
    return [_local(one, zone).replace(tzinfo=None) for one in seconds]


def _local(seconds: int | np.integer, zone: str) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(seconds), check_zone("clock", zone))


def date_text(seconds: int | np.integer, one: Outlook) -> str:
    """Return a date as people say it: with the hour only where steps are shorter than a day."""
    return _local(seconds, one.zone).strftime("%a %d %b %Y" if one.step_s % DAY_S == 0 else "%a %d %b %H:%M")
