"""Every public function and method, each argument in turn hostile: a result, or a PulsecastError in one sentence.

A new public name fails here until it has a row: usual arguments, whose call ends soon, or a reason to be left out.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import pulsecast
import pulsecast_bench
import pulsecast_export
import pulsecast_serve
import pulsecast_train
from helpers import plain
from helpers.engines import require
from helpers.hostile import streaming
from helpers.hostile.left_out import LEFT_OUT
from helpers.hostile.values import VALUES
from helpers.hostile.walk import callees, outcome
from helpers.logs.log_files import hours
from helpers.measured import result
from helpers.native_models import add_native, require_c
from pulsecast_bench.results.result import write_result
from pulsecast_train.fetching.http_source import Page

require("polars", "cryptography")

DATA = Path(__file__).parent / "data"
TIME = 1_736_121_600


class Things:
    """What usual arguments are made of, once; the current folder may be written to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.golden, self.key = DATA / "golden_v2", DATA / "golden_v2.pub"
        self.log, self.plain = folder / "log.csv", folder / "bundle"
        self.log.write_text(hours(list(range(30))))
        plain_model = plain.make_model(plain.LEVEL_SPEC)
        plain.write_bundle(self.plain, plain_model)
        self.model = pulsecast.load(self.golden, backend="numpy")
        spec = self.model.manifest.spec
        self.window = np.ones((1, spec.context, spec.measured), np.float32)
        self.time = np.array([TIME], np.int64)
        self.private = folder / "private.pem"
        pulsecast.generate_key(self.private)
        self.bundle = pulsecast.Bundle.open(self.golden)
        (self.series,), _ = pulsecast_train.read_log(self.log)
        write_result(result(), folder / "result.json", force=True)
        self.result = pulsecast_bench.read_result(folder / "result.json")
        self.benchmark = pulsecast_bench.Benchmark(result=self.result)
        self.signed = shutil.copytree(self.golden, folder / "signed")
        pulsecast.sign(self.signed, self.private)
        (folder / "run.toml").write_text("[train]\nwindow = 24\n")

    @cached_property
    def native(self) -> Any:
        """A model of C, which a compiler makes in some seconds."""
        require_c()
        bundle, model = self.folder / "native", plain.make_model(plain.LEVEL_SPEC)
        plain.write_bundle(bundle, model)
        add_native(bundle, model)
        return pulsecast.load_native(bundle, trust_code=True)

    def rolling(self) -> Any:
        return pulsecast.RollingConformal(horizon=1)


class NoRecords:
    """A source of records for `fetch`, which has none."""

    identity = "none"

    def page(self, cursor: str | None, left_s: float) -> Page:
        return Page(records=(), cursor=None)


class Row(NamedTuple):
    """`of` returns what is called, anew for every case; `usual` are arguments that end soon.

    `values`: an error of its own kind, ValueError, is a record's answer.
    """

    of: Callable[[Things], Callable[..., Any]]
    usual: Callable[[Things], dict[str, Any]] = lambda things: {}
    values: bool = False


def row(function: Callable[..., Any], usual: Callable[[Things], dict[str, Any]] = lambda things: {}) -> Row:
    return Row(lambda things: function, usual)


def record(found: type) -> Row:
    return Row(lambda things: found, values=True)


OUT = "out.tmp"  # not there before, in the current folder
ROWS: dict[str, Row] = {
    "pulsecast.AnomalyDetector.from_bytes": row(
        pulsecast.AnomalyDetector.from_bytes, lambda t: {"model": t.model, "data": t.model.detector().to_bytes()}
    ),
    "pulsecast.AnomalyDetector.push": Row(
        lambda t: t.model.detector().push, lambda t: {"step": 1.0, "timestamp": TIME}
    ),
    "pulsecast.AnomalyDetector.restart": Row(lambda t: t.model.detector().restart, lambda t: {"missing": 30}),
    **{
        f"pulsecast.AnomalyDetector.{name}": Row(lambda t, name=name: getattr(t.model.detector(), name))
        for name in ("hasten", "settle", "skip", "to_bytes", "window")
    },
    "pulsecast.Bundle.golden": Row(lambda t: t.bundle.golden),
    "pulsecast.Bundle.manifest_bytes": Row(lambda t: t.bundle.manifest_bytes),
    "pulsecast.Bundle.open": row(pulsecast.Bundle.open, lambda t: {"path": t.plain}),
    "pulsecast.Bundle.read": Row(lambda t: t.bundle.read, lambda t: {"relative": "MODEL_CARD.md"}),
    "pulsecast.Bundle.signature_bytes": Row(lambda t: t.bundle.signature_bytes),
    "pulsecast.Bundle.unpacked": Row(lambda t: _entered(t.bundle.unpacked), lambda t: {"relative": "MODEL_CARD.md"}),
    "pulsecast.Bundle.weights": Row(lambda t: t.bundle.weights),
    "pulsecast.Forecaster.detector": Row(lambda t: t.model.detector),
    "pulsecast.Forecaster.outside": Row(lambda t: t.model.outside, lambda t: {"values": t.window}),
    "pulsecast.Forecaster.monitor": Row(lambda t: t.model.monitor),
    "pulsecast.Forecaster.predict": Row(
        lambda t: t.model.predict, lambda t: {"values": t.window, "timestamps": t.time, "interval": 0.9}
    ),
    "pulsecast.Forecaster.stream": Row(lambda t: t.model.stream),
    "pulsecast.Manifest.artifact": Row(lambda t: t.bundle.manifest.artifact, lambda t: {"artifact_id": "numpy"}),
    "pulsecast.Monitor.from_bytes": row(
        pulsecast.Monitor.from_bytes, lambda t: {"model": t.model, "data": t.model.monitor().to_bytes()}
    ),
    "pulsecast.Monitor.observe": Row(lambda t: t.model.monitor().observe, lambda t: {"step": 1.0, "forecast": 1.0}),
    "pulsecast.Monitor.push": Row(lambda t: t.model.monitor().push, lambda t: {"step": 1.0, "timestamp": TIME}),
    "pulsecast.Monitor.report": Row(lambda t: t.model.monitor().report),
    "pulsecast.Monitor.to_bytes": Row(lambda t: t.model.monitor().to_bytes),
    "pulsecast.NativeForecaster.predict": Row(
        lambda t: t.native.predict, lambda t: {"values": [0.0] * plain.LEVEL_SPEC.context}
    ),
    "pulsecast.RollingConformal": row(pulsecast.RollingConformal, lambda t: {"horizon": 1}),
    "pulsecast.RollingConformal.interval": Row(
        lambda t: t.rolling().interval, lambda t: {"forecast": np.array([1.0]), "level": 0.9}
    ),
    "pulsecast.RollingConformal.observe": Row(lambda t: t.rolling().observe, lambda t: {"value": 1.0}),
    "pulsecast.RollingConformal.radii": Row(lambda t: t.rolling().radii, lambda t: {"level": 0.9}),
    "pulsecast.SplitConformal.at": Row(lambda t: t.bundle.manifest.intervals.at, lambda t: {"level": 0.9}),
    **{
        f"pulsecast.Stream.{name}": Row(lambda t, name=name: getattr(t.model.stream(), name))
        for name in ("hasten", "reset", "settle", "skip", "state", "to_bytes", "window")
    },
    "pulsecast.Stream.from_bytes": row(
        pulsecast.Stream.from_bytes, lambda t: {"model": t.model, "data": t.model.stream().to_bytes()}
    ),
    "pulsecast.Stream.push": Row(lambda t: t.model.stream().push, lambda t: {"steps": 1.0, "timestamp": TIME}),
    "pulsecast.generate_key": row(pulsecast.generate_key, lambda t: {"path": OUT}),
    "pulsecast.load": row(pulsecast.load, lambda t: {"path": t.plain, "backend": "numpy"}),
    "pulsecast.load_native": row(pulsecast.load_native, lambda t: {"path": t.plain, "artifact": "numpy"}),
    "pulsecast.pack": row(pulsecast.pack, lambda t: {"path": t.plain, "out": "out.pulse"}),
    "pulsecast.sign": row(pulsecast.sign, lambda t: {"path": t.signed, "private_key": t.private, "force": True}),
    "pulsecast.step": row(pulsecast.step, lambda t: {"model": t.model, "state": None, "values": 1.0, "time": TIME}),
    "pulsecast.unpack": row(pulsecast.unpack, lambda t: {"path": t.plain, "out": OUT}),
    "pulsecast.verify": row(pulsecast.verify, lambda t: {"bundle": t.plain}),
    "pulsecast_train.EvaluateConfig": record(pulsecast_train.EvaluateConfig),
    "pulsecast_train.LogConfig": record(pulsecast_train.LogConfig),
    "pulsecast_train.RunConfig": record(pulsecast_train.RunConfig),
    "pulsecast_train.FetchLimits": record(pulsecast_train.FetchLimits),
    "pulsecast_train.TrainConfig": record(pulsecast_train.TrainConfig),
    "pulsecast_train.Series.has_phase": Row(lambda t: t.series.has_phase, lambda t: {"phase_s": 0}),
    "pulsecast_train.Series.timestamps_s": Row(lambda t: t.series.timestamps_s),
    "pulsecast_train.evaluate": row(pulsecast_train.evaluate, lambda t: {"logs": t.log, "out": OUT}),
    "pulsecast_train.evaluate_bundle": row(
        pulsecast_train.evaluate_bundle, lambda t: {"logs": t.log, "bundle": t.golden}
    ),
    "pulsecast_train.fetch": row(pulsecast_train.fetch, lambda t: {"source": NoRecords(), "out": OUT}),
    "pulsecast_train.find_rhythm": row(pulsecast_train.find_rhythm, lambda t: {"series": t.series}),
    "pulsecast_train.generate_log": row(pulsecast_train.generate_log, lambda t: {"path": OUT, "days": 1}),
    "pulsecast_train.look": row(pulsecast_train.look, lambda t: {"logs": t.log}),
    "pulsecast_train.predict_logs": row(  # refused when all is checked, before a process starts: there is no pool
        pulsecast_train.predict_logs, lambda t: {"bundle": t.plain, "logs": t.log, "out": "out.parquet", "pool": True}
    ),
    "pulsecast_train.read_as_trained": row(
        pulsecast_train.read_as_trained, lambda t: {"logs": t.log, "manifest": t.bundle.manifest}
    ),
    "pulsecast_train.read_config": row(pulsecast_train.read_config, lambda t: {"path": t.folder / "run.toml"}),
    "pulsecast_train.read_log": row(pulsecast_train.read_log, lambda t: {"logs": t.log}),
    "pulsecast_train.train": row(pulsecast_train.train, lambda t: {"logs": t.log, "out": OUT}),
    "pulsecast_export.ServeOptions": record(pulsecast_export.ServeOptions),
    "pulsecast_export.export": row(pulsecast_export.export, lambda t: {"model": "nothing", "out": OUT}),
    "pulsecast_export.serve_config": row(pulsecast_export.serve_config, lambda t: {"path": t.plain, "out": OUT}),
    "pulsecast_export.write_page": row(pulsecast_export.write_page, lambda t: {"path": t.plain, "out": OUT}),
    "pulsecast_serve.ServerConfig": record(pulsecast_serve.ServerConfig),
    "pulsecast_serve.application": row(pulsecast_serve.application, lambda t: {"bundles": t.plain}),
    "pulsecast_serve.live_page": row(pulsecast_serve.live_page, lambda t: {"model": t.model}),
    "pulsecast_serve.serve": row(pulsecast_serve.serve, lambda t: {"bundles": t.folder / "nothing"}),
    **{name: Row(*given) for name, given in streaming.ROWS.items()},
    "pulsecast_bench.BenchConfig": record(pulsecast_bench.BenchConfig),
    "pulsecast_bench.Benchmark.write": Row(lambda t: t.benchmark.write, lambda t: {"out": OUT}),
    "pulsecast_bench.Budget": record(pulsecast_bench.Budget),
    "pulsecast_bench.Compared.text": Row(lambda t: pulsecast_bench.compare(t.benchmark, t.benchmark).text),
    "pulsecast_bench.Device": Row(lambda t: pulsecast_bench.Device, lambda t: {"host": "nowhere"}, values=True),
    "pulsecast_bench.Report.html": Row(lambda t: pulsecast_bench.report(t.benchmark).html),
    "pulsecast_bench.Report.markdown": Row(lambda t: pulsecast_bench.report(t.benchmark).markdown),
    "pulsecast_bench.Server": Row(lambda t: pulsecast_bench.Server, lambda t: {"url": "http://x"}, values=True),
    "pulsecast_bench.bench": row(
        pulsecast_bench.bench,
        lambda t: {"bundle": t.plain, "config": pulsecast_bench.BenchConfig(artifacts=("nothing",))},
    ),
    "pulsecast_bench.compare": row(
        pulsecast_bench.compare, lambda t: {"first": t.folder / "result.json", "second": t.folder / "result.json"}
    ),
    "pulsecast_bench.pack_bench": row(pulsecast_bench.pack_bench, lambda t: {"path": t.plain, "out": OUT}),
    "pulsecast_bench.read_result": row(pulsecast_bench.read_result, lambda t: {"path": t.folder / "result.json"}),
    "pulsecast_bench.report": row(pulsecast_bench.report, lambda t: {"results": t.folder / "result.json"}),
    "pulsecast_bench.save_baseline": row(
        pulsecast_bench.save_baseline, lambda t: {"result": t.folder / "result.json", "out": OUT}
    ),
}


def _entered(made: Callable[..., Any]) -> Callable[..., Any]:
    def entered(**arguments: Any) -> None:
        with made(**arguments):
            pass

    return entered


FOUND = {callee.name: callee for callee in callees()}


def test_every_public_name_has_a_row_or_a_reason() -> None:
    assert sorted(FOUND) == sorted({*ROWS, *LEFT_OUT})
    assert set(ROWS) & set(LEFT_OUT) == set()


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Things:
    return Things(tmp_path_factory.mktemp("things"))


# some 50 ms for each case, or a compiler: one value in seven, a different one for each parameter, unless soaked
HEAVY = (
    "pulsecast.NativeForecaster.predict",
    "pulsecast_train.evaluate",
    "pulsecast_train.evaluate_bundle",
    "pulsecast_train.predict_logs",
    "pulsecast_train.read_as_trained",
)


def walked(name: str, things: Things, folder: Path, *, every: int = 1) -> dict[str, str]:
    """Return what went wrong, by case; `every` takes one value in so many."""
    case, wrong = ROWS[name], {}
    for number, parameter in enumerate(FOUND[name].parameters):
        for value in [*VALUES][number % every :: every]:
            hostile = {parameter: VALUES[value](folder)}
            found = outcome(
                lambda hostile=hostile: case.of(things)(**case.usual(things) | hostile),  # type: ignore[misc]
                values=case.values,
            )
            if found:
                wrong[f"{parameter} is {value}"] = found
    return wrong


@pytest.mark.parametrize("name", [name for name in ROWS if name != "pulsecast.NativeForecaster.predict"])
def test_a_hostile_argument_gives_a_result_or_an_error_in_one_sentence(
    name: str, things: Things, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert walked(name, things, tmp_path, every=7 if name in HEAVY else 1) == {}


@pytest.mark.soak
@pytest.mark.parametrize("name", HEAVY)
def test_every_hostile_argument_of_what_takes_longer(
    name: str, things: Things, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert walked(name, things, tmp_path) == {}
