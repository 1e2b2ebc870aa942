"""`python -m pulsecast_bench.claims.imports`: the time to import the runtime over `import numpy`, in fresh processes.

`import pulsecast` alone imports everything else, also numpy, only at the first use of a name; `from pulsecast import
load` imports all that a forecaster needs except its engine. Each is timed inside a new interpreter, from before the
import to after it, in alternation, and with bytecode in a temporary cache: an installed package has bytecode, a fresh
checkout under PYTHONDONTWRITEBYTECODE never gets it.
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

from pulsecast.foundation import strict_json

from ..analysis.statistics import Estimate, median_of_runs

TARGET_RATIO = 1.3
_TIMED = "import time; t = time.perf_counter_ns(); {statement}; print(time.perf_counter_ns() - t)"
STATEMENTS = ("import numpy", "import pulsecast", "from pulsecast import load")  # the others are over the first


@dataclass(frozen=True, kw_only=True)
class ImportCost:
    """Nanoseconds of each process for one statement; `ratio` is the median of its ratios to the first statement's."""

    statement: str
    spent_ns: tuple[int, ...]
    ratio: Estimate


def measure_imports(rounds: int) -> tuple[ImportCost, ...]:
    """Return the cost of each of STATEMENTS, in `rounds` of one process each, after one round to fill the caches."""
    times: dict[str, list[int]] = {statement: [] for statement in STATEMENTS}
    with tempfile.TemporaryDirectory() as bytecode:
        for turn in range(-1, rounds):
            for statement in STATEMENTS if turn % 2 else STATEMENTS[::-1]:
                spent = _spent_ns(statement, bytecode)
                if turn >= 0:
                    times[statement].append(spent)
    base = times[STATEMENTS[0]]
    return tuple(
        ImportCost(
            statement=statement,
            spent_ns=tuple(spent),
            ratio=median_of_runs([ours / theirs for ours, theirs in zip(spent, base, strict=True)], seed=7),
        )
        for statement, spent in times.items()
    )


def _spent_ns(statement: str, bytecode: str) -> int:
    path = os.pathsep.join(p for p in sys.path if p)
    environment = os.environ | {"PYTHONPATH": path, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-P", "-c", _TIMED.format(statement=statement)],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    return int(done.stdout)


def main(arguments: list[str]) -> int:
    """Print the ratios; exit 1 if the ratio of `import pulsecast` is above the target."""
    parser = argparse.ArgumentParser(prog="python -m pulsecast_bench.claims.imports", description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    options = parser.parse_args(arguments)
    costs = measure_imports(options.rounds)
    if options.format == "json":
        print(json.dumps(strict_json.to_json(costs)))
    else:
        for cost in costs:
            print(f"{cost.statement:28s}{statistics.median(cost.spent_ns) / 1e6:7.1f} ms {_ratio_text(cost.ratio)}")
        print(f"target: import pulsecast at most {TARGET_RATIO} times import numpy")
    return int((costs[1].ratio.value or 0.0) > TARGET_RATIO)


def _ratio_text(ratio: Estimate) -> str:
    interval = f" ({ratio.low:.2f} to {ratio.high:.2f})" if ratio.low and ratio.high else ""
    return f"{ratio.value or 0.0:7.2f}x{interval}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
