"""A static page that forecasts in the browser: the bundle's wasm module, and a series of held-out steps to browse.

    DIR/index.html  page.css  page.js   from `page_files/`
    DIR/model.wasm  pulsecast.js        the bundle's own
    DIR/series.json                     steps, and reference forecasts that the page compares with its own

Any static server works; the page requests only its own files.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.golden import Golden
from pulsecast.bundle.manifest import Artifact, Manifest
from pulsecast.errors import UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.arguments import StrPath, one_path
from pulsecast.foundation.folder_kind import FolderKind
from pulsecast.foundation.whole_directory import whole_directory
from pulsecast.model.spec import ModelSpec
from pulsecast.model.windows import Windows

from ..libraries.wasm import MODULE, TAG, WRAPPER

MARKER = "series.json"
PAGE_FILES = ("index.html", "page.css", "page.js")
MOST_STEPS = 2000  # few enough for one load and for a slider


@dataclass(frozen=True, kw_only=True)
class Known:
    """A golden window of the page: the step after its last one, and the reference forecast (horizon)."""

    end: int
    forecast: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class PageSeries:
    """All of `series.json`: `rows` are steps (steps, columns), row by row; None is a gap.

    start  unix seconds (UTC) of the first step, None for a model without a calendar
    """

    name: str
    feature: str
    step: str
    step_s: int
    start: int | None
    log: bool
    columns: int
    rows: tuple[float | None, ...]
    golden: tuple[Known, ...]
    limit: float
    range: float


def _listed(series: bytes) -> set[str]:
    strict_json.loads(PageSeries, series, where=MARKER)
    return {MARKER, *PAGE_FILES, *(Path(name).name for name in (MODULE, WRAPPER))}


PAGE_FOLDER = FolderKind(noun="page", marker=MARKER, listed=_listed)


def write_page(path: StrPath, out: StrPath, *, force: bool = False) -> Artifact:
    """Write the page for the bundle at `path` (a folder or a `.pulse` file) into `out`; return the artifact it runs.

    Raises what `Bundle.open` raises, UsageError if the bundle has no wasm module or is of several series, or `out`
    exists and not `force`.
    """
    bundle, out = Bundle.open(path), one_path("out", out)
    manifest = bundle.manifest
    if manifest.series is not None:
        raise UsageError(
            f"{bundle.path.name} holds {manifest.series.count:,} series, and a page shows one: train a model of one "
            "series for it"
        )
    present = {entry.path for entry in manifest.files}
    artifact = next((a for a in manifest.artifacts if f"{a.path}/{MODULE}" in present), None)
    if artifact is None:
        raise UsageError(f"{bundle.path.name} has no model for browsers; export it with --native-for {TAG}")
    with whole_directory(out, PAGE_FOLDER, force=force) as staging:
        for name in (MODULE, WRAPPER):
            (staging / Path(name).name).write_bytes(bundle.read(f"{artifact.path}/{name}"))
        for name in PAGE_FILES:
            (staging / name).write_bytes(files(__package__).joinpath("page_files", name).read_bytes())
        series = page_series(manifest, artifact, bundle.golden())
        text = json.dumps(strict_json.to_json(series), allow_nan=False)
        (staging / MARKER).write_text(text, encoding="utf-8")
    return artifact


def page_series(manifest: Manifest, artifact: Artifact, golden: Golden) -> PageSeries:
    """Return the page's data: rows of a series, and the golden windows in it, by the step after them."""
    run = longest_run(golden.windows, manifest.spec)
    return PageSeries(
        name=manifest.name,
        feature=manifest.spec.features[0].name,
        step=_duration(manifest.spec.step_s),
        step_s=manifest.spec.step_s,
        start=run.start,
        log=manifest.scaler.features[0].transform == "log1p",
        columns=manifest.spec.measured,
        rows=tuple(_number(value) for value in run.rows.ravel()),
        golden=tuple(Known(end=end, forecast=tuple(golden.reference[i].tolist())) for i, end in run.ends.items()),
        limit=artifact.tolerance.max_abs,
        range=manifest.scaler.range,
    )


@dataclass(frozen=True, kw_only=True)
class Run:
    """A series that windows form together.

    start  unix seconds (UTC) of its first step, None for a model without a calendar
    rows   (steps, measured), raw
    ends   for every window in it, by its index, the step after its last one
    """

    start: int | None
    rows: NDArray[np.floating]
    ends: dict[int, int]


def longest_run(windows: Windows, spec: ModelSpec) -> Run:
    """Return the longest series that `windows` form together, at most MOST_STEPS of it.

    A window continues the series if its beginning is the end of the window before.
    """
    runs: list[tuple[list[NDArray[np.floating]], dict[int, int]]] = []
    length = 0
    for i, values in enumerate(windows.values):
        shift = _shift(windows, i, spec.step_s) if runs else None
        if shift is None or length + shift > MOST_STEPS:
            runs.append(([values], {i: len(values)}))
            length = len(values)
        else:
            length += shift
            runs[-1][0].append(values[len(values) - shift :])
            runs[-1][1][i] = length
    parts, ends = max(runs, key=lambda run: len(run[1]))
    first = next(iter(ends))
    start = None if windows.time is None else int(windows.time[first]) - (spec.context - 1) * spec.step_s
    return Run(start=start, rows=np.concatenate(parts), ends=ends)


def _shift(windows: Windows, i: int, step_s: int) -> int | None:
    """Return by how many steps window `i` ends after the one before it, if both share at least half of their steps."""
    before, values = windows.values[i - 1], windows.values[i]
    steps = len(values)
    shifts = (k for k in range(1, steps // 2 + 1) if np.array_equal(before[k:], values[:-k]))
    if windows.time is None:
        return next(shifts, None)
    apart, rest = divmod(int(windows.time[i] - windows.time[i - 1]), step_s)
    return apart if not rest and apart in shifts else None


def _number(value: np.floating) -> float | None:
    """Return a float32 as a JSON number: the shortest decimal that determines it; null is a gap."""
    return float(str(value)) if math.isfinite(value) else None


def _duration(seconds: int) -> str:
    for unit, of in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds % of == 0:
            return unit if seconds == of else f"{seconds // of} {unit}s"
    return f"{seconds} s"
