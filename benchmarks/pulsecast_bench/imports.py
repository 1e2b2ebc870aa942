"""`python -m pulsecast_bench.imports`: what `import pulsecast` costs over `import numpy`, in fresh processes.

Both are timed inside a new interpreter, from before the import to after it, in alternation, and both from bytecode in a
temporary cache: an installed package has it, a fresh checkout under PYTHONDONTWRITEBYTECODE never gets it.
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

from pulsecast import records

from .statistics import Estimate, median_of_runs

TARGET_RATIO = 1.3
_TIMED = "import time; t = time.perf_counter_ns(); import {module}; print(time.perf_counter_ns() - t)"


@dataclass(frozen=True, kw_only=True)
class ImportCost:
    """Nanoseconds of each process; `ratio` is the median of the pairs' ratios."""

    numpy_ns: tuple[int, ...]
    pulsecast_ns: tuple[int, ...]
    ratio: Estimate


def measure_imports(pairs: int) -> ImportCost:
    """Return the cost of both imports in `pairs` pairs of processes, after one of each that fills the caches."""
    times: dict[str, list[int]] = {"numpy": [], "pulsecast": []}
    with tempfile.TemporaryDirectory() as bytecode:
        for pair in range(-1, pairs):
            for module in ("numpy", "pulsecast") if pair % 2 else ("pulsecast", "numpy"):
                spent = _import_ns(module, bytecode)
                if pair >= 0:
                    times[module].append(spent)
    ratios = [ours / theirs for ours, theirs in zip(times["pulsecast"], times["numpy"], strict=True)]
    return ImportCost(
        numpy_ns=tuple(times["numpy"]), pulsecast_ns=tuple(times["pulsecast"]), ratio=median_of_runs(ratios, seed=7)
    )


def _import_ns(module: str, bytecode: str) -> int:
    path = os.pathsep.join(p for p in sys.path if p)
    environment = os.environ | {"PYTHONPATH": path, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-P", "-c", _TIMED.format(module=module)],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    return int(done.stdout)


def main(arguments: list[str]) -> int:
    """Print the ratio; exit 1 if it is over the target."""
    parser = argparse.ArgumentParser(prog="python -m pulsecast_bench.imports", description=__doc__)
    parser.add_argument("--pairs", type=int, default=25)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    options = parser.parse_args(arguments)
    cost = measure_imports(options.pairs)
    ratio = cost.ratio.value or 0.0
    if options.format == "json":
        print(json.dumps(records.to_json(cost)))
    else:
        print(f"import numpy      {statistics.median(cost.numpy_ns) / 1e6:7.1f} ms")
        print(f"import pulsecast  {statistics.median(cost.pulsecast_ns) / 1e6:7.1f} ms, numpy included")
        interval = f" ({cost.ratio.low:.2f} to {cost.ratio.high:.2f})" if cost.ratio.low and cost.ratio.high else ""
        print(f"ratio             {ratio:7.2f}{interval}; target at most {TARGET_RATIO}")
    return int(ratio > TARGET_RATIO)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
