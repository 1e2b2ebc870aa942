"""gunicorn --preload: the model is loaded and used before the fork; every worker is right, or says one sentence."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers import plain
from helpers.engines import require, require_tool
from pulsecast.backends import BACKENDS
from pulsecast.backends.native_store import CACHE_VARIABLE

pytestmark = pytest.mark.slow

OUTSIDE = Path(__file__).parents[2] / "helpers" / "outside"
OLD_BUNDLE = Path(__file__).parents[2] / "data" / "golden_v1"
WORKERS, THREADS, DEADLINE_S = 3, 2, 120
KINDS = {"sync": (), "gthread": ("--threads", "2")}  # of workers
SOAK = pytest.mark.soak  # the other cases show the same


@contextmanager
def serving(bundle: Path, artifact: str, kind: str) -> Iterator[int]:
    """Yield the port on which gunicorn's workers answer."""
    require("gunicorn")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        path = os.pathsep.join([str(OUTSIDE), *filter(None, sys.path)])
        own = {"BUNDLE": str(bundle), "ARTIFACT": artifact, "THREADS": str(THREADS), "OPENBLAS_NUM_THREADS": "2"}
        words = ["--preload", "--bind", f"fd://{listening.fileno()}", "--workers", str(WORKERS), "--worker-class", kind]
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *words, *KINDS[kind], "--log-level", "error", "preloaded:application"],
            env=os.environ | {"PYTHONPATH": path} | own, pass_fds=[listening.fileno()], stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            yield listening.getsockname()[1]
        finally:
            process.terminate()
            _, said = process.communicate(timeout=DEADLINE_S)
    assert b"Traceback" not in said, said.decode()


def asked(port: int) -> dict[str, object]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    connection.request("GET", "/")
    answer: dict[str, object] = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def answers(bundle: Path, artifact: str, kind: str) -> set[object]:
    """Return what the workers answer, once each of them has answered."""
    outcomes, workers, until = set(), set(), time.monotonic() + DEADLINE_S
    with serving(bundle, artifact, kind) as port, ThreadPoolExecutor(2 * WORKERS) as pool:
        while len(workers) < WORKERS and time.monotonic() < until:
            for answer in pool.map(asked, [port] * 4 * WORKERS):
                assert answer["worker"] != answer["parent"]
                workers.add(answer["worker"])
                outcomes.add(answer["outcome"])
    assert len(workers) == WORKERS
    return outcomes


@pytest.mark.parametrize("kind", ["gthread", pytest.param("sync", marks=SOAK)])
@pytest.mark.parametrize(
    "artifact", [pytest.param("numpy", marks=SOAK), pytest.param("onnx-w8", marks=SOAK), "tflite-w8"]
)
def test_every_worker_forecasts_what_the_parent_did(artifact: str, kind: str) -> None:
    require(*filter(None, [BACKENDS[artifact.partition("-")[0]].package]))
    assert answers(OLD_BUNDLE, artifact, kind) == {"same"}


@SOAK
@pytest.mark.parametrize("kind", KINDS)
def test_every_worker_forecasts_what_the_parent_did_with_compiled_c(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_tool("cc", "gcc", "clang")
    from pulsecast_export.exporter import export_model

    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    plain.write_model_directory(tmp_path / "model", plain.make_model(plain.CHANGE_SPEC))
    export_model(tmp_path / "model", tmp_path / "bundle", targets=("native",))
    assert answers(tmp_path / "bundle", "native", kind) == {"same"}


@SOAK
@pytest.mark.parametrize("kind", KINDS)
def test_every_worker_refuses_tensorflow_in_one_sentence(kind: str, recommended_bundle: Path) -> None:
    (found,) = answers(recommended_bundle, "savedmodel", kind)
    assert str(found).startswith("EngineError: tensorflow ")
    assert "was started before this process was forked, and cannot run in it: load models after the fork only" in found
