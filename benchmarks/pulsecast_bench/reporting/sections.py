"""The content of a report, section by section; `choosing.py` and `noise.py` have the longest."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..analysis.forecast_errors import QUANTILES
from ..analysis.pareto import Budget
from ..analysis.statistics import Estimate
from ..analysis.summary import Row, Summary, cores_used
from ..results.case import PROTOCOLS, STEP_CALLS
from ..results.result import Result
from .choosing import choices_section, recommendation_section
from .noise import machine_lines
from .protocol import command, protocol
from .section import Grid, Measured, Section, interval
from .table import COLUMNS, MISSING, STEP_HEAD, WIRE_HEAD, cells, notes, number, span, step_cells, wire_cells

_DISTRIBUTION = (
    "In the picture of the HTML report, at the smallest batch: the tick is p50, the bar the middle half, the line 1 to "
    "99 % of the calls (10 to 90 % if there are too few for p99)."
)


def merged(parts: Sequence[Measured]) -> Section:
    """Return one table over several results, with the model and the machine in each row."""
    head = ("machine", "model", *(f"{column.name} {column.unit}".strip() for column in COLUMNS))
    rows = [[part.machine, part.result.model.name, *texts] for part in parts for texts in cells(part.summary.rows)]
    several = {part.result.model.manifest_sha256 for part in parts}
    text = (
        f"{len(parts)} results, of {len(several)} different models: compare rows of the same model only."
        if len(several) > 1
        else f"{len(parts)} results of one model (manifest `{parts[0].result.model.manifest_sha256[:12]}`)."
    )
    return Section(title="All machines", text=(text,), grids=((head, rows),))


def sections(part: Measured, budget: Budget) -> list[Section]:
    """Return the report's sections on one result."""
    result, summary = part.result, part.summary
    found = [_comparison(result, summary)]
    if budget.stated:
        found.append(recommendation_section(part, budget))
    found += [choices_section(summary)]
    remarks = notes(summary)
    if remarks:
        found.append(Section(title="What is missing or unstable", bullets=tuple(remarks)))
    found += [
        Section(
            title="Latency in us a call, with 95 % intervals",
            text=(_DISTRIBUTION,),
            grids=(_latencies(summary),),
            picture="latency",
        ),
        Section(title="Batch sweep", grids=(_sweep(summary),), picture="batch"),
    ]
    if summary.steps:
        found.append(_one_step_at_a_time(summary))
    if summary.wires:
        found.append(_through_the_wire(result, summary))
    found.append(_accuracy(summary))
    if part.scenarios or any(one.scenario for one in result.skipped):
        found.append(_scenarios(part))
    found += [
        Section(title="From process start to the first forecast, in ms", grids=(_phases(result, summary),)),
        _footprint(result, summary),
        Section(title="Machine and noise", bullets=tuple(machine_lines(result, summary)), picture="noise"),
        Section(title="How it was measured", text=(protocol(result),), code=command(result)),
    ]
    return found


def _comparison(result: Result, summary: Summary) -> Section:
    model = result.model
    what = (
        f"Recipe {model.recipe}; windows of {model.context} steps and {model.features} features, horizon "
        f"{model.horizon}; accuracy on {len(model.truth)} held-out windows in raw units. The manifest's SHA-256 is "
        f"`{model.manifest_sha256}`."
    )
    legend = (
        "p50 to p99 are of one call at the smallest batch; windows/s at the best batch of the sweep; load is "
        "`pulsecast.load`, hashes included; peak is of the whole process; RMSE change and error / range are against "
        "the float64 reference; over bare is the time that `Forecaster.predict` adds to the engine's own call."
    )
    head = tuple(f"{column.name} {column.unit}".strip() for column in COLUMNS)
    peers = [f"{s.artifact}: {s.about}" for s in result.subjects if s.kind == "peer" and s.about]
    found = Section(title="Comparison", text=(what, legend), grids=((head, cells(summary.rows)),))
    return dataclasses.replace(found, bullets=tuple(peers))


def _latencies(summary: Summary) -> Grid:
    rows = [
        [row.artifact, str(cell.batch), *(interval(p, 1e-3) for p in percentiles), f"{cell.processes}, {cell.calls}"]
        for row in summary.rows
        for cell in row.cells
        for percentiles in [(cell.p50_ns, cell.p90_ns, cell.p95_ns, cell.p99_ns, cell.p999_ns)]
    ]
    return ("artifact", "batch", "p50", "p90", "p95", "p99", "p99.9", "processes, calls"), rows


def _sweep(summary: Summary) -> Grid:
    batches = sorted({cell.batch for row in summary.rows for cell in row.cells})
    rows = []
    for row in summary.rows:
        by_batch = {cell.batch: cell for cell in row.cells}
        shown = [
            interval(by_batch[batch].windows_per_s, 1) + ("" if by_batch[batch].stable is not False else " unstable")
            if batch in by_batch
            else MISSING
            for batch in batches
        ]
        rows.append([row.artifact, *shown])
    return ("windows/s at batch", *map(str, batches)), rows


def _one_step_at_a_time(summary: Summary) -> Section:
    called = "; ".join(f"{call}: `{row.text}`" for call, row in STEP_CALLS.items())
    text = (
        "An app that gets one value after the other pushes it and has the next forecast. The streams hold a whole "
        "window before the clock starts, every push comes one step after the last, and a detector knows as many "
        "residuals as it keeps. Between two pushes, untimed, `settle` does what native streams postpone, as an app may "
        "while it waits. Microseconds are of one step of one stream. The last ratio is of the call over the "
        "engine's own call for as many whole windows, without pulsecast, in alternation in one process; where the "
        "engine is pulsecast's own code, over its backend."
    )
    return Section(title="One step at a time", text=(text, f"{called}."), grids=((STEP_HEAD, step_cells(summary)),))


def _through_the_wire(result: Result, summary: Summary) -> Section:
    against = ", ".join(dict.fromkeys(row.against for row in summary.wires if row.against))
    tls = " over TLS" if any(run.tls for run in result.wires) else ""
    text = (
        f"A running server, asked in {PROTOCOLS[result.config.protocol]}{tls}, one held-out window a request. Each "
        "connection stays open and asks again once it has its answer. Processes of callers ran in the same shuffled "
        f"order as the others. Every answer, of the warm-up too, was compared with a forecast of {against or '-'} in "
        "the callers' process: error is the largest difference over the range. Over in-process is the ratio to a call "
        "of the same artifact with one window, in the same round. Client is the callers' own processor time for a "
        "request, which is part of every latency."
    )
    return Section(title="Through the wire", text=(text,), grids=((WIRE_HEAD, wire_cells(summary)),))


def _phases(result: Result, summary: Summary) -> Grid:
    head = ("artifact", "import", "load", "first", "process start to first", "RSS after load MB", "processors busy")
    rows = [[row.artifact, *_phase_texts(row), number(cores_used(result, row.artifact))] for row in summary.rows]
    return head, rows


def _phase_texts(row: Row) -> list[str]:
    times = [interval(one, 1e-6) for one in (row.import_ns, row.load_ns, row.first_ns, row.cold_start_ns)]
    return [*times, interval(row.loaded_bytes, 1e-6)]


def _accuracy(summary: Summary) -> Section:
    """Return errors in raw units; the change of float32 is against the reference, of others against float32."""
    against = {one.artifact: (one.against, one.rmse_change) for one in summary.verdicts}
    names = [f"{'largest' if q == 1 else f'{q:.0%}'}" for q in QUANTILES]
    head = ("artifact", "MAE", "RMSE", "RMSE change", "against", *(f"error {name}" for name in names))
    head += ("differs 50%", "differs most")
    rows = []
    for row in summary.rows:
        found = row.fidelity
        if found is None:
            rows.append([row.artifact, *[MISSING] * (len(head) - 1)])
            continue
        low, high = found.rmse_change_interval or (None, None)
        own = Estimate(value=found.rmse_change, low=low, high=high)
        base, change = against.get(row.artifact, ("float64 reference", own))
        errors = [number(value) for value in found.error_quantiles]
        differs = [f"{found.deviation_quantiles[i]:.1e}" for i in (0, -1)]
        rows.append(
            [row.artifact, interval(found.mae, 1), interval(found.rmse, 1), span(change, "%"), base, *errors, *differs]
        )
    text = (
        "Raw units, with 95 % intervals over held-out windows. The change of RMSE takes the same windows for both "
        "sides: of an artifact with smaller numbers against float32 of the same engine. Errors are quantiles of "
        "|forecast - truth|; what differs is |forecast - float64 reference|."
    )
    return Section(title="Accuracy", text=(text,), grids=((head, rows),), picture="accuracy")


def _scenarios(part: Measured) -> Section:
    head = ("scenario", "artifact", "p50 us", "p90 us", "p99 us", "windows/s", "due/s", "waiting", "queries")
    rows = [
        [
            row.scenario,
            row.artifact,
            *(interval(one, 1e-3) for one in (row.p50_ns, row.p90_ns, row.p99_ns)),
            interval(row.windows_per_s, 1),
            number(row.target_qps.value),
            f"{row.waiting:.0%}",
            f"{row.queries} in {row.processes}",
        ]
        for row in part.scenarios
    ]
    text = (
        f"Queries by {', '.join(dict.fromkeys(row.generator for row in part.scenarios)) or 'none'}; latency is from "
        "when a query was due to its answer. Measured with MLPerf's load generator or its rules; not an MLPerf result."
    )
    bullets = [f"{row.artifact}, {row.scenario}: {row.invalid}" for row in part.scenarios if row.invalid]
    bullets += [f"{s.artifact}, {s.scenario}: skipped: {s.reason}" for s in part.result.skipped if s.scenario]
    grids = ((head, rows),) if rows else ()
    return Section(title="Scenarios", text=(text,), grids=grids, bullets=tuple(bullets), picture="scenarios")


def _footprint(result: Result, summary: Summary) -> Section:
    """Return an artifact's resources: memory, processor time, energy, and installed packages."""
    head = (
        "artifact",
        "peak RSS MB",
        "steady RSS MB",
        "CPU us a window",
        "energy uJ a window",
        "installed MB",
        "needs",
    )
    rows = []
    for row in summary.rows:
        leading = number(row.leading.cpu_ns_per_window, 1e-3) if row.leading else MISSING
        sizes = [interval(one, 1e-6) for one in (row.peak_bytes, row.steady_bytes)]
        energy = number(row.energy_uj_per_window.value)
        needs = ", ".join(row.needs) if row.needs else MISSING
        rows.append([row.artifact, *sizes, leading, energy, number(row.installed_bytes, 1e-6), needs])
    energy_source = result.machine.energy
    if energy_source is None:
        said = "Energy was not recorded."
    elif energy_source.source is None:
        said = f"Energy is not measurable here: {energy_source.reason}."
    else:
        said = f"Energy is of {energy_source.source}: it includes other processes."
    text = f"{said} Installed is the space on the disk besides Python: numpy and the engine with all its requirements."
    return Section(title="Memory, processor time and what must be installed", text=(text,), grids=((head, rows),))
