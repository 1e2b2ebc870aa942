"""What is counted of streams: pushes as they come, and what the store knows when metrics are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pulsecast.forecasting.watching.promises import Counts

from ..streams.kept import Judged, Totals
from ..streams.store import Store
from ..streams.streams import Pushed, Streams

# what is said of all streams of a model, and of one series
_COVERAGE = "Share of the last judged steps inside the interval at the manifest's level."
_BIAS = "Larger errors above the forecast less those below it, by their number: 0 is none, 1 all above, -1 all below."
_AGAIN = "Series whose verdict is `train again`."


class StreamMeasures(Collector):
    """The metrics of streams; those of the store are the same in each process of a server."""

    def __init__(self, streams: Streams, registry: CollectorRegistry, *, series: int) -> None:
        """Count in `registry` what `streams` hears.

        series  of each model the first so many series by name have metrics of their own
        """
        self._streams = streams
        self._series = series
        self._pushes = Counter(
            "pulsecast_stream_pushes", "Steps that were pushed, by how they came.", ("model", "arrival"),
            registry=registry,
        )  # fmt: skip
        self._alarms = Counter("pulsecast_stream_alarms", "Steps that raised an alarm.", ("model",), registry=registry)
        streams.heard = self._note

    def _note(self, pushed: Pushed) -> None:
        for arrival in pushed.arrivals:
            self._pushes.labels(pushed.model, arrival).inc()
        self._alarms.labels(pushed.model).inc(pushed.alarms)

    def describe(self) -> list[Metric]:
        """Return nothing: a registry would otherwise read the store when it is made."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield what the store knows now."""
        totals, judged = self._streams.wait_for(self._known)
        streams = GaugeMetricFamily("pulsecast_streams", "Series that are followed.", labels=("model",))
        again = GaugeMetricFamily("pulsecast_streams_to_train_again", _AGAIN, labels=("model",))
        shares = _Shares("stream", ("model",))
        for model, one in totals.items():
            streams.add_metric((model,), one.streams)
            again.add_metric((model,), one.again)
            shares.add((model,), one.counts)
        yield from (streams, again, *shares.families)
        own = GaugeMetricFamily("pulsecast_series_to_train_again", _AGAIN, labels=("model", "series"))
        shares = _Shares("series", ("model", "series"))
        for (model, series), found in judged.items():
            own.add_metric((model, series), float(found.verdict == "train again"))
            shares.add((model, series), found.counts)
        yield from (own, *shares.families)

    def _known(self, store: Store) -> tuple[dict[str, Totals], dict[tuple[str, str], Judged]]:
        totals = dict(sorted(store.totals().items()))
        judged = {
            (model, series): found
            for model in totals
            for series, found in (store.judged(model, self._series).items() if self._series else ())
        }
        return totals, judged


class _Shares:
    """Coverage and bias, where there is something that they are shares of."""

    def __init__(self, of: str, labels: tuple[str, ...]) -> None:
        self._coverage = GaugeMetricFamily(f"pulsecast_{of}_coverage", _COVERAGE, labels=labels)
        self._bias = GaugeMetricFamily(f"pulsecast_{of}_bias", _BIAS, labels=labels)

    @property
    def families(self) -> tuple[Metric, Metric]:
        return self._coverage, self._bias

    def add(self, labels: tuple[str, ...], counts: Counts) -> None:
        if counts.judged:
            self._coverage.add_metric(labels, counts.inside / counts.judged)
        if counts.larger:
            self._bias.add_metric(labels, (2 * counts.above - counts.larger) / counts.larger)
