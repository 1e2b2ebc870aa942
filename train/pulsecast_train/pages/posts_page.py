"""What one post collects by hour and weekday: a page, or one picture. Slots of few posts are grey."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from pulsecast.foundation.tables import html_table

from ..rhythm.posts import SMALL, PostTimes, Slot
from ..rhythm.words import amount
from .document import STYLE, document, write_drawn
from .forecast_page import HEIGHT
from .pictures import DAYS, FORECAST, axes, factor_bar, png, svg

GREY = "#bbbbbb"


def write_posts(path: Path, found: PostTimes, words: Sequence[str]) -> None:
    """Write `found` to `path`, as a page or, if its name ends in .png, as a picture, in one step."""
    write_drawn(path, partial(posts_html, found, words), partial(posts_png, found), force=True)


def posts_png(found: PostTimes) -> bytes:
    """Return both pictures, one below the other."""

    def draw(figure: Any) -> None:
        rows = figure.subfigures(3, 1)
        draw_hours(rows[0], found)
        draw_days(rows[1], found)
        draw_week(rows[2], found)

    return png(draw, height=3 * HEIGHT)


def posts_html(found: PostTimes, words: Sequence[str]) -> str:
    """Return the page as one HTML document."""
    drawn = ((draw_hours, "by hour"), (draw_days, "by weekday"), (draw_week, "by hour of the week"))
    pictures = "".join(
        f"<figure>{svg(partial(draw, found=found), height=HEIGHT, label=f'{found.metric} per post {label}')}</figure>"
        for draw, label in drawn
    )
    rows = [
        (
            slot.name,
            *("" if value is None else amount(value) for value in (slot.median, slot.low, slot.high)),
            str(slot.posts),
        )
        for slot in (*found.hours, *found.days)
    ]
    said = "".join(f"<p>{escape(line)}</p>" for line in words)
    table = html_table((found.zone, "per post", "95 % from", "to", "posts"), rows)
    return document(
        "When to post",
        STYLE,
        f"<h1>When to post</h1><div class='verdict'>{said}</div>{pictures}<div class='scroll'>{table}</div>"
        f"<p class='note'>Grey: fewer than {SMALL} posts. Medians of log1p, each user's own median exchanged for the "
        "median of all users' medians; intervals of order statistics.</p>",
    )


def draw_hours(figure: Any, found: PostTimes) -> None:
    """Draw the median of each hour with its interval."""
    _draw(figure, found, found.hours, [str(hour) if hour % 3 == 0 else "" for hour in range(24)], f"hour, {found.zone}")


def draw_days(figure: Any, found: PostTimes) -> None:
    """Draw the median of each weekday with its interval."""
    _draw(figure, found, found.days, DAYS, "")


def _draw(figure: Any, found: PostTimes, slots: Sequence[Slot], ticks: Sequence[str], label: str) -> None:
    with axes(figure, "", f"{found.metric} per post") as ax:
        for at, slot in enumerate(slots):
            colour = GREY if slot.small else FORECAST
            if slot.low is not None and slot.high is not None:
                ax.vlines(at, slot.low, slot.high, color=colour, linewidth=2)
            if slot.median is not None:
                ax.plot([at], [slot.median], marker="o", markersize=4, color=colour)
        ax.axhline(found.typical, color="#666666", linewidth=0.9, linestyle="--")
        ax.set_xticks(range(len(slots)), ticks)
        ax.set_xlabel(label)
        ax.set_ylim(bottom=0)


def draw_week(figure: Any, found: PostTimes) -> None:
    """Draw the median of each hour of the week beside the typical one; grey where there are few posts."""
    ax = figure.add_subplot()
    ratio = np.array(
        [
            [np.nan if s.small or s.median is None else np.log2((s.median + 1) / (found.typical + 1)) for s in day]
            for day in found.week
        ]
    )
    few = np.array([[np.nan if s.posts == 0 or not s.small else 1.0 for s in day] for day in found.week])
    reach = max(float(np.nanmax(np.abs(ratio))) if np.isfinite(ratio).any() else 0.0, 1e-9)
    place: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest", "extent": (0, 24, 6.5, -0.5)}
    ax.imshow(few, cmap="Greys", vmin=0, vmax=4, **place)
    image = ax.imshow(ratio, cmap="RdBu_r", vmin=-reach, vmax=reach, **place)
    ax.set_yticks(range(7), DAYS)
    ax.set_xticks(range(0, 25, 3))
    ax.set_xlabel(f"hour, {found.zone}; grey: fewer than {SMALL} posts")
    factor_bar(figure, image, ax, reach)
