"""Measuring a bundle, comparing results, and reporting them: the benchmark's public functions."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pulsecast.errors import NotWrittenError, PulsecastError, UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.arguments import StrPath, flag, instance, number, one_path, paths, text
from pulsecast.foundation.whole_file import check_file_free, write_whole
from pulsecast.stages.progress import SILENT, Progress, require_progress

from .analysis.pareto import Budget, Recommendation
from .analysis.summary import Summary, summarise
from .comparing.baseline import BaselineCheck, check_baseline, make_baseline, read_baseline
from .comparing.compare import MAX_SLOWDOWN, Allowed, Comparison, compare_results
from .comparing.text import baseline_text, comparison_text, ratio_table
from .device.remote import Device, bench_remotely
from .measuring.runner import run_benchmark
from .reporting.choosing import recommendation, recommended
from .reporting.markdown import markdown
from .reporting.microcontroller import microcontroller_section
from .reporting.section import Measured, Section, measured
from .reporting.table import html_summary, text_table
from .results.case import BenchConfig, find_profile
from .results.footprints import Footprints, read_footprints
from .results.result import Result, check_label, read_result, write_result
from .subjects.subject import Trust
from .wire.server import Server

HTML_SUFFIXES = (".html", ".htm")


@dataclass(frozen=True, kw_only=True, repr=False)
class Benchmark:
    """The result of `bench`; its table as text and in a notebook. Statistics are computed from the raw nanoseconds.

    path  the result file (this object is a path of it); None if no file was requested
    """

    result: Result
    path: Path | None = None

    @cached_property
    def summary(self) -> Summary:
        """Statistics of every artifact."""
        return summarise(self.result)

    def write(self, out: StrPath, *, force: bool = False) -> Benchmark:
        """Write the result file and return this with its path; raises UsageError, PulsecastError."""
        path = one_path("out", out)
        write_result(self.result, path, force=force)
        return dataclasses.replace(self, path=path)

    def __fspath__(self) -> str:
        if self.path is None:
            raise UsageError("this benchmark is not in a file; pass out= to bench, or call write")
        return os.fspath(self.path)

    def __repr__(self) -> str:
        return text_table(self.summary)

    def _repr_html_(self) -> str:
        return html_summary(self.summary)


def bench(  # noqa: PLR0913  # an option is a parameter
    bundle: StrPath,
    *,
    out: StrPath | None = None,
    config: BenchConfig | str = "standard",
    key: StrPath | None = None,
    trust_code: bool = False,
    label: str | None = None,
    device: Device | None = None,
    server: Server | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> Benchmark:
    """Measure every artifact of a bundle, each case in processes of its own, and return the result.

    out         result file to write: JSON with raw nanoseconds
    config      what to measure: a `BenchConfig`, or a profile, `standard` (for decisions) or `quick` (a first look)
    key, trust_code  as for `pulsecast.load`; without either, artifacts that are code are skipped
    label       this machine's name in reports
    device      measure on that machine, over ssh, instead of this one
    server      measure this running server too, in the same rounds: `protocol` and `concurrency` of `config` say how,
                and every answer is compared with a forecast in-process

        bench("bundle", out="result.json")

    Raises FormatError or IntegrityError (the bundle), UsageError, MissingExtraError, EngineError (no process gave a
    measurement, or the server does not answer), ToleranceError (the server's forecasts are not the bundle's; where they
    are not in a later answer, the result says so), NotWrittenError (`out` could not be
    written; its `result` holds the measurement).
    """
    source, target = one_path("bundle", bundle), None if out is None else one_path("out", out)
    if target is not None:
        check_file_free(target, force=force, read=[source])
    chosen = (
        find_profile(text("config", config)) if isinstance(config, str) else instance("config", config, BenchConfig)
    )
    if device is not None:
        instance("device", device, Device)
    if server is not None:
        instance("server", server, Server)
    if server is not None and device is not None:
        raise UsageError("a server is asked from this machine: pass a device or a server, one of the two")
    require_progress(progress)
    trust = Trust(key=None if key is None else os.fspath(one_path("key", key)), code=flag("trust_code", trust_code))
    label = check_label(None if label is None else text("label", label))
    if device is None:
        result = run_benchmark(source, chosen, progress, trust, server)
    else:
        result = bench_remotely(source, chosen, device, progress, trust)
    found = Benchmark(result=dataclasses.replace(result, label=label))
    if target is None:
        return found
    try:
        return found.write(target, force=force)
    except PulsecastError as error:  # the measurement survives a failed write
        raise NotWrittenError(str(error), result=found) from error


@dataclass(frozen=True, kw_only=True, repr=False)
class Compared:
    """The result of `compare`; `passed` is False if a case became slower, failed or is missing."""

    found: Comparison | BaselineCheck

    @property
    def passed(self) -> bool:
        """True if no case became slower and none is gone."""
        lost = self.found.lost if isinstance(self.found, Comparison) else self.found.missing
        return not self.found.slower and not lost

    @property
    def judged(self) -> bool:
        """Whether every case could be judged: it takes five processes on each side."""
        return not self.found.not_judged

    def text(self, *, markdown: bool = False) -> str:
        """Return tables and outcome, for a terminal or as Markdown."""
        if isinstance(self.found, Comparison):
            return comparison_text(self.found, markdown=markdown)
        return baseline_text(self.found, markdown=markdown)

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return ratio_table(self.found)


def compare(
    first: StrPath | Benchmark,
    second: StrPath | Benchmark | None = None,
    *,
    baseline: StrPath | None = None,
    max_slowdown: float = MAX_SLOWDOWN,
    across_models: bool = False,
    across_machines: bool = False,
) -> Compared:
    """Compare the second result with the first, or the first one with a baseline of ratios.

    baseline      file of `save_baseline`, instead of a second result
    max_slowdown  a case is slower if the whole 95 % interval of its ratio lies above this
    across_models, across_machines  compare although the bundles, the machines differ

    Raises UsageError (the results cannot be compared), FormatError, IntegrityError.
    """
    allowed = Allowed(
        models=flag("across_models", across_models),
        machines=flag("across_machines", across_machines),
        max_slowdown=number("max_slowdown", max_slowdown),
    )
    if (second is None) == (baseline is None):
        raise UsageError("expected FIRST SECOND, or one RESULT with --baseline")
    if second is None:
        ratios = read_baseline(one_path("baseline", baseline))
        return Compared(found=check_baseline(ratios, _result(first), allowed))
    names = (_name(first), _name(second))
    return Compared(found=compare_results(_result(first), _result(second), names, allowed))


def save_baseline(result: StrPath | Benchmark, out: StrPath, *, force: bool = False) -> None:
    """Write a result's ratios, without times, to compare later results with; raises UsageError if there are none."""
    target = one_path("out", out)
    if not isinstance(result, Benchmark):
        check_file_free(target, force=force, read=[one_path("result", result)])
    write_whole(target, strict_json.dumps(make_baseline(_result(result))), force=force)


def _result(value: StrPath | Benchmark) -> Result:
    return value.result if isinstance(value, Benchmark) else read_result(one_path("result", value))


def _name(value: StrPath | Benchmark) -> str:
    return str((value.path or "result") if isinstance(value, Benchmark) else one_path("result", value))


@dataclass(frozen=True, kw_only=True, repr=False)
class Report:
    """Results with their statistics, as Markdown, as one HTML page, and as tables in a notebook."""

    parts: tuple[Measured, ...]
    budget: Budget
    footprints: Footprints | None = None

    @property
    def recommendations(self) -> tuple[Recommendation, ...]:
        """The best artifact within the budget, for each result; empty without a budget."""
        return tuple(recommendation(part, self.budget) for part in self.parts) if self.budget.stated else ()

    @property
    def recommended(self) -> str:
        """The recommendations in words, a line for each result."""
        lines = []
        for part in self.parts if self.budget.stated else ():
            where = f"{part.machine}: " if len(self.parts) > 1 else ""
            lines.append(where + " ".join(recommended(part, self.budget)))
        return "\n".join(lines)

    def markdown(self) -> str:
        """Return the whole report as Markdown."""
        return markdown(self.parts, self.budget, more=self._more())

    def html(self) -> str:
        """Return the whole report as one HTML page with pictures; needs the extra `report`."""
        from .reporting.html import html

        return html(self.parts, self.budget, more=self._more())

    def _more(self) -> list[Section]:
        return [microcontroller_section(self.footprints)] if self.footprints else []

    def __repr__(self) -> str:
        return "\n\n".join(text_table(part.summary) for part in self.parts)

    def _repr_html_(self) -> str:
        return "".join(html_summary(part.summary) for part in self.parts)


def report(
    results: StrPath | Benchmark | Sequence[StrPath | Benchmark],
    *,
    out: StrPath | None = None,
    budget: Budget = Budget(),
    microcontroller: StrPath | None = None,
    force: bool = False,
) -> Report:
    """Compute the statistics of one or several results and return the report; with `out` write it.

    out              HTML with pictures if it ends in .html, else Markdown
    budget           upper limits; the report then recommends the artifact that fits them best
    microcontroller  file of `python -m pulsecast_bench.native.microcontroller BUNDLE --out FILE`

    Raises UsageError, FormatError, IntegrityError, MissingExtraError (HTML needs matplotlib).
    """
    target = None if out is None else one_path("out", out)
    given = [results] if isinstance(results, Benchmark) else results
    each = given if isinstance(given, list | tuple) else paths("results", given)
    if target is not None:
        files = [one_path("results", one) for one in each if not isinstance(one, Benchmark)]
        check_file_free(target, force=force, read=files)
    instance("budget", budget, Budget)
    read = [_result(one) for one in each]
    found = Report(parts=tuple(measured(read)), budget=budget, footprints=_footprints(microcontroller, read))
    if target is not None:
        text = found.html() if target.suffix.lower() in HTML_SUFFIXES else found.markdown()
        write_whole(target, text, force=force)
    return found


def _footprints(path: StrPath | None, results: Sequence[Result]) -> Footprints | None:
    if path is None:
        return None
    file = one_path("microcontroller", path)
    found = read_footprints(file)
    if found.manifest_sha256 not in {result.model.manifest_sha256 for result in results}:
        raise UsageError(
            f"{file.name} is of another bundle (model {found.model}) than the results; measure the results' bundle"
        )
    return found
