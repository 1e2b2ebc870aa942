"""`python -m pulsecast_bench.claims.pushes BUNDLE`: where the processor time of a push to a served stream goes.

A stream is pushed to as the server does it, without HTTP: a request is parsed, what is kept is read from a file of
SQLite, the step is computed and answered, and all of it is committed. Each push is measured whole, and after it the
parts once more: the step itself, and what follows the series for its drift. The time is that of the processor, so that
other work on the machine and the disk count little.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, get_args

import numpy as np

import pulsecast
from pulsecast.errors import PulsecastError
from pulsecast.forecasting.living.kept_alive import KeptAlive
from pulsecast.forecasting.living.live_series import Begun
from pulsecast_serve.models.served import Served
from pulsecast_serve.protocols.streams.names import OF_POOL, series_of
from pulsecast_serve.protocols.streams.pushing import Past, promises_of, pushed
from pulsecast_serve.protocols.streams.request import Push, read_push
from pulsecast_serve.protocols.streams.watching import Observations
from pulsecast_serve.streams.kept import Change, Key
from pulsecast_serve.streams.store import Store, open_store

T = TypeVar("T")
Part = Literal["step", "store", "watching"]
START_S = 1_770_000_000
BEFORE = 400  # pushes that are not measured: a window is filled, and something is learnt
MOST_WATCHING = 0.1


@dataclass(frozen=True, kw_only=True)
class PushCost:
    """Nanoseconds of processor time of each push: whole, and of its parts."""

    whole: tuple[int, ...]
    step: tuple[int, ...]
    store: tuple[int, ...]
    watching: tuple[int, ...]

    def share(self, part: Part) -> float:
        """Return the share that a part has of the whole, all pushes together."""
        return float(np.sum(getattr(self, part)) / np.sum(self.whole))


def measure_pushes(bundle: Path, pushes: int, *, before: int = BEFORE) -> PushCost:
    """Return the cost of so many pushes of counts of chance to one stream of a bundle, after those `before`."""
    model = pulsecast.load(bundle)
    served = Served(name="model", version=1, model=model)
    name = "series" if model.series is None else f"{OF_POOL}series"
    rng, spec = np.random.default_rng(7), model.manifest.spec
    feature = model.manifest.scaler.features[0]
    spent = []
    with tempfile.TemporaryDirectory() as folder:
        store, alive = open_store(str(Path(folder) / "streams.sqlite")), (KeptAlive(), KeptAlive())
        for i in range(before + pushes):
            values = [float(rng.integers(int(feature.low), int(feature.high) + 1)) for _ in range(spec.measured)]
            sent = json.dumps({"values": values, "time": START_S // spec.step_s * spec.step_s + i * spec.step_s})
            found = _one(served, Key("model", name), store, alive, sent)
            if i >= before:
                spent.append(found)
        store.close()
    whole, step, kept, watching = zip(*spent, strict=True)
    return PushCost(whole=whole, step=step, store=kept, watching=watching)


def _one(
    served: Served, key: Key, store: Store, alive: tuple[KeptAlive, KeptAlive], sent: str
) -> tuple[int, int, int, int]:
    """Push a step; return the time of the whole push, of the step, the store and the watching.

    alive  the series of the whole push, and those of the step once more
    """
    model = served.model
    reading, kept = _timed(lambda: store.get(key))

    def compute() -> tuple[Push, Change | None]:
        push = read_push(json.loads(sent), model.manifest.spec)
        change, answers = pushed(served, key.series, push, Past(kept, lambda: store.blocks(key), alive[0]))
        json.dumps(answers)
        return push, change

    computing, (push, change) = _timed(compute)
    series, (one,) = series_of(model, key.series), push.steps
    given = one.values if len(one.values) > 1 else one.values[0]
    state = None if kept is None else kept.state

    def go_on() -> None:
        live = alive[1].take(key, model, state, Begun(series, carry_over=True))
        live.take(given, one.time)
        alive[1].keep(key, live.to_bytes(), live)

    step, _ = _timed(go_on)

    def watch() -> None:
        seen = Observations(promises_of(served, series), kept, same_model=kept is not None)
        seen.add(one.values, one.values[0])
        seen.judged(store.blocks(key) if seen.blocks else [])

    def keep() -> None:
        assert change is not None  # noqa: S101  # for the type checker: each step comes when it is due
        with store.changing() as writing:
            writing.token(key)
            writing.put(key, change)

    watching, _ = _timed(watch)
    writing, _ = _timed(keep)
    return reading + computing + writing, step, reading + writing, watching


def _timed(work: Callable[[], T]) -> tuple[int, T]:
    began = time.process_time_ns()
    found = work()
    return time.process_time_ns() - began, found


def main(arguments: list[str]) -> int:
    """Print the shares; exit 1 if watching takes more than its limit."""
    parser = argparse.ArgumentParser(prog="python -m pulsecast_bench.claims.pushes", description=__doc__)
    parser.add_argument("bundle", type=Path, help="a bundle")
    parser.add_argument("--pushes", type=int, default=480)
    options = parser.parse_args(arguments)
    try:
        cost = measure_pushes(options.bundle, options.pushes)
    except PulsecastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"a push takes {np.mean(cost.whole) / 1e6:.2f} ms of the processor")
    for part in get_args(Part):
        print(f"{part}: {cost.share(part):.1%}")
    print(f"target: watching at most {MOST_WATCHING:.0%}")
    return int(cost.share("watching") > MOST_WATCHING)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
