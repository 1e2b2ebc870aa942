"""From a raw `Result` to the content of its tables: one `Row` per artifact, one `Cell` per artifact and batch."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..results.result import Result, Subject
from ..results.run import Run, decode
from .cells import Cell, all_stable, cell_of
from .forecast_errors import Fidelity, fidelity
from .pareto import Point, front
from .run_figures import cold_start_ns, overhead
from .statistics import Estimate, median_of_runs
from .step_summary import StepRow, step_rows
from .verdicts import Verdict, verdicts
from .wire_summary import WireRow, wire_rows


@dataclass(frozen=True, kw_only=True)
class Row:
    """All of one artifact; phases and memory are medians over the processes of its leading (smallest) batch.

    overhead  of `Forecaster.predict` over the bare engine: 0.05 is 5 %; medians of one process's alternating calls
    energy_uj_per_window  of the whole machine during the calls, at the smallest batch
    installed_bytes       of numpy and everything in `needs`; None if the installation does not record it
    skipped   reason why it was not measured
    """

    artifact: str
    precision: str
    size_bytes: int | None
    engine: str | None
    device: str | None
    threads: int | None
    cells: tuple[Cell, ...]
    best_batch: int | None
    import_ns: Estimate
    load_ns: Estimate
    first_ns: Estimate
    cold_start_ns: Estimate
    loaded_bytes: Estimate
    peak_bytes: Estimate
    steady_bytes: Estimate
    energy_uj_per_window: Estimate
    needs: tuple[str, ...] | None
    installed_bytes: int | None
    fidelity: Fidelity | None
    overhead: Estimate
    failures: tuple[str, ...]
    skipped: str | None

    @property
    def leading(self) -> Cell | None:
        """The cell of the smallest measured batch."""
        return self.cells[0] if self.cells else None

    @property
    def best(self) -> Cell | None:
        """The cell of the highest throughput."""
        return next((cell for cell in self.cells if cell.batch == self.best_batch), None)

    @property
    def stable(self) -> bool | None:
        """False if any cell is unstable, None if any cannot be judged."""
        return all_stable([cell.stable for cell in self.cells])


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The output of `pulsecast bench --format json`: no raw data, only computed figures.

    front     rows that no other row beats in latency, RMSE and size together
    verdicts  whether each smaller artifact is worth having here
    steps     what a step costs where values are pushed one after the other
    wires     what a running server costs its callers
    """

    model: str
    profile: str
    began: str
    duration_s: float
    rows: tuple[Row, ...]
    front: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    steps: tuple[StepRow, ...] = ()
    wires: tuple[WireRow, ...] = ()

    @property
    def unstable(self) -> tuple[str, ...]:
        """Artifacts with an unstable cell, and step calls and servers that are unstable."""
        artifacts = [row.artifact for row in self.rows if row.stable is False]
        others = [step.name for step in self.steps if step.cell.stable is False]
        return (*artifacts, *others, *(wire.name for wire in self.wires if wire.stable is False))


def summarise(result: Result) -> Summary:
    """Return the statistics of `result`; the same result gives the same numbers."""
    rows = tuple(_row(result, subject) for subject in result.subjects)
    return Summary(
        model=result.model.name,
        profile=result.config.profile,
        began=result.began,
        duration_s=result.duration_s,
        rows=rows,
        front=front(points(rows)),
        verdicts=verdicts(result),
        steps=step_rows(result),
        wires=wire_rows(result),
    )


def points(rows: Sequence[Row]) -> tuple[Point, ...]:
    """Return the rows that have a latency, an accuracy and a size, as choices."""
    found = []
    for row in rows:
        p50 = row.leading.p50_ns if row.leading else None
        if p50 is None or p50.value is None or row.fidelity is None or not row.size_bytes:
            continue
        interval = row.fidelity.rmse_change_interval
        point = Point(
            artifact=row.artifact,
            latency_ns=p50.value,
            latency_high_ns=p50.high if p50.high is not None else p50.value,
            rmse=row.fidelity.accuracy.rmse,
            rmse_change=row.fidelity.rmse_change,
            rmse_change_high=interval[1] if interval else row.fidelity.rmse_change,
            size_bytes=row.size_bytes,
            stable=row.leading.stable if row.leading else None,
        )
        found.append(point)
    return tuple(found)


def _row(result: Result, subject: Subject) -> Row:
    runs = [run for run in result.runs if run.case.artifact == subject.artifact]
    leading = [run for run in runs if run.case.leading]
    batches = sorted({run.case.batch for run in runs})
    cells = tuple(cell_of(result, [run for run in runs if run.case.batch == batch]) for batch in batches)
    best = max(cells, key=lambda cell: cell.windows_per_s.value or 0.0, default=None)
    seed = result.config.seed

    def over(measure: Callable[[Run], float | None]) -> Estimate:
        return median_of_runs([value for run in leading if (value := measure(run)) is not None], seed=seed)

    return Row(
        artifact=subject.artifact,
        precision=subject.precision,
        size_bytes=subject.size_bytes,
        engine=runs[0].engine if runs else None,
        device=runs[0].device if runs else None,
        threads=result.config.threads if runs else None,
        cells=cells,
        best_batch=best.batch if best else None,
        import_ns=over(lambda run: run.phases.import_ns),
        load_ns=over(lambda run: run.phases.load_ns),
        first_ns=over(lambda run: run.phases.first_ns),
        cold_start_ns=over(cold_start_ns),
        loaded_bytes=over(lambda run: run.memory.loaded),
        peak_bytes=over(lambda run: run.memory.peak),
        steady_bytes=over(lambda run: run.memory.steady),
        energy_uj_per_window=over(_energy_uj_per_window),
        needs=subject.needs,
        installed_bytes=_installed_bytes(result, subject),
        fidelity=_fidelity(result, leading),
        overhead=_overhead(subject, over(overhead)),
        failures=tuple(
            f"{failure.case}, process {failure.repeat + 1}: {failure.reason}"
            for failure in result.failures
            if failure.case.artifact == subject.artifact
        ),
        skipped=next((one.reason for one in result.skipped if one.artifact == subject.artifact), None),
    )


def _energy_uj_per_window(run: Run) -> float | None:
    calls = len(decode(run.steady.latencies))
    return run.steady.energy_uj / (calls * run.case.batch) if run.steady.energy_uj is not None and calls else None


def _installed_bytes(result: Result, subject: Subject) -> int | None:
    """Return the bytes of numpy and of every distribution the subject needs; None unless all are known."""
    if subject.needs is None:
        return None
    known = {package.name: package.size_bytes for package in result.packages}
    sizes = [known.get(name) for name in dict.fromkeys((*subject.needs, "numpy"))]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def _overhead(subject: Subject, measured: Estimate) -> Estimate:
    if subject.backend == "numpy" and measured.value is None:
        return dataclasses.replace(measured, reason="the reference is pulsecast's own code, without an engine")
    return measured


def _fidelity(result: Result, leading: Sequence[Run]) -> Fidelity | None:
    forecasts = next((run.forecasts for run in leading if run.forecasts is not None), None)
    if forecasts is None:
        return None
    truth, reference = np.array(result.model.truth), np.array(result.model.reference)  # (windows, horizon)
    model = result.model
    unit = model.scaler_range if model.unit is None else np.array(model.unit)
    return fidelity(np.array(forecasts), truth, reference, unit)


def foreign_cpu(result: Result) -> tuple[float, float] | None:
    """Return median and largest share of processor time of other processes in the steady phases, or None."""
    shares = [run.steady.foreign_cpu for run in result.runs if run.steady.foreign_cpu is not None]
    return (statistics.median(shares), max(shares)) if shares else None


def cores_used(result: Result, artifact: str) -> float | None:
    """Return the number of processors that the artifact's steady phases kept busy at its smallest batch."""
    runs = [run for run in result.runs if run.case.artifact == artifact and run.case.leading]
    wall = sum(run.steady.wall_ns for run in runs)
    return sum(run.steady.cpu_ns for run in runs) / wall if wall else None
