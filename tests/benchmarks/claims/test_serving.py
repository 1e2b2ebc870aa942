"""The comparison with other servers: its ratios, its checks, and a short run of it.

PULSECAST_PEERS names environments of other servers, as `--peers` has them; without it they are left out.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.engines import require
from helpers.outside.processes import is_running, wait_for

require("starlette", "uvicorn", "httptools", "prometheus_client")

from pulsecast.bundle.bundle import Bundle  # noqa: E402
from pulsecast.errors import EngineError, ToleranceError, UsageError  # noqa: E402
from pulsecast_bench.claims.serving import measuring, subjects  # noqa: E402
from pulsecast_bench.claims.serving.__main__ import goals, main, rows, said  # noqa: E402
from pulsecast_bench.claims.serving.measuring import Figures, Turn, _Asked  # noqa: E402
from pulsecast_bench.claims.serving.subjects import (  # noqa: E402
    NOOP,
    OURS,
    Running,
    Start,
    family,
    in_columns,
    peer_environments,
    running,
)
from pulsecast_bench.wire.clients import Answered  # noqa: E402
from pulsecast_bench.wire.protocols import WIRES  # noqa: E402
from pulsecast_bench.wire.server import Server  # noqa: E402

PEERS = os.environ.get("PULSECAST_PEERS", "").split()


def turn(microseconds: int, per_s: int) -> Turn:
    """Return a round of 1,000 answers that all took as long."""
    return Turn(latencies=np.full(1000, 1000 * microseconds), wall_ns=round(1e12 / per_s), client_ns=50_000_000)


def figures(name: str, microseconds: int, per_s: int, megabytes: int, ready_s: float) -> Figures:
    return Figures(
        name=name,
        turns={count: [turn(microseconds, per_s)] * 5 for count in (1, 8, 32)},
        ready_s=[ready_s] * 3,
        resident_bytes=[megabytes * 10**6],
    )


FOUND = {
    NOOP: figures(NOOP, 100, 9000, 30, 0.3),
    OURS: figures(OURS, 140, 6000, 60, 1.2),
    "kserve": figures("kserve", 900, 1000, 150, 6.0),
    "triton": figures("triton", 300, 2500, 110, 5.0),
}


def test_goals_are_ratios_to_the_no_op_and_to_the_best_of_the_peers() -> None:
    found = {goal.what: (goal.found.value, goal.met) for goal in goals(FOUND, seed=7)}
    assert found == {
        "p50 of one connection, over the no-op": (pytest.approx(1.4), True),
        "start to ready": (1.2, True),
        **{
            f"requests/s at {many}, over triton, the best": (pytest.approx(2.4), False)
            for many in ("1 connection", "8 connections", "32 connections")
        },
        "memory, over triton, the least": (pytest.approx(60 / 110), False),
    }
    assert said(goals(FOUND, seed=7)[0]).startswith("p50 of one connection, over the no-op: 1.40x (1.40 to 1.40); at m")


def test_the_engines_own_call_is_timed(calendar_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_ARTIFACT", "numpy")
    assert measuring.engine_ns(calendar_bundle, calls=3) > 0


def test_without_peers_only_the_no_op_is_compared() -> None:
    alone = {name: FOUND[name] for name in (NOOP, OURS)}
    assert [goal.met for goal in goals(alone, seed=7)] == [True, True]
    assert rows([FOUND[OURS]], seed=7)[0] == [OURS, "1", "140", "140", "6000", "50.0", "60.0", "1.20"]


@pytest.mark.parametrize("given", ["kserve", "other=/", "kserve=/nowhere"])
def test_a_peer_that_is_not_known_or_not_installed_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match=r"expected NAME=FOLDER|not an environment of Python"):
        peer_environments([given])


def test_requests_of_triton_have_an_axis_more_where_there_is_a_number_for_each_window() -> None:
    body = {"inputs": [{"name": "values", "shape": [1, 2, 1]}, {"name": "time", "shape": [1]}]}
    assert [one["shape"] for one in json.loads(in_columns(json.dumps(body).encode()))["inputs"]] == [[1, 2, 1], [1, 1]]


def test_a_wrong_answer_ends_the_comparison(calendar_bundle: Path) -> None:
    golden = Bundle.open(calendar_bundle).golden().take([3, 5])
    server = Running(server=Server(url="http://x"), process=None, ready_s=1.0)  # type: ignore[arg-type]
    asked = _Asked(running=server, requests=[], wire=WIRES["inference"], golden=golden, limit=1e-6)

    def heard(numbers: np.ndarray) -> list[Answered]:
        output = {"name": "forecast", "shape": [1, 2], "data": numbers.tolist()}
        return [Answered(1, 2, 1, json.dumps({"outputs": [output]}).encode())]

    asked.check("x", heard(golden.reference[1]))
    with pytest.raises(ToleranceError, match="an answer of x differs by"):
        asked.check("x", heard(golden.reference[0]))


def test_memory_is_of_a_process_and_what_came_from_it() -> None:
    child = "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"
    with subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            grandchild = int(process.stdout.readline())
            assert family(process.pid) == [process.pid, grandchild]
            both = Running(server=Server(url="http://x"), process=process, ready_s=1.0)  # type: ignore[arg-type]
            assert both.resident_bytes() > 2_000_000
        finally:
            subjects._stop(process)  # type: ignore[arg-type]
    wait_for(lambda: not is_running(grandchild))


def test_a_server_that_ends_before_it_is_ready_is_said_with_its_last_words(tmp_path: Path) -> None:
    start = Start(command=lambda port: [sys.executable, "-c", f"raise SystemExit('port {port} is mine')"])
    with pytest.raises(EngineError, match=r"it said last: port \d+ is mine"), running(start, tmp_path / "x"):
        pass


@pytest.mark.slow
def test_the_comparison_runs_and_every_answer_is_the_bundles(
    recommended_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ["--rounds", "1", "--seconds", "0.02", "--starts", "1"]
    assert main([str(recommended_bundle), *short, *(["--peers", *PEERS] if PEERS else [])]) in (0, 1)
    lines = capsys.readouterr().out.splitlines()
    first = [line for line in lines[1:] if line and not line.startswith(" ")]
    names = [name.partition("=")[0] for name in PEERS]
    for line, name in zip(first, [NOOP, OURS, subjects.TIMESERIES, *names], strict=False):
        assert line.startswith(f"{name} ")
    assert any(line.startswith("start to ready: ") for line in lines)
