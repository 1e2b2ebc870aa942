"""What the server counts, for Prometheus: answers, errors, their time, forecasts, models."""

from __future__ import annotations

import os
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..models.served import Models
from ..streams.streams import Streams
from .stream_measures import StreamMeasures

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # where several processes of one server add up their numbers
_BUCKETS_S = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Measures:
    """The metrics of one process."""

    def __init__(self, models: Models) -> None:
        self.registry = CollectorRegistry()
        self.seconds = Histogram(
            "pulsecast_request_seconds", "Time from the first byte of a request to the end of its answer.",
            ("address",), buckets=_BUCKETS_S, registry=self.registry,
        )  # fmt: skip
        self.answers = Counter(
            "pulsecast_answers", "Answers by address and status.", ("address", "status"), registry=self.registry
        )
        self.active = Gauge(
            "pulsecast_active_requests", "Requests at work.", registry=self.registry, multiprocess_mode="livesum"
        )
        self._states: list[Collector] = []  # what is read when metrics are asked for, the same in every process
        self._follow(_ModelStates(models))
        self._children: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    def follow_streams(self, streams: Streams, *, series: int) -> None:
        """Count pushes, and give `series` of each model metrics of their own."""
        self._follow(StreamMeasures(streams, self.registry, series=series))

    def _follow(self, states: Collector) -> None:
        self._states.append(states)
        self.registry.register(states)

    def note(self, address: str, status: str, seconds: float) -> None:
        """Count an answer."""
        found = self._children.get((address, status))
        if found is None:  # `labels` takes locks and checks words at every call
            found = self.answers.labels(address, status), self.seconds.labels(address)
            self._children[address, status] = found
        answers, spent = found
        answers.inc()
        spent.observe(seconds)

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format, of all processes of the server."""
        if SHARED_FOLDER not in os.environ:
            return generate_latest(self.registry)
        shared = CollectorRegistry()
        multiprocess.MultiProcessCollector(shared)  # type: ignore[no-untyped-call]
        for states in self._states:
            shared.register(states)
        return generate_latest(shared)


class _ModelStates(Collector):
    """Which versions answer, when metrics are asked for."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        """Yield a number for each version: 1 if it answers, 0 if it was refused."""
        family = GaugeMetricFamily(
            "pulsecast_model_version", "1 for a version that answers, 0 for one that was refused.",
            labels=("model", "version"),
        )  # fmt: skip
        for name, shelf in sorted(self._models.shelves.items()):
            for version in sorted({*shelf.versions, *shelf.refused}):
                family.add_metric((name, str(version)), float(version in shelf.versions))
        yield family
