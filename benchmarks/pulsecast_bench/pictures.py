"""The report's pictures as SVG text. Colours are the page's variables, so that one picture does for light and dark."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast_train.backtesting.pictures import svg

from .pareto import Point
from .result import Result
from .run import unpack
from .scenario_summary import ScenarioRow
from .summary import Row, Summary

WIDTH = 4.8  # inches: as wide as a phone, so that text keeps its size there
SHOWN_WINDOWS = 60
SPIKE = 20  # times the median, from where on the vertical axis is logarithmic
# Drawn in these colours, which nothing else has, and replaced by the page's variables.
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
    """Return what `draw(axes)` draws as an <svg> whose colours follow the page."""
    import matplotlib as mpl

    def whole(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.set_axisbelow(True)
        draw(axes)

    with mpl.rc_context(_COLOURS):
        found = svg(whole, width=WIDTH, height=height, label=label)
    for colour, variable in _VARIABLES.items():
        found = found.replace(colour, variable)
    return re.sub(r'<g id="(?:figure|axes|patch|text|line2d|xtick|ytick|matplotlib\.axis)[^"]*"', "<g", found)


def colour_of(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each name; beyond eight names the marker changes with them."""
    return {
        name: (SERIES[i % len(SERIES)], MARKERS[(i + i // len(SERIES)) % len(MARKERS)]) for i, name in enumerate(names)
    }


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Return places for labels at `values`, in their order, at least `gap` apart and about where they belong.

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
    """Return `places` moved into 0 to 1, the lowest up and the highest down, still `gap` apart where there is room."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    found = list(places)
    for turn, i in enumerate(order):
        found[i] = max(found[i], turn * gap)
    for turn, i in enumerate(reversed(order)):
        found[i] = min(found[i], 1 - turn * gap)
    return found


def _label_right(axes: Any, points: Sequence[tuple[str, float, float, str]]) -> None:
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


def latency_picture(result: Result, summary: Summary) -> str:
    """Draw each artifact's latencies at its smallest batch: 1 to 99 % as a line, the middle half as a bar, p50."""
    rows = [row for row in summary.rows if row.leading]
    places = range(len(rows))[::-1]

    def draw(axes: Any) -> None:
        for place, row in zip(places, rows, strict=True):
            calls = np.concatenate(
                [
                    unpack(run.steady.latencies)
                    for run in result.runs
                    if run.case.artifact == row.artifact and run.case.leading
                ]
            )
            low, quarter, middle, three, high = np.quantile(calls, (0.01, 0.25, 0.5, 0.75, 0.99)) / 1e3
            axes.plot([low, high], [place, place], color=SERIES[0], linewidth=1.2)
            axes.plot([quarter, three], [place, place], color=SERIES[0], linewidth=7, solid_capstyle="butt")
            axes.plot([middle], [place], color=INK, marker="|", markersize=11, markeredgewidth=1.6)
        axes.set_xscale("log")
        _name_rows(axes, places, [row.artifact for row in rows], "us a call")

    return picture(draw, height=0.9 + 0.3 * len(rows), label="Latency at the smallest batch, distribution per artifact")


def _name_rows(axes: Any, places: Sequence[int], names: Sequence[str], unit: str) -> None:
    axes.set_yticks(list(places), names)
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.set_xlabel(unit)
    axes.grid(axis="x", linewidth=0.6)
    if axes.get_xscale() == "log":
        _plain_numbers(axes.xaxis)


def _plain_numbers(axis: Any) -> None:
    """Write 200 and 1k on a logarithmic axis instead of powers."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    decades = np.log10(high / low) if low > 0 else 3
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2.2 else (1.0,)))
    axis.set_major_formatter(EngFormatter(sep=""))
    axis.set_minor_formatter(NullFormatter())


def pareto_picture(points: Sequence[Point], chosen: Sequence[str], measure: str) -> str:
    """Draw latency against `measure`, "size" or "RMSE"; what is on the front is filled."""
    colours = colour_of([point.artifact for point in points])

    def draw(axes: Any) -> None:
        axes.set_xscale("log")
        if measure == "size":
            axes.set_yscale("log")
        labels = []
        for point in points:
            y = point.size_bytes / 1e3 if measure == "size" else point.rmse
            colour, marker = colours[point.artifact]
            face = colour if point.artifact in chosen else "none"
            x = point.latency_ns / 1e3
            axes.plot([x], [y], marker=marker, color=colour, markerfacecolor=face, markersize=7, linestyle="none")
            labels.append((point.artifact, x, y, colour))
        axes.margins(0.12)
        axes.set_xlabel("p50, us a call")
        axes.set_ylabel("size, kB" if measure == "size" else "RMSE, raw units")
        axes.grid(linewidth=0.6)
        _plain_numbers(axes.xaxis)
        if measure == "size":
            _plain_numbers(axes.yaxis)
        _label_right(axes, labels)

    return picture(draw, height=3.2, label=f"p50 latency against {measure}; filled markers are not beaten")


def batch_picture(summary: Summary) -> str:
    """Draw windows a second over the batch, one line per artifact."""
    rows = [row for row in summary.rows if row.cells]
    colours = colour_of([row.artifact for row in summary.rows])

    def draw(axes: Any) -> None:
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        labels = []
        for row in rows:
            known = [(cell.batch, cell.windows_per_s.value) for cell in row.cells if cell.windows_per_s.value]
            if not known:
                continue
            colour, marker = colours[row.artifact]
            batches, rates = zip(*known, strict=True)
            axes.plot(batches, rates, color=colour, marker=marker, markersize=4, linewidth=1.3)
            labels.append((row.artifact, float(batches[-1]), float(rates[-1]), colour))
        ticks = sorted({cell.batch for row in rows for cell in row.cells})
        axes.set_xticks(ticks, [str(batch) for batch in ticks])
        axes.set_xlabel("windows a call")
        axes.set_ylabel("windows a second")
        axes.grid(linewidth=0.6)
        _plain_numbers(axes.yaxis)
        if labels:
            _label_right(axes, labels)

    return picture(draw, height=3.4, label="Throughput over the batch, per artifact")


def overlay_picture(name: str, truth: NDArray[np.float64], forecast: NDArray[np.float64]) -> str:
    """Draw truth and one artifact's forecast (windows,) of the last held-out windows."""
    truth, forecast = truth[-SHOWN_WINDOWS:], forecast[-SHOWN_WINDOWS:]

    def draw(axes: Any) -> None:
        axes.plot(truth, color=INK, linewidth=1.0, label="truth")
        axes.plot(forecast, color=SERIES[1], linewidth=1.1, label="forecast")
        typical = float(np.median(np.abs(truth)))
        if typical > 0 and float(np.max(np.abs(truth))) > SPIKE * typical:  # a spike would flatten all else
            axes.set_yscale("symlog", linthresh=typical)
        axes.set_title(name, fontsize=10)
        axes.margins(x=0.01)
        axes.set_xticks([])
        axes.grid(axis="y", linewidth=0.6)
        axes.legend(loc="upper left", ncols=2, fontsize=8, bbox_to_anchor=(0.4, 1.18), borderaxespad=0)

    return picture(draw, height=1.7, label=f"{name}: forecast over truth on the last held-out windows")


def rmse_picture(rows: Sequence[Row]) -> str:
    """Draw each artifact's RMSE with its interval over windows."""
    known = [(row.artifact, row.fidelity.rmse) for row in rows if row.fidelity]
    places = range(len(known))[::-1]

    def draw(axes: Any) -> None:
        for place, (_, rmse) in zip(places, known, strict=True):
            if rmse.low is not None and rmse.high is not None:
                axes.plot([rmse.low, rmse.high], [place, place], color=SERIES[0], linewidth=1.4)
            axes.plot([rmse.value], [place], color=INK, marker="o", markersize=5)
        _name_rows(axes, places, [name for name, _ in known], "RMSE in raw units, 95 % over windows")

    return picture(draw, height=0.9 + 0.3 * len(known), label="RMSE per artifact with its interval")


def scenario_picture(scenario: str, rows: Sequence[ScenarioRow]) -> str:
    """Draw p50 to p99 of each artifact in one scenario, a dot at each that there were queries enough for."""
    places = range(len(rows))[::-1]

    def draw(axes: Any) -> None:
        for place, row in zip(places, rows, strict=True):
            values = [one.value / 1e3 for one in (row.p50_ns, row.p90_ns, row.p99_ns) if one.value is not None]
            axes.plot(values, [place] * len(values), color=SERIES[0], linewidth=1.2, marker="o", markersize=4)
        axes.set_xscale("log")
        axes.set_title(scenario, fontsize=10)
        _name_rows(axes, places, [row.artifact for row in rows], "us from due to answered: p50, p90, p99")

    return picture(draw, height=1.1 + 0.3 * len(rows), label=f"Latencies in the scenario {scenario}")


def noise_picture(result: Result) -> str:
    """Draw every process in its order: its median over its case's median, and what other processes took meanwhile."""
    runs = sorted((run for run in result.runs if run.steady.latencies), key=lambda run: run.order)
    medians = [float(np.median(unpack(run.steady.latencies))) for run in runs]
    cases: Mapping[str, list[float]] = {str(run.case): [] for run in runs}
    for run, value in zip(runs, medians, strict=True):
        cases[str(run.case)].append(value)
    relative = [value / float(np.median(cases[str(run.case)])) for run, value in zip(runs, medians, strict=True)]
    foreign = [run.steady.foreign_cpu for run in runs]

    def draw(axes: Any) -> None:
        order = [run.order for run in runs]
        shares = [(place, 100 * share) for place, share in zip(order, foreign, strict=True) if share is not None]
        beside = axes.twinx()
        beside.bar([place for place, _ in shares], [share for _, share in shares], color=FAINT, width=1.0)
        beside.set_ylim(0, 100)
        beside.set_ylabel("others' processor time, %")
        beside.spines["right"].set_visible(True)
        axes.set_zorder(beside.get_zorder() + 1)
        axes.patch.set_visible(False)
        axes.axhline(1.0, color=INK, linewidth=0.7, linestyle="--")
        axes.plot(order, relative, color=SERIES[1], marker="o", markersize=3.5, linestyle="none")
        axes.set_xlabel("process, in the order they ran")
        axes.set_ylabel("median over its case's")

    return picture(draw, height=2.6, label="Each process's median latency over its case's, and foreign processor time")
