"""The report's pictures, one per question; `drawing.py` has their common parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..analysis.pareto import Point
from ..analysis.scenario_summary import ScenarioRow
from ..analysis.statistics import REQUIRED_CALLS
from ..analysis.summary import Row, Summary
from ..results.result import Result
from ..results.run import decode
from .drawing import FAINT, INK, SERIES, colour_of, label_right, name_rows, picture, plain_numbers

SHOWN_WINDOWS = 60
SPIKE = 20  # times the median; above it the vertical axis is logarithmic


def latency_picture(result: Result, summary: Summary) -> str:
    """Draw each artifact's latencies at its smallest batch: p50, the middle half as a bar, 1 to 99 % as a line.

    The line goes from 10 to 90 % if there are too few calls for p99; an artifact without p50 is left out.
    """
    rows = [row for row in summary.rows if row.leading and row.leading.p50_ns.value is not None]
    places = range(len(rows))[::-1]

    def draw(axes: Any) -> None:
        for place, row in zip(places, rows, strict=True):
            calls = np.concatenate(
                [
                    decode(run.steady.latencies)
                    for run in result.runs
                    if run.case.artifact == row.artifact and run.case.leading
                ]
            )
            ends = (0.01, 0.99) if len(calls) >= REQUIRED_CALLS[99.0] else (0.1, 0.9)
            low, quarter, middle, three, high = np.quantile(calls, (ends[0], 0.25, 0.5, 0.75, ends[1])) / 1e3
            axes.plot([low, high], [place, place], color=SERIES[0], linewidth=1.2)
            axes.plot([quarter, three], [place, place], color=SERIES[0], linewidth=7, solid_capstyle="butt")
            axes.plot([middle], [place], color=INK, marker="|", markersize=11, markeredgewidth=1.6)
        axes.set_xscale("log")
        name_rows(axes, places, [row.artifact for row in rows], "us a call")

    return picture(draw, height=0.9 + 0.3 * len(rows), label="Latency at the smallest batch, distribution per artifact")


def pareto_picture(points: Sequence[Point], chosen: Sequence[str], measure: str) -> str:
    """Draw latency against `measure`, "size" or "RMSE"; artifacts on the front are filled."""
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
        plain_numbers(axes.xaxis)
        if measure == "size":
            plain_numbers(axes.yaxis)
        label_right(axes, labels)

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
        plain_numbers(axes.yaxis)
        if labels:
            label_right(axes, labels)

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
        name_rows(axes, places, [name for name, _ in known], "RMSE in raw units, 95 % over windows")

    return picture(draw, height=0.9 + 0.3 * len(known), label="RMSE per artifact with its interval")


def scenario_picture(scenario: str, rows: Sequence[ScenarioRow]) -> str:
    """Draw p50 to p99 of each artifact in one scenario, with a dot at each percentile that has enough queries."""
    places = range(len(rows))[::-1]

    def draw(axes: Any) -> None:
        for place, row in zip(places, rows, strict=True):
            values = [one.value / 1e3 for one in (row.p50_ns, row.p90_ns, row.p99_ns) if one.value is not None]
            axes.plot(values, [place] * len(values), color=SERIES[0], linewidth=1.2, marker="o", markersize=4)
        axes.set_xscale("log")
        axes.set_title(scenario, fontsize=10)
        name_rows(axes, places, [row.artifact for row in rows], "us from due to answered: p50, p90, p99")

    return picture(draw, height=1.1 + 0.3 * len(rows), label=f"Latencies in the scenario {scenario}")


def noise_picture(result: Result) -> str:
    """Draw every process in order: its median over its case's median, and other processes' share of processor time."""
    runs = sorted((run for run in result.runs if run.steady.latencies), key=lambda run: run.order)
    medians = [float(np.median(decode(run.steady.latencies))) for run in runs]
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
