"""The rhythm as pictures: one self-contained HTML page, or one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ..rhythm.cycles import CLEAR, HOUR_S, STRONG, SURE, Cycle, Rhythm
from ..rhythm.words import words
from .document import STYLE, document, write_drawn
from .pictures import DAYS, FORECAST, OTHERS, axes, factor_bar, png, svg

HEIGHT = 2.6


def write_page(path: Path, found: Sequence[Rhythm]) -> None:
    """Write all of `found` to `path`, as a page or, if its name ends in .png, as a picture, in one step."""
    write_drawn(path, partial(page_html, found), partial(page_png, found), force=True)


def page_html(found: Sequence[Rhythm]) -> str:
    """Return the page as one HTML document."""
    notes = (
        "Levels are means of an hour (or step), as logarithms if no value is negative.",
        f"strength = max(0, 1 - var(rest) / var(cycle + rest)) by MSTL: strong from {STRONG:g}, clear from {CLEAR:g}.",
        "p compares the mean day (week) with that of logs whose days (weeks) are rotated at random.",
        f"A rhythm is sure at {SURE:g}: of a hundred logs without one, one is called rhythmic, for each cycle.",
    )
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    parts = "".join(_part(one) for one in found)
    how = f'<h2>How to read it</h2><ul class="note">{listed}</ul>'
    return document("Rhythm", STYLE, f"<h1>Rhythm</h1>{parts}{how}")


def _part(one: Rhythm) -> str:
    said = "".join(f"<p>{escape(sentence)}</p>" for sentence in words(one))
    pictures = "".join(
        f"<figure>{svg(partial(draw, one=one), height=HEIGHT, label=f'{one.series}: {what}, {one.zone}')}</figure>"
        for draw, what in _DRAWN
    )
    return (
        f"<h2>{escape(one.series)}</h2><div class='verdict'>{said}</div><p class='note'>{one.first} to {one.last}.</p>"
        f"{pictures}"
    )


def page_png(found: Sequence[Rhythm]) -> bytes:
    """Return the pictures of all of `found`, one below the other."""

    def draw(figure: Any) -> None:
        rows = figure.subfigures(len(_DRAWN) * len(found), 1)
        for row, (one, (drawing, _)) in zip(rows, product(found, _DRAWN), strict=True):
            drawing(row, one)

    return png(draw, height=HEIGHT * len(_DRAWN) * len(found))


def draw_week(figure: Any, one: Rhythm) -> None:
    """Draw the level of every slot of the week; for factors, twice and half as much are equally far from 1."""
    ax = figure.add_subplot()
    ax.set_title(f"{one.series}: an average week")
    table = np.array([[np.nan if v is None else v for v in row] for row in one.week_profile], np.float64)
    shown = np.log2(table) if one.factors else table
    reach = max(float(np.nanmax(np.abs(shown))), 1e-9)
    slots = shown.shape[1]
    image = ax.imshow(
        shown, aspect="auto", cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest", extent=(0, 24, 6.5, -0.5)
    )
    ax.set_yticks(range(7), DAYS)
    hours = range(0, 25, max(3, 24 // slots))
    ax.set_xticks(list(hours), [f"{hour:02d}" for hour in hours])
    ax.set_xlabel(f"hour, {one.zone}")
    for spine in ax.spines.values():
        spine.set_visible(False)
    if one.factors:
        factor_bar(figure, image, ax, reach)
    else:
        figure.colorbar(image, ax=ax, label="above typical")


def draw_day(figure: Any, one: Rhythm) -> None:
    """Draw the mean day; one that could be chance is grey and labelled so."""
    with axes(figure, _title("Mean day", one.day), _unit(one)) as ax:
        profile = one.day.profile
        if profile:
            hours = np.arange(len(profile) + 1) * one.slot_s / HOUR_S
            ax.stairs(profile, hours, color=_colour(one.day), linewidth=2.0, baseline=None)
            _level_line(ax, one)
            ax.set_xticks(range(0, 25, 3))
            ax.set_xlabel(f"hour, {one.zone}")
        else:
            _nothing(ax, "too short to say" if len(one.week_profile[0]) > 2 else "steps are too long to say")


def draw_mean_week(figure: Any, one: Rhythm) -> None:
    """Draw the mean week, day by day; one that could be chance is grey and labelled so."""
    with axes(figure, _title("Mean week", one.week), _unit(one)) as ax:
        if one.week.profile:
            base = 1.0 if one.factors else 0.0
            heights = np.array(one.week.profile) - base
            ax.bar(range(7), heights, bottom=base, color=_colour(one.week), width=0.7)
            _level_line(ax, one)
            ax.set_xticks(range(7), DAYS)
        else:
            _nothing(ax, "too short to say")


_DRAWN = (
    (draw_week, "level by hour of the week"),
    (draw_day, "mean day"),
    (draw_mean_week, "mean week"),
)


def _unit(one: Rhythm) -> str:
    return "times typical" if one.factors else "above typical"


def _title(text: str, cycle: Cycle) -> str:
    return text if cycle.sure or cycle.p is None else f"{text} (could be chance)"


def _colour(cycle: Cycle) -> str:
    return FORECAST if cycle.sure else OTHERS[5]


def _level_line(ax: Any, one: Rhythm) -> None:
    ax.axhline(1.0 if one.factors else 0.0, color="#666666", linewidth=0.9, linestyle="--")


def _nothing(ax: Any, why: str) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.text(0.5, 0.5, why, ha="center", va="center", transform=ax.transAxes, color="#666666")
