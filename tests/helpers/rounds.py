"""Results with enough rounds of processes for intervals: `levels` are the median latencies of each round's process."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from helpers import measured
from pulsecast_bench.results.result import Result, Subject
from pulsecast_bench.results.run import Paired, Run, encode

WINDOWS = 100
QUIET = (100, 101, 99, 100, 102)  # microseconds
_RNG = np.random.default_rng(17)
TRUTH = 50 + 10 * _RNG.standard_normal((WINDOWS, 1))
REFERENCE = TRUTH + _RNG.standard_normal((WINDOWS, 1))
NOISE = _RNG.standard_normal((WINDOWS, 1))


def table(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[tuple[float, ...], ...]:
    """Return an array (windows, horizon) as a record holds it."""
    return tuple(tuple(row) for row in values.tolist())


def runs(artifact: str, levels: Sequence[int], *, off: float = 0.0, over_bare: int = 105) -> list[Run]:
    """Return one process per round; its forecasts differ from the reference by `off` times noise of deviation 1."""
    forecasts = table(REFERENCE + off * NOISE)
    found = []
    for turn, level in enumerate(levels):
        one = measured.run(artifact, repeat=turn, microseconds=(level,) * 150)
        paired = Paired(block=1, runtime=encode([over_bare] * 2), bare=encode([100] * 2))
        found.append(dataclasses.replace(one, forecasts=forecasts, paired=paired))
    return found


def result(levels: Mapping[str, Sequence[int]], *, off: Mapping[str, float] | None = None, **changes: object) -> Result:
    """Return a result of artifacts with these levels; an id with a dash in it is one with 8-bit weights."""
    every = [run for name, values in levels.items() for run in runs(name, values, off=(off or {}).get(name, 0.0))]
    model = dataclasses.replace(measured.MODEL, truth=table(TRUTH), reference=table(REFERENCE))
    subjects = tuple(subject(name) for name in levels)
    return measured.result(*every, model=model, subjects=subjects, **changes)


def subject(artifact: str) -> Subject:
    """Return a float32 subject of 125,000 bytes, or one of the same engine with 8-bit weights and a third of them."""
    engine, _, smaller = artifact.partition("-")
    one = measured.subject(artifact, engine)
    return dataclasses.replace(one, precision="int8 weights", size_bytes=41_000) if smaller else one
