"""Pictures as SVG text for self-contained pages (matplotlib); the same data gives the same bytes.

All are as wide as a phone, so that their text keeps its size there.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

# distinct for readers with any colour vision (Okabe and Ito), and dark enough on white
TRUTH, FORECAST, OTHERS = "#333333", "#0072b2", ("#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999")
WIDTH = 4.8  # inches of every picture
SPIKE = 20  # times the median; above it the vertical axis is logarithmic
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_STYLE = {
    "svg.fonttype": "none",  # text stays text: searchable, and in the reader's font
    "svg.hashsalt": "pulsecast",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "text.parse_math": False,  # a series may be called $PFE
    "legend.frameon": False,
}


def svg(draw: Callable[[Any], None], *, height: float, label: str) -> str:
    """Return the drawing of `draw(figure)` as an <svg>, `height` in inches; `label` is for screen readers."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure)
        _plain_powers(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    found = text.getvalue()
    found = found[found.index("<svg") :]
    found = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", found, count=1)  # as wide as the page
    found = re.sub(r' height="[^"]*"', "", found, count=1)
    return found.replace("<svg ", f'<svg role="img" aria-label="{_attribute(label)}" ', 1)


def png(draw: Callable[[Any], None], *, height: float, dpi: int = 240) -> bytes:
    """Return the drawing of `draw(figure)` as a PNG, `height` in inches."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained", dpi=dpi)
        draw(figure)
        _plain_powers(figure)
        found = io.BytesIO()
        figure.savefig(found, format="png", metadata={"Software": None})
    return found.getvalue()


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")


@contextmanager
def axes(figure: Any, title: str, unit: str) -> Iterator[Any]:
    """Yield the figure's one pair of axes, with a title and a label of the vertical axis."""
    found = figure.add_subplot()
    found.set_title(title)
    found.set_ylabel(unit)
    found.grid(axis="y", color="#e5e5e5", linewidth=0.6)
    found.set_axisbelow(True)
    yield found


def forecast_picture(
    title: str,
    seconds: NDArray[np.int64],
    truth: NDArray[np.float64],
    forecast: NDArray[np.float64],
    bounds: tuple[NDArray[np.float64], NDArray[np.float64]],
    level: float,
) -> str:
    """Draw truth, forecast and interval over time; every array is (n,), infinite bounds are left open."""

    def draw(figure: Any) -> None:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        stamps = seconds.astype("datetime64[s]")
        lower, upper = (np.where(np.isfinite(bound), bound, np.nan) for bound in bounds)
        with axes(figure, title, "per step") as ax:
            ax.fill_between(
                stamps, lower, upper, color=FORECAST, alpha=0.18, linewidth=0, label=f"{level:.0%} interval"
            )
            ax.plot(stamps, truth, color=TRUTH, linewidth=1.1, label="truth")
            ax.plot(stamps, forecast, color=FORECAST, linewidth=1.1, label="forecast")
            locator = AutoDateLocator(maxticks=6)
            ax.xaxis.set_major_locator(locator)
            ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
            ax.set_ylim(bottom=min(0.0, float(np.nanmin(truth))), top=_top(truth, upper))
            typical = float(np.nanmedian(truth))
            if typical > 0 and float(np.nanmax(truth)) > SPIKE * typical:  # a spike would flatten all else
                ax.set_yscale("symlog", linthresh=typical)
            ax.margins(x=0.01)
            figure.legend(loc="outside lower center", ncols=3)

    return svg(draw, height=2.6, label=f"{title}: forecast over truth with the {level:.0%} interval")


def _plain_powers(figure: Any) -> None:
    """Write the powers of logarithmic axes as plain text: matplotlib's mathematics is not read here."""
    from matplotlib.ticker import FuncFormatter, LogFormatter, NullFormatter

    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):
        if isinstance(axis.get_major_formatter(), LogFormatter):
            axis.set_major_formatter(FuncFormatter(lambda value, _: power_text(value)))
        if isinstance(axis.get_minor_formatter(), LogFormatter):
            axis.set_minor_formatter(NullFormatter())


def power_text(value: float) -> str:
    """Return a tick of a logarithmic axis.

    >>> power_text(1000.0), power_text(-10.0), power_text(0.0), power_text(250.0)
    ('10³', '-10¹', '0', '250')
    """
    size = abs(value)
    power = round(math.log10(size)) if size > 0 else 0
    if size > 0 and math.isclose(size, 10.0**power, rel_tol=1e-9):
        return f"{'-' if value < 0 else ''}10{str(power).translate(_SUPERSCRIPTS)}"
    return f"{value:g}"


def _top(truth: NDArray[np.float64], upper: NDArray[np.float64]) -> float:
    """Return an upper edge that shows all truth and most of the interval; its bound after a spike is far above all."""
    highest = max(float(np.nanmax(truth)), float(np.nanpercentile(upper, 97)) if np.isfinite(upper).any() else 0.0)
    return 1.05 * highest or 1.0


def week_picture(title: str, values: NDArray[np.float64], unit: str, *, diverging_at: float | None = None) -> str:
    """Draw `values` (7, 24) over the hours of the week, UTC; NaN is left white."""

    def draw(figure: Any) -> None:
        from matplotlib.colors import TwoSlopeNorm

        ax = figure.add_subplot()
        ax.set_title(title)
        norm, colours = None, "viridis"
        if diverging_at is not None:
            reach = max(float(np.nanmax(np.abs(values - diverging_at))), 1e-9)
            norm = TwoSlopeNorm(diverging_at, diverging_at - reach, diverging_at + reach)
            colours = "RdBu_r"
        image = ax.imshow(values, aspect="auto", cmap=colours, norm=norm, interpolation="nearest")
        ax.set_yticks(range(7), DAYS)
        ax.set_xticks(range(0, 24, 3), [f"{hour:02d}" for hour in range(0, 24, 3)])
        ax.set_xlabel("hour, UTC")
        for spine in ax.spines.values():
            spine.set_visible(False)
        figure.colorbar(image, ax=ax, label=unit)

    return svg(draw, height=2.6, label=f"{title}, {unit}, by hour of the week")


# factors to mark on a scale of them, from coarse to fine: numbers that people say
_FACTORS = (
    (1e-4, 0.01, 1.0, 100.0, 1e4),
    (0.01, 0.1, 1.0, 10.0, 100.0),
    (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0),
    (0.5, 0.7, 1.0, 1.5, 2.0),
    (0.8, 0.9, 1.0, 1.1, 1.25),
    (0.95, 1.0, 1.05),
)


def factors_within(reach: float) -> tuple[float, ...]:
    """Return the factors to mark on a logarithmic scale from 2**-reach to 2**reach; 1 is one of them.

    >>> factors_within(1.2)
    (0.5, 0.7, 1.0, 1.5, 2.0)
    """
    within = [tuple(factor for factor in row if abs(math.log2(factor)) <= reach) for row in _FACTORS]
    return max(within, key=len)


def factor_bar(figure: Any, image: Any, ax: Any, reach: float) -> None:
    """Draw the colour bar of `image`, whose values are binary logarithms of factors from -reach to reach."""
    marked = factors_within(reach)
    bar = figure.colorbar(image, ax=ax, label="times typical")
    bar.set_ticks([math.log2(factor) for factor in marked], labels=[f"{factor:g}" for factor in marked])
    bar.ax.minorticks_off()


def lines_picture(
    title: str, unit: str, x: Sequence[Any], lines: Mapping[str, Sequence[float]], *, xlabel: str, level: float | None
) -> str:
    """Draw one line per entry of `lines` over `x`, the first one emphasised, and a dashed level to compare with."""

    def draw(figure: Any) -> None:
        with axes(figure, title, unit) as ax:
            if level is not None:
                ax.axhline(level, color="#666666", linewidth=0.9, linestyle="--")
            for i, (name, values) in enumerate(lines.items()):
                colour = FORECAST if i == 0 else OTHERS[(i - 1) % len(OTHERS)]
                ax.plot(x, values, color=colour, linewidth=2.0 if i == 0 else 1.1, marker="o", markersize=3, label=name)
            ax.set_xlabel(xlabel)
            figure.legend(loc="outside lower center", ncols=2)

    return svg(draw, height=2.8, label=f"{title}, {unit}")


def bars_picture(title: str, unit: str, values: Sequence[float | None], *, xlabel: str, level: float) -> str:
    """Draw one bar per value and a dashed level to compare with; None leaves its place empty."""

    def draw(figure: Any) -> None:
        with axes(figure, title, unit) as ax:
            known = [(i, value) for i, value in enumerate(values) if value is not None]
            ax.bar([i for i, _ in known], [value for _, value in known], color=FORECAST, width=0.75)
            ax.axhline(level, color="#333333", linewidth=0.9, linestyle="--")
            ax.set_ylim(max(0.0, min(level, *(value for _, value in known)) - 0.15), 1.0)
            ax.set_xlabel(xlabel)
            ax.margins(x=0.01)

    return svg(draw, height=2.2, label=f"{title}, {unit}")
