"""`MODEL_CARD.md`, for people: a model's inputs, outputs and accuracy, the losses of its artifacts, and its limits."""

from __future__ import annotations

from collections.abc import Sequence

from pulsecast.bundle.bundle import size_bytes
from pulsecast.bundle.manifest import Artifact, Manifest, SeriesEntry
from pulsecast.bundle.tables import mae_of
from pulsecast.computing.calendars import utc_text
from pulsecast.model.series import WINDOW_RULE
from pulsecast.model.spec import ModelSpec
from pulsecast.model.words import network_words
from pulsecast.stages.model_directory import IMPORTED

CARD_NAME = "MODEL_CARD.md"


def model_card(manifest: Manifest, remarks: Sequence[str] = ()) -> str:
    """Return the card of a manifest whose parities are measured; `remarks` are reasons not to deploy the model."""
    series = [] if manifest.series is None else [_series(manifest.series)]
    parts = [
        f"# {_cell(manifest.name)}",
        _contract(manifest),
        *series,
        _accuracy(manifest, remarks),
        _artifacts(manifest),
    ]
    if manifest.libraries:
        parts.append(_libraries(manifest))
    return "\n\n".join([*parts, _made(manifest), _limits(manifest)]) + "\n"


def _contract(manifest: Manifest) -> str:
    spec = manifest.spec
    measured = ", ".join(_cell(feature.name) for feature in spec.features[: spec.measured])
    name, steps = _cell(spec.features[0].name), _next_steps(spec)
    lines = [
        f"* Takes `values`, float32 (batch, {spec.context}, {spec.measured}), raw units: {measured}.",
        *_time(spec),
        *(["* Takes `series`, int64 (batch,): the row of each window's series."] if manifest.series else []),
        *_holidays(manifest),
        f"* Gives `forecast`, float32 (batch, {spec.horizon}), raw units of {name}: {steps}.",
        *_bounds(manifest),
    ]
    return "\n".join([f"A forecaster: {network_words(spec)}, recipe `{_cell(manifest.recipe)}`.", "", *lines])


def _next_steps(spec: ModelSpec) -> str:
    steps = "step" if spec.horizon == 1 else f"{spec.horizon} steps"
    return f"the next {steps} of {spec.step_s} s"


def _time(spec: ModelSpec) -> list[str]:
    if not spec.timed:
        return []
    columns = len(spec.features) - spec.measured
    follow = f"{columns} calendar columns follow from it, inside the artifact"
    return [f"* Takes `time`, int64 (batch,): unix seconds (UTC) of each window's last step. {follow}."]


def _bounds(manifest: Manifest) -> list[str]:
    if manifest.level is None:
        return []
    held = "for as long as the series goes on as it did in the held-out part"
    share = f"On average {100 * manifest.level:g} % of true values lie between them"
    return [f"* Gives `lower` and `upper`, of the same shape. {share}, {held}."]


def _holidays(manifest: Manifest) -> list[str]:
    """Return a line for each region whose holidays the model knows, with the end of that knowledge."""
    calendars = [feature.calendar for feature in manifest.spec.features]
    found = {c.holidays.region: c.holidays for c in calendars if c is not None and c.holidays is not None}
    return [
        f"* Knows the holidays of {_cell(region)} (in {_cell(one.zone)}) up to {utc_text(one.known[1])}, and takes no "
        "later step."
        for region, one in found.items()
    ]


def _series(entry: SeriesEntry) -> str:
    return (
        f"## Series\n\nOne network serves {entry.count:,} series, each scaled by itself. Row k is the series on line k "
        f"of `{entry.names}`; a row that is not there gives NaN. Row 0 is for a series that training never saw: "
        f"{WINDOW_RULE}. It is for series of the kind that training saw; for another kind it was never measured."
    )


def _accuracy(manifest: Manifest, remarks: Sequence[str]) -> str:
    forecasts = manifest.heldout.forecasts
    rows = [
        (
            _cell(name.replace("_", " ")),
            f"{found.mae:,.4g}",
            f"{found.rmse:,.4g}",
            f"{found.bias:+,.4g}",
            _ratio(found.mae, forecasts["last_value"].mae if "last_value" in forecasts else 0.0),
        )
        for name, found in forecasts.items()
    ]
    head = ("forecast", "MAE", "RMSE", "bias", "MAE / last value")
    of = " of all series, each by its own row" if manifest.series else ""
    said = "".join(f"\n\n**Remark: {_cell(remark)}.**" for remark in remarks)
    return (
        f"## Accuracy\n\nOn {manifest.heldout.windows:,} held-out windows{of}, raw units.{said}\n\n{_table(head, rows)}"
    )


def _ratio(value: float, base: float) -> str:
    return f"{value / base:.3f}" if base > 0 else "-"


def _artifacts(manifest: Manifest) -> str:
    rows = [
        (
            f"`{artifact.id}`",
            artifact.precision,
            f"{size_bytes(manifest, artifact.path):,}",
            f"{artifact.parity.max_abs:.1e}",
            f"{artifact.tolerance.max_abs:.0e}",
            mae_of(manifest, artifact),
            f"{artifact.parity.mae_change:+.3%}",
            f"{artifact.parity.rmse_change:+.3%}",
        )
        for artifact in manifest.artifacts
    ]
    head = ("artifact", "precision", "bytes", "error / range", "limit", "MAE", "MAE change", "RMSE change")
    unit = f"training range ({manifest.scaler.range:,.6g}), and what it does to the errors above"
    if manifest.series is not None:
        unit = "training range of each window's series, and what it does to the errors in this unit"
    return (
        "## Artifacts\n\nLargest difference from the float64 reference on the held-out windows, as a fraction of the "
        f"{unit}.\n\n{_table(head, rows)}"
    )


def _libraries(manifest: Manifest) -> str:
    sizes = {entry.path: entry.size_bytes for entry in manifest.files}
    rows = [
        (
            f"`{library.platform}`",
            f"`{library.artifact}`",
            f"{sizes[library.path]:,}",
            "**built, not run**" if library.engine is None else _cell(library.engine),
            "-" if library.max_abs is None else f"{library.max_abs:.1e}",
        )
        for library in manifest.libraries
    ]
    compilers = ", ".join(sorted({_cell(library.compiler) for library in manifest.libraries}))
    head = ("platform", "artifact", "bytes", "checked as", "error / range")
    return (
        f"## Prebuilt libraries\n\nCompiled with {compilers}. Those that have run passed the checks of their "
        "artifact on some of the held-out windows; of those that have not, format, processor, exported functions and "
        f"what they need were read from the file.\n\n{_table(head, rows)}"
    )


def _made(manifest: Manifest) -> str:
    made = manifest.provenance
    lines = [f"* {_cell(key)}: {_cell(value)}" for key, value in made.versions.items()]
    rows = made.data.get("rows_read")
    data = [f"* {rows:,} rows read; the row report stands in `manifest.json`"] if isinstance(rows, int) else []
    commands = [f"* `{' '.join(map(_cell, command))}`" for command in made.commands]
    return "\n".join(["## Made with", "", f"* {_cell(made.platform)}, seed {made.seed}", *commands, *data, *lines])


def _limits(manifest: Manifest) -> str:
    spec, first = manifest.spec, manifest.scaler.features[0]
    name = _cell(spec.features[0].name)
    limits = [
        f"Trained on values of {name} from {first.low:,.6g} to {first.high:,.6g}; what lies beyond is extrapolated.",
        "The errors above are those of one held-out part, the last in time; what is counted otherwise has others.",
        "Every window needs all its steps; missing ones are refused, not filled.",
        _intervals(manifest),
    ]
    if manifest.recipe == IMPORTED:
        limits.append(
            "Imported: how it was trained is not known here, and the held-out windows are those of its owner."
        )
    limits += [_scaled(manifest, artifact) for artifact in manifest.artifacts if artifact.units == "scaled"]
    return "\n".join(["## Limits", "", *(f"* {limit}" for limit in limits)])


def _scaled(manifest: Manifest, artifact: Artifact) -> str:
    """Return what a caller of a file of scaled units must do, and which C in the bundle helps."""
    folder = artifact.path.rpartition("/")[0]
    helped = any(entry.path == f"{folder}/micro_io.c" for entry in manifest.files)
    return (
        f"`{artifact.id}` takes and gives scaled values and keeps its state from call to call: reset its variables "
        "before every window. The runtime does so and scales around it"
        + (f"; on a microcontroller `{folder}/micro_io.c` scales." if helped else ".")
    )


def _intervals(manifest: Manifest) -> str:
    split = manifest.intervals
    if split is None:
        return "A forecast comes without an interval."
    return (
        f"Intervals of {split.levels[0]:g} to {split.levels[-1]:g} come from {split.windows:,} held-out windows; they "
        "cover on average, for as long as the series goes on as it did there."
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _cell(text: object) -> str:
    """Return text as Markdown shows it: a name from a log must not make a table, a link or a tag."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>()#|!" else letter for letter in str(text))
