"""Callers of a running server, in a process of their own: `python -m pulsecast_bench.measuring.caller PARENT ...`.

It prints a `WireRun` as one line of JSON. Every answer, also of the warm-up, is compared with a forecast made here.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.golden import Golden
from pulsecast.errors import PulsecastError
from pulsecast.foundation import strict_json
from pulsecast.stages.parent import die_with_parent

from ..results.case import BenchConfig, Case
from ..results.run import WireRun, encode
from ..subjects.subject import UNVOUCHED, Trust, open_artifact
from ..wire.clients import Answered, Connection, Until, ask_all
from ..wire.probing import asking_of, deviations
from ..wire.protocols import WIRES, Wire
from ..wire.server import Server
from .spending import Spending

_WARM_UP_S = 60.0  # at most
_WORST = 1e300  # stands for an answer that is not a number: JSON has no infinity


@dataclass(frozen=True, kw_only=True)
class Visit:
    """The task of one process; `against` is the artifact whose forecasts are the right answers."""

    case: Case
    repeat: int
    order: int
    config: BenchConfig
    server: Server
    against: str
    trust: Trust = UNVOUCHED


def measure(path: Path, visit: Visit) -> WireRun:
    """Return what the callers of one process heard.

    Raises PulsecastError if the server does not answer, or `against` cannot be loaded.
    """
    config, bundle = visit.config, Bundle.open(path, key=visit.trust.key)
    order = np.random.default_rng(config.seed + visit.repeat).permutation(len(bundle.golden().windows))
    golden, wire = bundle.golden().take(order), WIRES[config.protocol]
    asking = asking_of(bundle, visit.server, config.protocol)
    requests = [wire.request(visit.server, asking, golden.windows.take([i])) for i in range(len(order))]
    with _connected(wire, visit) as connections:
        warm = ask_all(connections, requests, _warm_up(config))
        with Spending() as spent:
            heard = ask_all(connections, requests, _steady(config))
    expected = open_artifact(path, visit.against, visit.case.threads, visit.trust).forecast(golden.windows)
    found = _deviations(wire, golden, expected, [*warm, *heard])
    tolerance = bundle.manifest.artifact(visit.against).tolerance.max_abs
    return WireRun(
        case=visit.case,
        repeat=visit.repeat,
        order=visit.order,
        protocol=config.protocol,
        tls=visit.server.tls,
        against=visit.against,
        latencies=encode([one.latency_ns for one in heard]),
        windows=_windows(heard, config),
        wall_ns=heard[-1].ended_ns - min(one.ended_ns - one.latency_ns for one in heard),
        cpu_ns=spent.cpu_ns,
        foreign_cpu=spent.foreign_cpu,
        deviation=min(float(found.max()), _WORST),
        tolerance=tolerance,
        wrong=int((found > tolerance).sum()),
    )


def _warm_up(config: BenchConfig) -> Until:
    return Until(seconds=config.warmup_s, answers=config.warmup_calls, limit_s=_WARM_UP_S)


def _steady(config: BenchConfig) -> Until:
    return Until(seconds=config.steady_s, answers=config.calls, limit_s=config.limit_s)


@contextlib.contextmanager
def _connected(wire: Wire, visit: Visit) -> Iterator[list[Connection]]:
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(contextlib.closing(wire.connect(visit.server)))
            for _ in range(visit.case.connections or 1)
        ]


def _windows(heard: Sequence[Answered], config: BenchConfig) -> tuple[int, ...]:
    """Return where each window of requests begins: after so many answers and so much time, as for an artifact."""
    begins, since = [0], heard[0].ended_ns
    for place, one in enumerate(heard):
        if place - begins[-1] >= config.window_calls and one.ended_ns - since >= config.window_s * 1e9:
            begins.append(place)
            since = one.ended_ns
    return tuple(begins)


def _deviations(
    wire: Wire, golden: Golden, expected: NDArray[np.float32], answers: Sequence[Answered]
) -> NDArray[np.float64]:
    """Return how far each answer is from the forecast in this process, (answers,).

    expected  (windows, horizon), of the windows of `golden`, which are the requests
    """
    found = np.concatenate([wire.forecasts(one.body, 1, expected.shape[1]) for one in answers])
    rows = np.array([one.request for one in answers])
    return deviations(found, expected[rows], golden.unit[rows])


def main(arguments: list[str]) -> int:
    """Ask the server of a `Visit`; arguments are PARENT, BUNDLE and VISIT."""
    parent, bundle, text = arguments
    die_with_parent(int(parent))
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # an engine that prints to stdout does not damage the answer
    try:
        visit = strict_json.loads(Visit, text.encode(), where="the visit")
        run = measure(Path(bundle), visit)
    except PulsecastError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(strict_json.to_json(run), allow_nan=False), file=said, flush=True)
    os._exit(0)  # the answer is complete; connections and engines need not end in order


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
