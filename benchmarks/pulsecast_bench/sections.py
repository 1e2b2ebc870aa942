"""What a report says, section by section, as data: Markdown and HTML show the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from .forecast_errors import QUANTILES
from .pareto import LATENCY_TIE, RMSE_TIE, Budget, Recommendation, recommend
from .protocol import command, protocol
from .result import Machine, Result
from .scenario_summary import ScenarioRow, scenario_rows
from .statistics import Estimate
from .summary import Row, Summary, cores_used, foreign_cpu, points, summarise
from .table import COLUMNS, MISSING, VERDICT_HEAD, cells, notes, number, span, verdict_rows
from .verdicts import ALIKE, FASTER, MAX_RMSE_CHANGE, SLOWER, SMALLER

Grid = tuple[tuple[str, ...], list[list[str]]]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the report.

    text      paragraphs before the table
    grids     tables: head and rows
    bullets   lines after them
    code      what can be typed
    picture   which pictures go here: latency, pareto, batch, accuracy, scenarios, noise or ""
    """

    title: str
    text: tuple[str, ...] = ()
    grids: tuple[Grid, ...] = ()
    bullets: tuple[str, ...] = ()
    code: str = ""
    picture: str = ""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A result with its statistics; `machine` is what the report calls the machine, each result's a different one."""

    result: Result
    summary: Summary
    scenarios: tuple[ScenarioRow, ...]
    machine: str

    @property
    def heading(self) -> str:
        """What its part of the report is called."""
        model = self.result.model.name
        return f"{model}, {self.result.began}, profile {self.result.config.profile}"


def measured(results: Sequence[Result]) -> list[Measured]:
    """Return each result with its statistics and a name for its machine."""
    names = [result.label or result.machine.cpu_model or "processor unknown" for result in results]
    unique = [f"{name} #{i + 1}" if names.count(name) > 1 else name for i, name in enumerate(names)]
    return [
        Measured(result=result, summary=summarise(result), scenarios=scenario_rows(result), machine=name)
        for result, name in zip(results, unique, strict=True)
    ]


def merged(parts: Sequence[Measured]) -> Section:
    """Return one table over several results, whose rows say the model and the machine."""
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
    """Return what the report says of one result."""
    result, summary = part.result, part.summary
    found = [_comparison(result, summary)]
    if budget.stated:
        found.append(recommendation_section(part, budget))
    found += [_choices(summary)]
    remarks = notes(summary)
    if remarks:
        found.append(Section(title="What is missing or unstable", bullets=tuple(remarks)))
    found += [
        Section(title="Latency in us a call, with 95 % intervals", grids=(_latencies(summary),), picture="latency"),
        Section(title="Batch sweep", grids=(_sweep(summary),), picture="batch"),
        _accuracy(summary),
    ]
    if part.scenarios or any(one.scenario for one in result.skipped):
        found.append(_scenarios(part))
    found += [
        Section(title="From process start to the first forecast, in ms", grids=(_phases(result, summary),)),
        _footprint(result, summary),
        Section(title="Machine and noise", bullets=tuple(_machine(result, summary)), picture="noise"),
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
        "the float64 reference; over bare is what `Forecaster.predict` adds to the engine's own call."
    )
    head = tuple(f"{column.name} {column.unit}".strip() for column in COLUMNS)
    peers = [f"{s.artifact}: {s.about}" for s in result.subjects if s.kind == "peer" and s.about]
    found = Section(title="Comparison", text=(what, legend), grids=((head, cells(summary.rows)),))
    return dataclasses.replace(found, bullets=tuple(peers))


def recommendation(part: Measured, budget: Budget) -> Recommendation:
    """Return which artifact of the bundle to take; peers are not candidates."""
    peers = {subject.artifact for subject in part.result.subjects if subject.kind == "peer"}
    return recommend([point for point in points(part.summary.rows) if point.artifact not in peers], budget)


def recommendation_section(part: Measured, budget: Budget) -> Section:
    """Return the recommendation in words."""
    return Section(title=f"Recommendation for {_budget_text(budget)}", text=tuple(recommended(part, budget)))


def _budget_text(budget: Budget) -> str:
    limits = []
    if budget.latency_us is not None:
        limits.append(f"p50 up to {budget.latency_us:g} us")
    if budget.rmse_change is not None:
        limits.append(f"RMSE up to {budget.rmse_change:+.2%}")
    if budget.size_kb is not None:
        limits.append(f"size up to {budget.size_kb:g} kB")
    return ", ".join(limits)


def recommended(part: Measured, budget: Budget) -> list[str]:
    """Return the recommendation as sentences."""
    found = recommendation(part, budget)
    rows = {row.artifact: row for row in part.summary.rows}
    if found.artifact:
        first = f"Take {_described(rows[found.artifact])}."
        others = f" Also within it, in this order: {', '.join(found.fits[1:])}." if found.fits[1:] else ""
        sentences = [first + others]
    elif found.nearest:
        over = "; ".join(excess.text for excess in found.excess)
        sentences = [f"Nothing fits. Nearest is {_described(rows[found.nearest])}: {over}."]
    else:
        sentences = ["Nothing fits."] if found.unstable else ["Nothing was measured that could be recommended."]
    if found.unstable:
        sentences.append(f"Would fit, but did not settle: {', '.join(found.unstable)}; measure on a quiet machine.")
    chosen = rows.get(found.artifact or found.nearest or "")
    if chosen and chosen.leading and chosen.leading.p50_ns.low is None:
        sentences.append("Judged by values without intervals (too few processes): a look, not a decision.")
    sentences.append(
        "Rule: the upper end of each interval is within the budget; of these the fastest, and among those within "
        f"{LATENCY_TIE - 1:.0%} of it the smallest, then the most accurate."
    )
    return sentences


def _described(row: Row) -> str:
    p50 = number(row.leading.p50_ns.value, 1e-3) if row.leading else MISSING
    change = f"{row.fidelity.rmse_change:+.2%}" if row.fidelity else MISSING
    return f"{row.artifact} ({p50} us, RMSE {change}, {number(row.size_bytes, 1e-3)} kB)"


def _choices(summary: Summary) -> Section:
    front = (
        f"Not beaten in p50, RMSE and size together: {', '.join(summary.front) or 'nothing that was measured whole'}. "
        f"Latencies within {LATENCY_TIE - 1:.0%} and RMSEs within {RMSE_TIE - 1:.1%} count as equal."
    )
    rule = (
        "The rule: against the float32 artifact of the same engine, in the same rounds and on the same windows. No, if "
        f"the interval of the RMSE change lies above {MAX_RMSE_CHANGE:+.0%}; cannot tell, if it holds that. Otherwise "
        f"yes, if the time ratio's interval lies below {FASTER:g}; for size, if it lies within {ALIKE[0]:g} and "
        f"{ALIKE[1]:g} and the file has at most {SMALLER:g} of the size; no, unless size decides, if it lies above "
        f"{SLOWER:g}; cannot tell in between, or without an interval."
    )
    if not summary.verdicts:
        return Section(title="What to choose from", text=(front,), picture="pareto")
    head = (*VERDICT_HEAD, "why")
    rows = [[*row, one.why] for row, one in zip(verdict_rows(summary), summary.verdicts, strict=True)]
    return Section(title="What to choose from", text=(front, rule), grids=((head, rows),), picture="pareto")


def interval(estimate: Estimate, factor: float) -> str:
    """Return a value with its interval where it has one, e.g. `96.4 (95.9 to 97.2)`."""
    if estimate.low is None or estimate.high is None:
        return number(estimate.value, factor)
    low, high = number(estimate.low, factor), number(estimate.high, factor)
    return f"{number(estimate.value, factor)} ({low} to {high})"


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


def _phases(result: Result, summary: Summary) -> Grid:
    head = ("artifact", "import", "load", "first", "process start to first", "RSS after load MB", "processors busy")
    rows = [[row.artifact, *_phase_texts(row), number(cores_used(result, row.artifact))] for row in summary.rows]
    return head, rows


def _phase_texts(row: Row) -> list[str]:
    times = [interval(one, 1e-6) for one in (row.import_ns, row.load_ns, row.first_ns, row.cold_start_ns)]
    return [*times, interval(row.loaded_bytes, 1e-6)]


def _accuracy(summary: Summary) -> Section:
    """Return errors in raw units; the change is of float32 against the reference, of others against float32."""
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
        f"Queries by {', '.join(dict.fromkeys(row.generator for row in part.scenarios)) or 'nobody'}; latency is from "
        "when a query was due to its answer. Measured with MLPerf's load generator or its rules, and no MLPerf result."
    )
    bullets = [f"{row.artifact}, {row.scenario}: {row.invalid}" for row in part.scenarios if row.invalid]
    bullets += [f"{s.artifact}, {s.scenario}: skipped: {s.reason}" for s in part.result.skipped if s.scenario]
    grids = ((head, rows),) if rows else ()
    return Section(title="Scenarios", text=(text,), grids=grids, bullets=tuple(bullets), picture="scenarios")


def _footprint(result: Result, summary: Summary) -> Section:
    """Return what an artifact takes: memory, processor time, energy, and what must be installed."""
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
        said = f"Energy is of {energy_source.source}: what else ran meanwhile is in it."
    text = f"{said} Installed is what must be on the disk beside Python: numpy and the engine with all it needs."
    return Section(title="Memory, processor time and what must be installed", text=(text,), grids=((head, rows),))


def _machine(result: Result, summary: Summary) -> list[str]:
    machine = result.machine
    foreign = foreign_cpu(result)
    return [
        f"{machine.cpu_model or 'processor unknown'}, {machine.cores} processors"
        + (f", usable {', '.join(map(str, machine.affinity))}" if machine.affinity is not None else "")
        + (f", limited to {machine.cpu_limit:g}" if machine.cpu_limit is not None else ""),
        f"{machine.platform}, kernel {machine.kernel}, frequency governor {machine.governor or 'not readable'}, memory "
        + (f"{machine.memory_bytes / 1e9:.1f} GB" if machine.memory_bytes else "not readable"),
        f"load average before {_averages(result.load_before)}, after {_averages(result.load_after)}",
        "processor time of other processes in the steady phases: "
        + (f"median {foreign[0]:.1%}, largest {foreign[1]:.1%}" if foreign else "not readable"),
        f"clock: resolution {machine.timer_resolution_ns:.0f} ns, empty reading {machine.timer_overhead_ns:.0f} ns"
        + _timer_share(result, summary),
        "engines: " + "; ".join(dict.fromkeys(f"{run.engine} on {run.device}" for run in result.runs)),
        "versions: " + ", ".join(f"{name} {version}" for name, version in versions(machine).items()),
    ]


def versions(machine: Machine) -> dict[str, str]:
    """Return the recorded versions, by name."""
    return dict(sorted(machine.versions.items()))


def _timer_share(result: Result, summary: Summary) -> str:
    fastest = min((cell.p50_ns.value for row in summary.rows for cell in row.cells if cell.p50_ns.value), default=None)
    if fastest is None:
        return ""
    return f", {result.machine.timer_overhead_ns / fastest:.2%} of the fastest median; nothing is subtracted"


def _averages(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values) or "not readable"
