"""MLPerf LoadGen issues the queries and takes the times (`pip install 'pulsecast[loadgen]'`).

The output is measured with LoadGen, with short runs and a model that is not one of MLPerf's: never an MLPerf result.
LoadGen writes its logs into a temporary folder; every query's times are read from its trace.
"""

from __future__ import annotations

import json
import queue
import tempfile
import threading
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlperf_loadgen as lg

from ..results.case import SCENARIOS
from .scenarios import LEAST_QUERIES, Answer, Answered, Load

_SCENARIOS = {
    "single-stream": lg.TestScenario.SingleStream,
    "multi-stream": lg.TestScenario.MultiStream,
    "server": lg.TestScenario.Server,
    "offline": lg.TestScenario.Offline,
}
_SERVER_BOUND_NS = 100_000_000  # LoadGen's limit for a VALID server run; no figure of ours depends on it


def loadgen(load: Load, answer: Answer) -> Answered:
    """Let LoadGen issue the queries of `load`; the server scenario is answered from a thread behind a queue."""
    system = _System(answer, SCENARIOS[load.scenario].batch)
    with tempfile.TemporaryDirectory() as folder:
        sut = lg.ConstructSUT(system.issue if load.scenario != "server" else system.enqueue, _nothing)
        library = lg.ConstructQSL(load.windows, load.windows, _nothing_of, _nothing_of)
        answering = threading.Thread(target=system.answer_queue)
        answering.start()
        try:
            lg.StartTestWithLogSettings(sut, library, _settings(load), _log_settings(folder))
        finally:
            system.waiting.put(None)
            answering.join()
            lg.DestroyQSL(library)
            lg.DestroySUT(sut)
        if system.error is not None:
            raise system.error
        trace = (Path(folder) / "mlperf_log_trace.json").read_text(encoding="utf-8")
        summary = (Path(folder) / "mlperf_log_summary.txt").read_text(encoding="utf-8")
    return _answered(load, system.service, trace, summary)


class _System:
    """Answers in chunks of `batch` and notes each one's time; after an error it only reports completion."""

    def __init__(self, answer: Answer, batch: int) -> None:
        self._answer = answer
        self._batch = batch
        self.service: list[int] = []  # nanoseconds inside predict of each chunk, in the order of answering
        self.waiting: queue.SimpleQueue[list[Any] | None] = queue.SimpleQueue()
        self.error: Exception | None = None

    def issue(self, samples: Sequence[Any]) -> None:
        for first in range(0, len(samples), self._batch):
            self._chunk(samples[first : first + self._batch])

    def enqueue(self, samples: Sequence[Any]) -> None:
        self.waiting.put(list(samples))

    def answer_queue(self) -> None:
        while (samples := self.waiting.get()) is not None:
            self.issue(samples)

    def _chunk(self, samples: Sequence[Any]) -> None:
        try:
            spent = 0 if self.error else self._answer([sample.index for sample in samples])
        except Exception as error:  # LoadGen waits forever for a missing answer
            self.error, spent = error, 0
        self.service.append(spent)
        lg.QuerySamplesComplete([lg.QuerySampleResponse(sample.id, 0, 0) for sample in samples])


def _settings(load: Load) -> Any:
    settings = lg.TestSettings()
    settings.scenario = _SCENARIOS[load.scenario]
    settings.mode = lg.TestMode.PerformanceOnly
    settings.min_duration_ms = round(load.least_s * 1000)
    settings.min_query_count = 1 if load.scenario == "offline" else LEAST_QUERIES
    settings.single_stream_expected_latency_ns = round(1e9 / load.expected_qps)
    settings.multi_stream_samples_per_query = SCENARIOS["multi-stream"].batch
    settings.multi_stream_expected_latency_ns = round(1e9 * SCENARIOS["multi-stream"].batch / load.expected_qps)
    settings.server_target_qps = load.target_qps
    settings.server_target_latency_ns = _SERVER_BOUND_NS
    settings.offline_expected_qps = load.expected_qps
    settings.qsl_rng_seed = settings.sample_index_rng_seed = settings.schedule_rng_seed = load.seed
    return settings


def _log_settings(folder: str) -> Any:
    settings = lg.LogSettings()
    settings.enable_trace = True
    settings.log_output.outdir = folder
    settings.log_output.copy_summary_to_stdout = False
    return settings


def _answered(load: Load, service: list[int], trace: str, summary: str) -> Answered:
    """Return each query's times: a multi-stream query is answered with its last window, an offline one in parts."""
    samples = _samples(trace)
    batch = SCENARIOS[load.scenario].batch
    chunks = [samples[first : first + batch] for first in range(0, len(samples), batch)]
    zero = min(due for due, _ in samples)
    return Answered(
        due=[chunk[0][0] - zero for chunk in chunks],
        latencies=[max(latency for _, latency in chunk) for chunk in chunks],
        service=service,
        windows=len(samples),
        generator=f"mlcommons-loadgen {version('mlcommons-loadgen')}",
        summary=_lines(summary),
    )


def _samples(trace: str) -> list[tuple[int, int]]:
    """Return (due, latency) in nanoseconds of every sample, in the order of answering.

    The trace has one event per line. As a whole it is not JSON: commas are missing where LoadGen's threads meet.
    """
    lines = (line.rstrip(",") for line in trace.splitlines() if '"Sample"' in line and '"ph":"b"' in line)
    events = [json.loads(line) for line in lines]
    found = [(round(event["ts"] * 1000), event["args"]["complete_ns"]) for event in events]
    return sorted(found, key=sum)


def _lines(summary: str) -> dict[str, str]:
    """Return the `name : value` lines of LoadGen's summary.

    >>> _lines("Scenario : Server\\nResult is : VALID\\n====")
    {'Scenario': 'Server', 'Result is': 'VALID'}
    """
    pairs = (line.split(" : ", 1) for line in summary.replace("): ", ") : ").splitlines() if " : " in line)
    return {" ".join(name.split()): value.strip() for name, value in pairs}


def _nothing() -> None:
    """LoadGen flushes waiting queries; here every query is answered at once."""


def _nothing_of(_: Sequence[int]) -> None:
    """LoadGen names the windows to load; all are in memory."""
