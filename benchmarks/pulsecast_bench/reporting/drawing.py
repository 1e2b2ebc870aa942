"""Pictures as SVG text. Colours are the page's variables, so one picture works for light and dark."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pulsecast_train.pages.pictures import svg

# Drawn in these colours, which no other element has; they are then replaced by the page's variables.
INK, FAINT = "#010203", "#040506"
SERIES = tuple(f"#0a0b{i:02x}" for i in range(1, 9))
_VARIABLES = {INK: "var(--ink)", FAINT: "var(--line)"} | {c: f"var(--s{i})" for i, c in enumerate(SERIES, 1)}
_COLOURS = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"), INK),
    "grid.color": FAINT,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
}
MARKERS = "os^Dvp<>"


def picture(draw: Callable[[Any], None], *, height: float, label: str) -> str:
    """Return the drawing of `draw(axes)` as an <svg> whose colours follow the page."""
    import matplotlib as mpl

    def whole(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.set_axisbelow(True)
        draw(axes)

    with mpl.rc_context(_COLOURS):
        found = svg(whole, height=height, label=label)
    for colour, variable in _VARIABLES.items():
        found = found.replace(colour, variable)
    return re.sub(r'<g id="(?:figure|axes|patch|text|line2d|xtick|ytick|matplotlib\.axis)[^"]*"', "<g", found)


def colour_of(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each name; after eight names the marker changes too."""
    return {
        name: (SERIES[i % len(SERIES)], MARKERS[(i + i // len(SERIES)) % len(MARKERS)]) for i, name in enumerate(names)
    }


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Return places for labels at `values`, in their order, at least `gap` apart and near their values.

    >>> spread([0.0, 0.1, 5.0], 1.0)
    [-0.45, 0.55, 5.0]
    """
    order = sorted(range(len(values)), key=lambda i: values[i])
    groups: list[tuple[list[int], float]] = []  # members, centre
    for i in order:
        groups.append(([i], values[i]))
        while len(groups) > 1 and _low(groups[-1], gap) - _high(groups[-2], gap) < gap - 1e-12:
            members = groups[-2][0] + groups[-1][0]
            groups[-2:] = [(members, float(np.mean([values[j] for j in members])))]
    places = [0.0] * len(values)
    for group in groups:
        for turn, i in enumerate(group[0]):
            places[i] = _low(group, gap) + turn * gap
    return [round(place, 9) for place in places]


def _low(group: tuple[list[int], float], gap: float) -> float:
    return group[1] - gap * (len(group[0]) - 1) / 2


def _high(group: tuple[list[int], float], gap: float) -> float:
    return group[1] + gap * (len(group[0]) - 1) / 2


def _inside(places: Sequence[float], gap: float) -> list[float]:
    """Return `places` moved into 0 to 1, the lowest up and the highest down, still `gap` apart if there is room."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    found = list(places)
    for turn, i in enumerate(order):
        found[i] = max(found[i], turn * gap)
    for turn, i in enumerate(reversed(order)):
        found[i] = min(found[i], 1 - turn * gap)
    return found


def label_right(axes: Any, points: Sequence[tuple[str, float, float, str]]) -> None:
    """Write (name, x, y, colour) beside the axes on the right, each with a thin line to its point."""
    below, above = axes.get_ylim()

    def place(y: float) -> float:
        forward = axes.transData.transform
        return float(
            (forward((points[0][1], y))[1] - forward((points[0][1], below))[1])
            / (forward((points[0][1], above))[1] - forward((points[0][1], below))[1])
        )

    places = _inside(spread([place(y) for _, _, y, _ in points], 0.075), 0.075)
    for (name, x, y, colour), at in zip(points, places, strict=True):
        axes.annotate(
            name,
            xy=(x, y),
            xycoords="data",
            xytext=(1.04, at),
            textcoords="axes fraction",
            va="center",
            fontsize=8.5,
            color=INK,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 3},
            annotation_clip=False,
        )


def name_rows(axes: Any, places: Sequence[int], names: Sequence[str], unit: str) -> None:
    """Write a name before each row of a horizontal picture, and the unit below it."""
    axes.set_yticks(list(places), names)
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.set_xlabel(unit)
    axes.grid(axis="x", linewidth=0.6)
    if axes.get_xscale() == "log":
        plain_numbers(axes.xaxis)


def plain_numbers(axis: Any) -> None:
    """Write 200 and 1k on a logarithmic axis instead of powers."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    decades = np.log10(high / low) if low > 0 else 3
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2.2 else (1.0,)))
    axis.set_major_formatter(EngFormatter(sep=""))
    axis.set_minor_formatter(NullFormatter())
