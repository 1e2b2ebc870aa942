"""A real server, measured beside the bundle that it serves: every answer is compared, and a wrong one is said."""

import dataclasses
import datetime
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from helpers import measured, plain
from helpers.engines import require
from helpers.serving import running
from helpers.serving.scripted import Reply, answer, scripted
from pulsecast import load
from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import EngineError, ToleranceError, UsageError
from pulsecast.foundation import strict_json
from pulsecast.stages.exits import FAILED, OUT_OF_TOLERANCE
from pulsecast_bench import Benchmark, Device, Server, bench, read_result, report
from pulsecast_bench.analysis.outcome import judge
from pulsecast_bench.analysis.summary import summarise
from pulsecast_bench.measuring.caller import Visit, measure
from pulsecast_bench.results.case import PROFILES, Case
from pulsecast_bench.results.result import Failure, Result
from pulsecast_bench.results.run import WireRun, decode

require("starlette", "uvicorn", "httptools", "prometheus_client")

KEY = "0123456789abcdef-of-a-test"
SHORT = dataclasses.replace(
    PROFILES["quick"], batches=(1,), repeats=1, calls=20, steady_s=0.05, limit_s=20.0, window_s=0.0, paired_s=0.0,
    step_calls=(), concurrency=(1, 3),
)  # fmt: skip


@pytest.fixture(scope="module")
def bundle(calendar_bundle: Path) -> Path:
    return calendar_bundle


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wire") / "keys"
    path.write_text(f"{KEY}  # a test's\n")
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def address(bundle: Path, keys: Path) -> Iterator[str]:
    from pulsecast_serve import ServerConfig

    with running(bundle, config=ServerConfig(keys=str(keys))) as client:
        yield client.address


def visit(url: str, connections: int = 2, key: Path | None = None) -> Visit:
    case = Case(artifact="timeseries", batch=1, threads=1, leading=False, connections=connections)
    server = Server(url=url, key=None if key is None else str(key))
    return Visit(case=case, repeat=0, order=0, config=SHORT, server=server, against="numpy")


def forecasting(bundle: Path, wrong_at: int | None = None) -> Reply:
    """Return what answers golden windows with their forecasts; the answer at `wrong_at` is that to another one."""
    golden = Bundle.open(bundle).golden()
    times = golden.windows.time
    assert times is not None
    forecasts = load(bundle).predict(golden.windows.values, timestamps=times).tolist()
    of = dict(zip(times.tolist(), forecasts, strict=True))
    asked = itertools.count()

    def reply(body: bytes) -> bytes:
        (one,) = json.loads(body)["inputs"]
        start = datetime.datetime.fromisoformat(one["start_timestamp"]).timestamp()
        numbers = of[int(start) + (len(one["series"]) - 1) * plain.CHANGE_SPEC.step_s]
        if next(asked) == wrong_at:
            numbers = next(other for other in forecasts if other != numbers)
        return answer(json.dumps({"outputs": [{"content": [{"mean_forecast": numbers}]}]}).encode())

    return reply


@pytest.fixture(scope="module")
def right(bundle: Path) -> WireRun:
    """A run whose answers are all right."""
    with scripted(forecasting(bundle)) as url:
        return measure(bundle, visit(url, connections=1))


def bench_of(run: WireRun) -> Result:
    """Return a result that holds one artifact's run and `run`."""
    return measured.result(measured.run("numpy"), wires=(run,))


def test_a_server_is_measured_in_the_same_result_as_the_bundle_and_neither_address_nor_key_is_written(
    bundle: Path, address: str, keys: Path, tmp_path: Path
) -> None:
    out = tmp_path / "result.json"
    found = bench(bundle, out=out, config=SHORT, server=Server(url=address, key=str(keys)))
    assert {run.case.connections for run in found.result.wires} == {1, 3}
    assert read_result(out) == found.result
    text = out.read_text()
    port = address.rpartition(":")[2]  # with its colon: the digits alone may stand in a measured number
    for secret in (address, address.removeprefix("http://"), f":{port}", KEY, str(keys)):
        assert secret not in text
    one, three = found.summary.wires
    assert (one.connections, three.connections, one.against, one.wrong) == (1, 3, "numpy", 0)
    assert one.deviation == pytest.approx(0.0, abs=1e-6)
    for run, row in zip(
        sorted(found.result.wires, key=lambda run: run.case.connections or 0), (one, three), strict=True
    ):
        latencies = decode(run.latencies)
        assert row.answers == len(latencies) >= SHORT.calls
        assert row.p50_ns.value == np.sort(latencies)[(len(latencies) + 1) // 2 - 1]
        assert row.requests_per_s.value == pytest.approx(len(latencies) * 1e9 / run.wall_ns)
        assert run.wall_ns >= latencies.max()
    inside = np.median(decode(found.result.runs[0].steady.latencies))
    assert one.over_in_process.value == pytest.approx(
        np.median(decode(next(run for run in found.result.wires if run.case.connections == 1).latencies)) / inside
    )
    assert "through the wire" in repr(found)
    written = report(out).markdown()
    assert "### Through the wire" in written
    assert "--url URL --protocol timeseries --concurrency 1,3" in written


def test_without_its_key_a_server_is_not_measured(bundle: Path, address: str) -> None:
    with pytest.raises(EngineError, match=r"answered 401: .*a key is missing or unknown"):
        bench(bundle, config=SHORT, server=Server(url=address))


def test_a_model_that_the_server_does_not_have_is_said(bundle: Path, address: str, keys: Path) -> None:
    with pytest.raises(EngineError, match=r"answered 404: .*no model 'other'"):
        bench(bundle, config=SHORT, server=Server(url=address, key=str(keys), model="other"))


def test_a_server_of_another_model_is_refused_before_anything_is_measured(bundle: Path, linear_bundle: Path) -> None:
    with (
        running(linear_bundle) as client,
        pytest.raises(ToleranceError, match="it serves another model, or another artifact than numpy"),
    ):
        bench(bundle, config=SHORT, server=Server(url=client.address))


def test_one_wrong_answer_among_right_ones_is_counted_and_fails_the_run(bundle: Path) -> None:
    with scripted(forecasting(bundle, wrong_at=1)) as url:  # of the warm-up, whose answers are answers too
        run = measure(bundle, visit(url, connections=1))
    assert run.wrong == 1
    assert run.deviation > run.tolerance
    found = bench_of(run)
    code, sentence = judge(summarise(found))
    assert code == OUT_OF_TOLERANCE
    assert "1 of timeseries at 1 connection" in sentence
    assert "timeseries at 1 connection: 1 answers are WRONG" in repr(Benchmark(result=found))


def test_right_answers_are_not_wrong(right: WireRun) -> None:
    assert (right.wrong, right.deviation <= right.tolerance) == (0, True)


def test_an_answer_that_is_not_a_number_is_wrong(bundle: Path) -> None:
    body = answer(b'{"outputs": [{"content": [{"mean_forecast": [NaN, 1.0]}]}]}')
    with scripted(lambda _: body) as url:
        run = measure(bundle, visit(url))
    assert run.wrong >= SHORT.calls
    assert strict_json.loads(WireRun, strict_json.dumps(run).encode(), where="run") == run


def test_a_run_whose_wrong_answers_do_not_fit_its_deviation_is_refused(right: WireRun) -> None:
    with pytest.raises(ValueError, match="3 wrong answers do not fit a deviation"):
        dataclasses.replace(right, wrong=3)


def test_a_server_that_ends_while_it_is_asked_is_a_failure_of_its_row_alone(bundle: Path, right: WireRun) -> None:
    asked = itertools.count()
    good = forecasting(bundle)
    with (
        scripted(lambda body: good(body) if next(asked) < 60 else None) as url,
        pytest.raises(EngineError, match="closed the connection between two requests"),
    ):
        measure(bundle, visit(url))
    failure = Failure(case=dataclasses.replace(right.case, connections=8), repeat=0, reason="the server closed it")
    found = dataclasses.replace(bench_of(right), failures=(failure,))
    summary = summarise(found)
    assert [(row.connections, row.failures) for row in summary.wires] == [
        (1, ()), (8, ("process 1: the server closed it",)),
    ]  # fmt: skip
    assert judge(summary)[0] == FAILED
    assert "timeseries at 8 connections: failed: process 1: the server closed it" in repr(Benchmark(result=found))


def test_a_device_and_a_server_are_not_measured_together(bundle: Path) -> None:
    with pytest.raises(UsageError, match="pass a device or a server"):
        bench(bundle, config=SHORT, device=Device(host="x"), server=Server(url="http://x"))
