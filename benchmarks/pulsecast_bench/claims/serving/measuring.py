"""All servers at once, asked in turns: what each answers, how fast, with which memory, and how soon it was ready."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import pulsecast
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.golden import Golden
from pulsecast.errors import ToleranceError, UsageError
from pulsecast.foundation.private_folder import temporary_folder

from ...wire.clients import Answered, Until, ask_all
from ...wire.http_connection import HttpConnection, http_request
from ...wire.protocols import WIRES, Asking, Wire
from .subjects import (
    NAME,
    NOOP,
    OURS,
    PEERS,
    TIMESERIES,
    Running,
    Start,
    in_columns,
    peer_environments,
    running,
    starts,
)

CONNECTIONS = (1, 8, 32)
_WARM_UP_S = 0.15
_ARTIFACT = "onnx"
Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long: `rounds` of `seconds` for each server and number of connections, and how often each is started."""

    rounds: int = 8
    seconds: float = 0.7
    started: int = 3
    seed: int = 7


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One round of one server over some connections: nanoseconds of each answer, and of the whole."""

    latencies: NDArray[np.int64]
    wall_ns: int
    client_ns: int

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return len(self.latencies) * 1e9 / self.wall_ns


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Everything of one server; `turns` by number of connections, in the order of rounds."""

    name: str
    turns: Mapping[int, list[Turn]] = field(default_factory=lambda: {count: [] for count in CONNECTIONS})
    ready_s: list[float] = field(default_factory=list)
    resident_bytes: list[int] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What is asked of one server: whole requests of the windows of `golden`, which the no-op does not forecast.

    limit  of the difference of an answer from the golden's reference, over the range
    """

    running: Running
    requests: list[bytes]
    wire: Wire
    golden: Golden | None
    limit: float

    def check(self, name: str, heard: Sequence[Answered]) -> None:
        """Raise ToleranceError unless every answer is the bundle's forecast, EngineError if one holds none."""
        if self.golden is None:
            return
        expected = self.golden.take([one.request for one in heard])
        horizon = expected.reference.shape[1]
        found = np.concatenate([self.wire.forecasts(one.body, 1, horizon) for one in heard])
        error = expected.largest_error(found)
        if not error <= self.limit:
            raise ToleranceError(
                f"an answer of {name} differs by {error:.1e} of the range; expected {self.limit:.1e} at most"
            )


def compare(bundle_path: Path, peers: Sequence[str], plan: Plan, tell: Tell) -> dict[str, Figures]:
    """Return the figures of ours, of the no-op and of `peers`, NAME=ENVIRONMENT each, by name.

    Raises UsageError (the bundle, a peer), EngineError (a server), ToleranceError (an answer is wrong).
    """
    environments, bundle = peer_environments(peers), Bundle.open(bundle_path)
    if bundle.manifest.format == 1 or _ARTIFACT not in [one.id for one in bundle.manifest.artifacts]:
        raise UsageError(f"expected a bundle of format 2 with the artifact {_ARTIFACT}")
    with temporary_folder() as folder:
        model = folder / "model.onnx"
        model.write_bytes(bundle.read(bundle.manifest.artifact(_ARTIFACT).path))
        requests = _requests(bundle)
        ours = starts(bundle_path, model, {}, 0)[OURS]
        tell("asking for one answer, whose length the no-op has")
        with running(ours, folder / "first") as first:
            size = len(_one_answer(first, requests[OURS][0]))
        every = starts(bundle_path, model, environments, size)
        figures = {name: Figures(name=name) for name in (*every, TIMESERIES)}
        for turn in range(plan.started - 1):
            for name, start in every.items():
                tell(f"starting {name}, {turn + 1} of {plan.started}")
                with running(start, folder / f"{name}-{turn}") as one:
                    figures[name].ready_s.append(one.ready_s)
        with _all_up(every, figures, folder, tell) as up:
            asked = {name: _asked(name, one, requests.get(name, requests[OURS]), bundle) for name, one in up.items()}
            _ask_in_turns(asked, figures, plan, tell)
    return figures


@contextlib.contextmanager
def _all_up(
    every: Mapping[str, Start], figures: Mapping[str, Figures], folder: Path, tell: Tell
) -> Iterator[dict[str, Running]]:
    """Yield all servers, running; ours in both of its protocols."""
    with contextlib.ExitStack() as stack:
        up = {}
        for name, start in every.items():
            tell(f"starting {name}")
            up[name] = stack.enter_context(running(start, folder / name))
            figures[name].ready_s.append(up[name].ready_s)
        yield up | {TIMESERIES: up[OURS]}


def _ask_in_turns(asked: Mapping[str, _Asked], figures: Mapping[str, Figures], plan: Plan, tell: Tell) -> None:
    """Ask every server in every round, in an order that is new in each."""
    order = [(name, count) for name in asked for count in CONNECTIONS]
    rng = random.Random(plan.seed)  # noqa: S311  # an order, not a secret
    for turn in range(plan.rounds):
        tell(f"round {turn + 1} of {plan.rounds}")
        rng.shuffle(order)
        for name, count in order:
            figures[name].turns[count].append(_turn(name, asked[name], count, plan))
    for name, one in asked.items():
        figures[name].resident_bytes.append(one.running.resident_bytes())


def engine_ns(bundle_path: Path, calls: int = 500) -> float:
    """Return the median time of the engine's own call for one window, in this process: what no server can save."""
    backend = pulsecast.load(bundle_path, artifact=_ARTIFACT).backend
    windows = Bundle.open(bundle_path).golden().windows
    inputs = [windows.take([i]).inputs for i in range(len(windows))]
    spent = []
    for call in range(calls):
        given = inputs[call % len(inputs)]
        began = time.perf_counter_ns()
        backend.predict(*given)
        spent.append(time.perf_counter_ns() - began)
    return float(np.median(spent))


def _requests(bundle: Bundle) -> dict[str, list[bytes]]:
    """Return the bodies of requests of each golden window: others take series by row, as the artifact, ours by name."""
    golden, names = bundle.golden(), None if bundle.series is None else bundle.series.names
    windows = [golden.windows.take([i]) for i in range(len(golden.windows))]
    by_name = Asking(model=NAME, spec=bundle.manifest.spec, names=names)
    by_row = Asking(model=NAME, spec=bundle.manifest.spec, names=names, named=False)
    plain = [WIRES["inference"].write(by_row, one) for one in windows]
    found = {name: [in_columns(body) for body in plain] if row.columns else plain for name, row in PEERS.items()}
    found[OURS] = [WIRES["inference"].write(by_name, one) for one in windows]
    found[TIMESERIES] = [WIRES["timeseries"].write(by_name, one) for one in windows]
    return found


def _whole(one: Running, name: str, bodies: Sequence[bytes]) -> list[bytes]:
    path = WIRES["timeseries" if name == TIMESERIES else "inference"].path.format(model=NAME)
    return [http_request(one.server, "POST", path, body) for body in bodies]


def _one_answer(one: Running, body: bytes) -> bytes:
    with contextlib.closing(HttpConnection(one.server)) as connection:
        return connection.ask(_whole(one, OURS, [body])[0])


def _asked(name: str, one: Running, bodies: Sequence[bytes], bundle: Bundle) -> _Asked:
    return _Asked(
        running=one,
        requests=_whole(one, name, bodies),
        wire=WIRES["timeseries" if name == TIMESERIES else "inference"],
        golden=None if name == NOOP else bundle.golden(),
        limit=bundle.manifest.artifact(_ARTIFACT).tolerance.max_abs,
    )


def _turn(name: str, asked: _Asked, count: int, plan: Plan) -> Turn:
    """Return one round of a server; connections are new ones, since some servers close those that wait for 5 s."""
    server = asked.running.server
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(contextlib.closing(HttpConnection(server))) for _ in range(count)]
        ask_all(connections, asked.requests, Until(seconds=_WARM_UP_S, answers=count, limit_s=30.0))
        client_ns = time.process_time_ns()
        heard = ask_all(connections, asked.requests, Until(seconds=plan.seconds, answers=count, limit_s=60.0))
        client_ns = time.process_time_ns() - client_ns
    asked.check(name, heard)
    return Turn(
        latencies=np.array([one.latency_ns for one in heard], np.int64),
        wall_ns=heard[-1].ended_ns - min(one.ended_ns - one.latency_ns for one in heard),
        client_ns=client_ns,
    )
