"""`python -m pulsecast_bench.claims.streams BUNDLE --kafka BROKERS`: what a forecast costs a stream on Kafka.

The same engine (Quix Streams) reads the same topic three times, in turns, each time in a process of its own on one
core: with the model in it; with a function that returns what it gets (the identity); and with one that also reads and
writes JSON and keeps the last message of each series in the engine's state (stateful). The claim is the ratio of
messages a second to the identity. The other ratio says which part of the rest is the engine's own. Then single messages
are sent at a steady rate, and each is timed from its sending to the arrival of its forecast.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

import pulsecast
from pulsecast.errors import EngineError, PulsecastError
from pulsecast_streams import Policies, forecasting
from pulsecast_streams.kafka.engine import client, quix

from ..analysis.statistics import Estimate, median_of_runs

LEAST_RATIO = 0.7
START_S = 1_736_121_600  # a whole hour, day and week
POLICIES = Policies(ahead_s=None)  # the times are not those of the clock
KEYS = tuple(f"series {i}" for i in range(20))
WAIT_S = 60.0
Work = Literal["model", "identity", "stateful"]
WORKS: tuple[Work, ...] = get_args(Work)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where it is measured: a bundle and its backend, whether code of it may run, the brokers, one core."""

    bundle: str
    backend: str
    brokers: str
    core: int
    trust_code: bool = False

    def loaded(self) -> pulsecast.Forecaster:
        """Return the model."""
        return pulsecast.load(self.bundle, backend=self.backend, trust_code=self.trust_code)


def messages(model: pulsecast.Forecaster, bundle: str) -> Iterator[tuple[str, bytes]]:
    """Yield keys and values without end: the series in turn, each going through the rows of the bundle's golden."""
    rows = pulsecast.Bundle.open(bundle).golden().windows.values.reshape(-1, model.manifest.spec.measured)
    names = KEYS if model.series is None else model.series.names.names[: len(KEYS)]
    step = 0
    while True:
        for place, name in enumerate(names):
            values = rows[(step + 31 * place) % len(rows)].tolist()
            yield name, json.dumps({"time": START_S + step * model.manifest.spec.step_s, "values": values}).encode()
        step += 1


def application(place: Place, topic: str, out: str, work: Work, state: str) -> Any:
    """Return an application that reads `topic` from its start, and writes forecasts, or what it read, to `out`."""
    app = quix().Application(
        place.brokers, consumer_group=uuid.uuid4().hex, auto_offset_reset="earliest", state_dir=state, loglevel=None,
        commit_interval=1.0,
    )  # fmt: skip
    form = "json" if work == "stateful" else "bytes"
    frame = app.dataframe(app.topic(topic, value_deserializer=form, key_deserializer="bytes"))
    if work == "identity":
        frame.apply(lambda value: value).to_topic(app.topic(out, value_serializer="bytes"))
    elif work == "stateful":
        frame.apply(_kept, stateful=True).to_topic(app.topic(out))
    else:
        found = forecasting(frame, place.loaded(), policies=POLICIES)
        found.forecasts.to_topic(app.topic(out))
        found.dead_letters.to_topic(app.topic(f"{out}-dead-letters"))
    return app


def _kept(value: Any, state: Any) -> Any:
    """Return what comes, and keep it."""
    state.get("last")
    state.set("last", value)
    return value


def _rate(place: Place, topic: str, count: int, work: Work) -> float:
    """Return messages a second, from the first one to the commit after the last; called in a process of its own."""
    os.sched_setaffinity(0, {place.core})
    seen = [0, 0.0, 0.0]

    def taken(*_: object) -> None:
        seen[0] += 1
        seen[1] = seen[1] or time.perf_counter()
        if seen[0] == count:
            app._processing_context.commit_checkpoint(force=True)  # what was sent has arrived then
            seen[2] = time.perf_counter()
            app.stop()

    with tempfile.TemporaryDirectory(prefix="pulsecast-") as state:
        app = application(place, topic, f"{topic}-{work}", work, state)
        app._on_message_processed = taken  # an argument of its constructor
        app.run()
    return (count - 1) / (seen[2] - seen[1])


def _follow(place: Place, topic: str) -> None:
    os.sched_setaffinity(0, {place.core})
    with tempfile.TemporaryDirectory(prefix="pulsecast-") as state:
        application(place, topic, f"{topic}-out", "model", state).run()


def measure_rates(place: Place, count: int, rounds: int) -> dict[Work, list[float]]:
    """Return messages a second of each work, in each round."""
    topic = _topic(place)
    producer = client().Producer({"bootstrap.servers": place.brokers})
    for key, value in islice(messages(place.loaded(), place.bundle), count):
        producer.produce(topic, value, key)
        producer.poll(0)
    producer.flush(WAIT_S)
    rates: dict[Work, list[float]] = {work: [] for work in WORKS}
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for turn in range(rounds):
            for work in reversed(WORKS) if turn % 2 else WORKS:
                rates[work].append(pool.apply(_rate, (place, topic, count, work)))
    return rates


def ratio_of(rates: dict[Work, list[float]], plain: Work) -> Estimate:
    """Return the ratio of the model's messages a second to those of another work."""
    return median_of_runs([one / other for one, other in zip(rates["model"], rates[plain], strict=True)], seed=7)


def measure_latencies(place: Place, count: int, every_s: float) -> list[float]:
    """Return seconds from the sending of a message to the arrival of its forecast, of `count`, sent `every_s`."""
    topic = _topic(place)
    _topic(place, f"{topic}-out")
    child = multiprocessing.get_context("spawn").Process(target=_follow, args=(place, topic))
    child.start()
    try:
        return _latencies(place, topic, count, every_s)
    finally:
        child.terminate()
        child.join()


def _latencies(place: Place, topic: str, count: int, every_s: float) -> list[float]:
    kafka = client()
    sent: dict[tuple[str, int], float] = {}
    spent: list[float] = []
    producer = kafka.Producer({"bootstrap.servers": place.brokers, "linger.ms": 0})
    consumer = kafka.Consumer(
        {"bootstrap.servers": place.brokers, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"}
    )
    given = messages(place.loaded(), place.bundle)
    consumer.assign([kafka.TopicPartition(f"{topic}-out", 0, 0)])
    for number in range(count + 1):
        key, value = next(given)
        producer.produce(topic, value, key)
        producer.poll(0)
        sent[key, json.loads(value)["time"]] = time.perf_counter()
        waits = number in (0, count)  # for the process to begin, and for what is on its way
        until = time.perf_counter() + (WAIT_S if waits else every_s)
        while (left := until - time.perf_counter()) > 0 and not (waits and len(spent) > number):
            message = consumer.poll(left)
            if message is not None and message.error() is None:
                record = json.loads(message.value())
                spent.append(time.perf_counter() - sent[record["series"], record["time"]])
    consumer.close()
    if len(spent) <= count:
        raise EngineError(f"{len(spent):,} forecasts came of {count + 1:,}; the machine is too slow for this rate")
    return spent[1:]


def _topic(place: Place, name: str | None = None) -> str:
    """Make a topic of one partition and return its name."""
    name = name or f"pulsecast-bench-{uuid.uuid4().hex[:12]}"
    admin = client().admin.AdminClient({"bootstrap.servers": place.brokers})
    admin.create_topics([client().admin.NewTopic(name, 1, 1)])[name].result(WAIT_S)
    return name


def main(arguments: list[str]) -> int:
    """Print the ratio and the latencies; exit 1 if the ratio is below its limit."""
    parser = argparse.ArgumentParser(prog="python -m pulsecast_bench.claims.streams", description=__doc__)
    parser.add_argument("bundle", help="a bundle")
    parser.add_argument(
        "--kafka", required=True, help="brokers, HOST:PORT; the topics pulsecast-bench-… are made there"
    )
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--trust-code", action="store_true", help="run code of the bundle: --backend native")
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="the core that streams run on")
    options = parser.parse_args(arguments)
    place = Place(
        bundle=str(Path(options.bundle)), backend=options.backend, brokers=options.kafka, core=options.core,
        trust_code=options.trust_code,
    )  # fmt: skip
    try:
        rates = measure_rates(place, options.messages, options.rounds)
        model, identity, stateful = (float(np.median(rates[work])) for work in WORKS)
        found = ratio_of(rates, "identity").value or 0.0
        print(
            f"messages a second on one core: {model:,.0f} with the model, {identity:,.0f} with the identity: "
            f"{found:.2f}x\nof one that is stateful and reads JSON: {stateful:,.0f}: "
            f"{ratio_of(rates, 'stateful').value or 0.0:.2f}x"
        )
        spent = measure_latencies(place, min(1000, options.messages), 0.02)
    except PulsecastError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    middle, late = (1000 * float(np.percentile(spent, share)) for share in (50, 99))
    print(f"from a message to its forecast, of {len(spent)} at 50 a second: p50 {middle:.1f} ms, p99 {late:.1f} ms")
    print(f"target: at least {LEAST_RATIO:g}x")
    return int(found < LEAST_RATIO)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
