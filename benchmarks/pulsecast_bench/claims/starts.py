"""`python -m pulsecast_bench.claims.starts BUNDLE`: from nothing to a loaded model, beside ONNX Runtime alone.

Each row is a fresh interpreter, in alternation, with bytecode in a temporary cache. The time is from before the first
import to the loaded model, which has forecast its golden windows; the memory is the process' peak then. ONNX Runtime
alone imports numpy and itself and makes a session of the same file, which checks nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pulsecast import Bundle
from pulsecast.errors import UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.tables import text_table

from ..analysis.statistics import Estimate, median_of_runs

# VmHWM is that of this program alone; ru_maxrss begins at what the parent had, as a child shares its memory until exec
_TIMED = (
    "import time; t = time.perf_counter_ns(); {statement}; spent = time.perf_counter_ns() - t; "
    "print(spent, *(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM:')))"
)
_KILOBYTES = 1024


@dataclass(frozen=True, kw_only=True)
class Start:
    """A row of STARTS: a statement over `path`, what it needs in the bundle, and the targets in ms and MB, if any."""

    name: str
    statement: str
    needs: str
    most_ms: float | None = None
    most_mb: float | None = None


_LOAD = "from pulsecast import load; load({path!r}, backend='%s'%s)"
STARTS = (
    Start(
        name="ONNX Runtime alone",
        statement="import numpy, onnxruntime; onnxruntime.InferenceSession({onnx!r})",
        needs="onnx",
    ),
    Start(name="numpy", statement=_LOAD % ("numpy", ""), needs="numpy", most_mb=45.0),
    Start(name="onnx", statement=_LOAD % ("onnx", ""), needs="onnx", most_ms=350.0),
    Start(
        name="load_native",
        statement="from pulsecast import load_native; load_native({path!r}, trust_code=True)",
        needs="native",
        most_ms=120.0,
    ),
    Start(name="native", statement=_LOAD % ("native", ", trust_code=True"), needs="native"),
)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Nanoseconds and peak resident bytes of each process; `ratio` is the median of ratios to ONNX Runtime alone."""

    start: Start
    spent_ns: tuple[int, ...]
    peak_bytes: tuple[int, ...]
    ratio: Estimate

    @property
    def ms(self) -> float:
        """The median time."""
        return statistics.median(self.spent_ns) / 1e6

    @property
    def mb(self) -> float:
        """The median peak, in megabytes of 1e6 bytes."""
        return statistics.median(self.peak_bytes) / 1e6

    @property
    def kept(self) -> bool:
        """Whether both targets are kept."""
        return self.ms <= (self.start.most_ms or self.ms) and self.mb <= (self.start.most_mb or self.mb)


def measure_starts(path: Path, rounds: int) -> tuple[Cost, ...]:
    """Return the cost of every row that the bundle has an artifact for, after one round that fills the caches.

    Raises UsageError if the bundle has no ONNX file to compare with, or this system is not Linux.
    """
    if not sys.platform.startswith("linux"):
        raise UsageError(
            f"this system is {sys.platform}; expected Linux, whose /proc says how much memory a start took"
        )
    bundle = Bundle.open(path)
    paths = {artifact.backend: bundle.path / artifact.path for artifact in bundle.manifest.artifacts}
    onnx = next((bundle.path / one.path for one in bundle.manifest.artifacts if one.id == "onnx"), None)
    if onnx is None or not onnx.is_file():
        raise UsageError(f"{path} has no ONNX file in a folder; expected a bundle folder with the target onnx")
    words = {"path": str(bundle.path), "onnx": str(onnx)}
    chosen = [one for one in STARTS if one.needs in paths]
    found: dict[str, list[tuple[int, int]]] = {one.name: [] for one in chosen}
    with tempfile.TemporaryDirectory() as bytecode:
        for turn in range(-1, rounds):
            for one in chosen if turn % 2 else chosen[::-1]:
                spent = _spent(one.statement.format(**words), bytecode)
                if turn >= 0:
                    found[one.name].append(spent)
    base = [spent for spent, _ in found[chosen[0].name]]
    return tuple(_cost(one, found[one.name], base) for one in chosen)


def _cost(start: Start, found: list[tuple[int, int]], base: list[int]) -> Cost:
    ratios = [ours / theirs for (ours, _), theirs in zip(found, base, strict=True)]
    return Cost(
        start=start,
        spent_ns=tuple(spent for spent, _ in found),
        peak_bytes=tuple(peak for _, peak in found),
        ratio=median_of_runs(ratios, seed=7),
    )


def _spent(statement: str, bytecode: str) -> tuple[int, int]:
    path = os.pathsep.join(p for p in sys.path if p)
    environment = os.environ | {"PYTHONPATH": path, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    program = [sys.executable, "-P", "-c", _TIMED.format(statement=statement)]
    done = subprocess.run(program, capture_output=True, text=True, env=environment, check=True)
    spent, peak = done.stdout.split()
    return int(spent), int(peak) * _KILOBYTES


def text(costs: tuple[Cost, ...]) -> str:
    """Return the costs as a table."""
    rows = [
        (
            one.start.name,
            f"{one.ms:.0f}",
            "-" if one.start.most_ms is None else f"{one.start.most_ms:.0f}",
            f"{one.ratio.value or 0.0:.2f}x",
            f"{one.mb:.1f}",
            "-" if one.start.most_mb is None else f"{one.start.most_mb:.0f}",
            "yes" if one.kept else "NO",
        )
        for one in costs
    ]
    return text_table(("start", "ms", "at most", "over ORT alone", "peak MB", "at most", "kept"), rows)


def main(arguments: list[str]) -> int:
    """Print the table; exit 1 if a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m pulsecast_bench.claims.starts", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    options = parser.parse_args(arguments)
    costs = measure_starts(options.bundle, options.rounds)
    print(json.dumps(strict_json.to_json(costs)) if options.format == "json" else text(costs))
    return int(not all(one.kept for one in costs))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
