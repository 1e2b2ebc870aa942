"""What is said of the figures: a table of each, ratios within rounds with their intervals, and the limit."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pulsecast.foundation.tables import text_table

from ...analysis.statistics import Estimate
from ..rounds import estimate_text, ratio
from .engines import PAIRS
from .turns import Found

AT_MOST = 0.2  # of onnxruntime-web's: a forecast's time, the first one's, and the bytes
_FORECAST, _FIRST, _BYTES = "a forecast", "the first forecast", "download"


@dataclass(frozen=True, kw_only=True)
class Share:
    """Of `theirs` what `ours` takes, in one respect."""

    what: str
    ours: str
    theirs: str
    found: Estimate

    @property
    def met(self) -> bool:
        """Whether it is at most AT_MOST; what was not measured is not."""
        return self.found.value is not None and self.found.value <= AT_MOST


def shares(found: Found) -> list[Share]:
    """Return every share: within each round of a place, and of the bytes of a page.

    >>> figures = {"node": {"native": [1.0, 3.0], "onnx": [10.0, 10.0]}}
    >>> [(one.what, one.found.value) for one in shares(Found(turns_us=figures, starts_ms={}, errors={}, downloads={}))]
    [('node, a forecast', 0.2)]
    """
    pairs = [pair for pair in PAIRS if all(set(pair) <= set(each) for each in found.turns_us.values())]
    taken = [
        Share(what=f"{place}, {what}", ours=ours, theirs=theirs, found=ratio(each[ours], each[theirs]))
        for what, figures in ((_FORECAST, found.turns_us), (_FIRST, found.starts_ms))
        for place, each in figures.items()
        for ours, theirs in pairs
        if each[ours]
    ]
    for what in ("size_bytes", "gzip_bytes"):
        for ours, theirs in pairs:
            if ours in found.downloads:
                sizes = [getattr(found.downloads[name], what) for name in (ours, theirs)]
                name = _BYTES if what == "size_bytes" else f"{_BYTES}, gzip"
                taken.append(Share(what=name, ours=ours, theirs=theirs, found=Estimate(value=sizes[0] / sizes[1])))
    return taken


def lines(found: Found, programs: Sequence[str]) -> list[str]:
    """Return all as text; `programs` says what ran."""
    names = list(next(iter(found.turns_us.values())))
    median = functools.partial(_medians, names=names)
    rows = [[f"{place}, {_FORECAST}, us", *median(each, "{:.1f}")] for place, each in found.turns_us.items()]
    rows += [[f"{place}, {_FIRST}, ms", *median(each, "{:.1f}")] for place, each in found.starts_ms.items()]
    sizes: tuple[tuple[str, Callable[[str], int]], ...] = (
        (f"{_BYTES}, kB", lambda name: found.downloads[name].size_bytes),
        (f"{_BYTES}, gzip, kB", lambda name: found.downloads[name].gzip_bytes),
    )
    if found.downloads:
        rows += [[what, *(f"{size(name) / 1e3:,.0f}" for name in names)] for what, size in sizes]
    rows += [
        [f"{place}, largest error / range", *(f"{each[name]:.1e}" for name in names)]
        for place, each in found.errors.items()
    ]
    said = [
        [
            one.what,
            f"{one.ours} / {one.theirs}",
            _text(one.found),
            f"at most {AT_MOST:g}",
            "met" if one.met else "MISSED",
        ]
        for one in shares(found)
    ]
    table = text_table(("", *names), rows)
    return [*programs, "", table, "", *(f"{a:30}{b:22}{c:24}{d:14}{e}" for a, b, c, d, e in said)]


def _medians(each: dict[str, list[float]], form: str, *, names: Sequence[str]) -> list[str]:
    return [form.format(statistics.median(each[name])) if each[name] else "-" for name in names]


def _text(found: Estimate) -> str:
    """Return a share with its interval; a small one would be lost in two places."""
    if found.value is None or found.value >= 0.1:
        return estimate_text(found)
    return f"{found.value:.3f}" + (f" ({found.low:.3f} to {found.high:.3f})" if found.low and found.high else "")
