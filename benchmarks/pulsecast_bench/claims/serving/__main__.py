"""`python -m pulsecast_bench.claims.serving BUNDLE [--peers NAME=ENVIRONMENT ...]`: the cost of an answer.

One run, one machine, one worker each, the same ONNX model in every server with one thread, connections that stay open.
Servers are asked in turns, in rounds of a new random order; every answer is compared with the bundle's forecast.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pulsecast.errors import PulsecastError
from pulsecast.stages.exits import FAILED, OK, exit_code

from ...analysis.statistics import Estimate, median_of_runs, percentiles
from ...reporting.table import aligned, number, span
from .measuring import CONNECTIONS, Figures, Plan, compare, engine_ns
from .subjects import BATCHES, NOOP, OURS, PEERS, TIMESERIES

MOST_OVER_NOOP, LEAST_OVER_PEERS, MOST_MEMORY, MOST_READY_S = 1.5, 3.0, 0.5, 1.5
HEAD = ("server", "connections", "us p50", "p99", "requests/s", "client us", "MB", "ready s")


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A ratio or a time, and whether it is what was aimed at."""

    what: str
    found: Estimate
    unit: str
    aim: str
    met: bool


def rows(figures: Sequence[Figures], seed: int) -> list[list[str]]:
    """Return a line for each server and number of connections, under HEAD."""
    return [_row(one, count, seed) for one in figures for count in CONNECTIONS]


def _row(one: Figures, count: int, seed: int) -> list[str]:
    turns = one.turns[count]
    p50, p99 = percentiles([turn.latencies for turn in turns], (50.0, 99.0), seed=seed)
    answers = sum(len(turn.latencies) for turn in turns)
    client_ns = sum(turn.client_ns for turn in turns) / answers
    first = count == CONNECTIONS[0] and one.ready_s
    return [
        one.name if count == CONNECTIONS[0] else "",
        str(count),
        number(p50.value, 1e-3),
        number(p99.value, 1e-3),
        number(median_of_runs([turn.per_s for turn in turns], seed=seed).value),
        number(client_ns, 1e-3),
        number(one.resident_bytes[0], 1e-6) if first else "",
        number(float(np.median(one.ready_s))) if first else "",
    ]


def goals(figures: dict[str, Figures], seed: int) -> list[Goal]:
    """Return what was aimed at: over the no-op, and over the best of the peers where there are any."""
    ours, noop = figures[OURS], figures[NOOP]
    over = _paired(_medians(ours, 1), _medians(noop, 1), seed)
    ready = median_of_runs(ours.ready_s, seed=seed)
    found = [
        _at_most("p50 of one connection, over the no-op", over, "x", MOST_OVER_NOOP),
        _at_most("start to ready", ready, " s", MOST_READY_S),
    ]
    peers = [figures[name] for name in PEERS if name in figures]
    if not peers:
        return found
    for count in CONNECTIONS:
        best = max(peers, key=lambda one: _median_rate(one, count))
        rate = _paired(_rates(ours, count), _rates(best, count), seed)
        what = f"requests/s at {count} connection{'s' if count > 1 else ''}, over {best.name}, the best"
        met = (rate.value or 0.0) >= LEAST_OVER_PEERS
        found.append(Goal(what=what, found=rate, unit="x", aim=f"at least {LEAST_OVER_PEERS:g}x", met=met))
    least = min(peers, key=lambda one: one.resident_bytes[0])
    memory = Estimate(value=ours.resident_bytes[0] / least.resident_bytes[0])
    found.append(_at_most(f"memory, over {least.name}, the least", memory, "x", MOST_MEMORY))
    return found


def _at_most(what: str, found: Estimate, unit: str, limit: float) -> Goal:
    met = found.value is not None and found.value <= limit
    return Goal(what=what, found=found, unit=unit, aim=f"at most {limit:g}{unit}", met=met)


def _medians(one: Figures, count: int) -> list[float]:
    return [float(np.median(turn.latencies)) for turn in one.turns[count]]


def _rates(one: Figures, count: int) -> list[float]:
    return [turn.per_s for turn in one.turns[count]]


def _median_rate(one: Figures, count: int) -> float:
    return float(np.median(_rates(one, count)))


def _paired(ours: Sequence[float], theirs: Sequence[float], seed: int) -> Estimate:
    """Return the median over rounds of the ratio: a slow minute meets both."""
    return median_of_runs([own / other for own, other in zip(ours, theirs, strict=True)], seed=seed)


def said(goal: Goal) -> str:
    """Return a goal as a line."""
    figure = span(goal.found, "x") if goal.unit == "x" else f"{number(goal.found.value)}{goal.unit}"
    return f"{goal.what}: {figure}; {goal.aim}: {'met' if goal.met else 'MISSED'}"


def main(arguments: Sequence[str]) -> int:
    """Print the table and the goals; exit 1 if one is missed, 3 if an answer is wrong."""
    parser = argparse.ArgumentParser(prog="python -m pulsecast_bench.claims.serving", description=__doc__)
    parser.add_argument("bundle", type=Path, help="a bundle with the artifact onnx")
    parser.add_argument("--peers", nargs="*", default=[], metavar="NAME=ENVIRONMENT", help=", ".join(PEERS))
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=0.7, help="of a server and number of connections in a round")
    parser.add_argument("--starts", type=int, default=3, help="of each server, for the time until it is ready")
    options = parser.parse_args(arguments)
    plan = Plan(rounds=options.rounds, seconds=options.seconds, started=options.starts)
    try:
        figures = compare(options.bundle, options.peers, plan, lambda line: print(line, file=sys.stderr))
    except PulsecastError as error:
        print(f"error: {error}", file=sys.stderr)
        return exit_code(error)
    order = [figures[name] for name in (NOOP, OURS, TIMESERIES, BATCHES, *PEERS) if name in figures]
    print("\n".join(aligned([HEAD, *rows(order, plan.seed)])), end="\n\n")
    print(f"the engine's own call for one window, in this process: {number(engine_ns(options.bundle), 1e-3)} us")
    judged = goals(figures, plan.seed)
    print("\n".join(said(goal) for goal in judged))
    return OK if all(goal.met for goal in judged) else FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
