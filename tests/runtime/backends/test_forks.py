"""Processes that are forked after a load, and threads: the parent's numbers or one sentence, and nothing hangs."""

import gc
import json
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from helpers.engines import require, require_tool
from pulsecast import load
from pulsecast.backends import BACKENDS, forks
from pulsecast.backends.forks import forks_wait, renew_after_fork
from pulsecast.backends.native_store import CACHE_VARIABLE
from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import EngineError

PROGRAM = Path(__file__).parents[2] / "helpers" / "outside" / "forked.py"
OLD_BUNDLE = Path(__file__).parents[2] / "data" / "golden_v1"
DEADLINE_S = 600  # of all ways together, each of which has its own
WAYS = (
    "fork", "fork and whole exit", "fork, two threads and a fork", "fork while threads forecast", "fork and load",
    "pool by fork", "pool by spawn", "asyncio in threads", "asyncio in a forked process", "the parent afterwards",
)  # fmt: skip
WITHOUT_A_FORK = {"pool by spawn", "asyncio in threads", "the parent afterwards"}
REFUSED = "EngineError: tensorflow VERSION was started before this process was forked, and cannot run in it: "


def outcomes(bundle: Path, artifact: str, threads: int, folder: Path) -> dict[str, str]:
    out = folder / "outcomes.json"
    # several threads of numpy's library: that is when a fork can meet its lock
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "2"}
    subprocess.run(
        [sys.executable, str(PROGRAM), str(bundle), artifact, str(threads), str(out)],
        env=environment, timeout=DEADLINE_S, check=True, capture_output=True,
    )  # fmt: skip
    return json.loads(out.read_text("utf-8"))


SOAK = pytest.mark.soak  # a run takes half a minute; the others show the same of each backend


@pytest.mark.slow
@pytest.mark.parametrize("artifact", [pytest.param("numpy", marks=SOAK), "onnx-w8", "tflite-w8"])
@pytest.mark.parametrize("threads", [pytest.param(1, marks=SOAK), 2])
def test_every_way_to_a_child_process_or_a_thread_gives_the_parents_numbers(
    artifact: str, threads: int, tmp_path: Path
) -> None:
    require(*filter(None, [BACKENDS[artifact.partition("-")[0]].package]))
    assert outcomes(OLD_BUNDLE, artifact, threads, tmp_path) == dict.fromkeys(WAYS, "same")


@pytest.mark.slow
@SOAK
@pytest.mark.parametrize("artifact", ["onnx", "tflite", "tflite-int8"])
def test_every_way_gives_the_parents_numbers_of_a_trained_model(
    recommended_bundle: Path, artifact: str, tmp_path: Path
) -> None:
    assert outcomes(recommended_bundle, artifact, 2, tmp_path) == dict.fromkeys(WAYS, "same")


@pytest.mark.slow
@pytest.mark.parametrize("threads", [pytest.param(1, marks=SOAK), 2])
def test_every_way_gives_the_parents_numbers_from_compiled_c(
    threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_tool("cc", "gcc", "clang")
    from helpers.native_models import cc_here
    from pulsecast_export.exporter import export_model

    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("CC", cc_here())
    plain.write_model_directory(tmp_path / "model", plain.make_model(plain.CHANGE_SPEC))
    export_model(tmp_path / "model", tmp_path / "bundle", targets=("native",))
    assert outcomes(tmp_path / "bundle", "native", threads, tmp_path) == dict.fromkeys(WAYS, "same")


@pytest.mark.slow
def test_tensorflow_is_refused_in_one_sentence_in_every_forked_process(
    recommended_bundle: Path, tmp_path: Path
) -> None:
    import tensorflow as tf

    refused = REFUSED.replace("VERSION", tf.__version__)
    found = outcomes(recommended_bundle, "savedmodel", 1, tmp_path)
    assert {way for way in WAYS if found[way] == "same"} == WITHOUT_A_FORK
    assert {way for way in WAYS if found[way].startswith(refused)} == {*WAYS} - WITHOUT_A_FORK


def answer_of_a_child(job) -> str:  # type: ignore[no-untyped-def]
    """Return what `job` returns in a forked process, which is killed after 20 s."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        timer = threading.Timer(20, os._exit, [1])
        timer.daemon = True
        timer.start()
        os.write(writing, str(job()).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        answer = file.read()
    os.waitpid(pid, 0)
    return answer or "nothing: it hung"


def test_a_lock_that_another_thread_holds_at_the_fork_does_not_hold_the_child() -> None:
    require("ai_edge_litert")
    model = load(OLD_BUNDLE, artifact="tflite-w8")
    windows = Bundle.open(OLD_BUNDLE).golden().windows.take(slice(3))
    expected = model.predict(windows)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with model.backend.inner._lock:  # type: ignore[attr-defined]
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    answer = answer_of_a_child(lambda: np.array_equal(model.predict(windows), expected))
    done.set()
    thread.join()
    assert answer == "True"
    np.testing.assert_array_equal(model.predict(windows), expected)


def test_a_fork_waits_for_other_threads_in_numpys_library_and_lets_none_begin() -> None:
    inside, order = threading.Event(), []

    def work() -> None:
        with forks_wait:
            inside.set()
            while forks_wait._forking is None:  # until the fork waits
                pass
            order.append("left")
        with forks_wait:
            order.append("began again")

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    answer = answer_of_a_child(lambda: order)
    thread.join()
    assert answer == "['left']"
    assert order == ["left", "began again"]


def test_a_thread_that_forks_inside_its_own_block_does_not_wait_for_itself() -> None:
    def again() -> str:
        with forks_wait:
            return "again"

    with forks_wait:
        assert answer_of_a_child(again) == "again"
    assert answer_of_a_child(again) == "again"
    assert forks_wait._running == {}


class Counting:
    def __init__(self) -> None:
        self.calls = 0

    def after_fork(self) -> None:
        self.calls += 1


def test_an_engine_is_renewed_in_the_child_alone_and_once() -> None:
    engine = Counting()
    renew_after_fork(engine)
    renew_after_fork(engine)
    assert answer_of_a_child(lambda: engine.calls) == "1"
    assert engine.calls == 0


@pytest.mark.parametrize("artifact", ["numpy", "onnx-w8", "tflite-w8"])
def test_a_loaded_model_is_freed(artifact: str) -> None:
    require(*filter(None, [BACKENDS[artifact.partition("-")[0]].package]))
    model = load(OLD_BUNDLE, artifact=artifact)
    gone = weakref.ref(model.backend.inner)  # type: ignore[attr-defined]
    assert artifact == "numpy" or gone() in forks._engines
    del model
    gc.collect()
    assert gone() is None


# ------------------------------------------------------------------------------------------------ calls inside calls


def test_a_signal_handler_that_forecasts_inside_a_forecast_gets_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a plain lock it waited for itself; without one it would exchange the other call's input."""
    require("ai_edge_litert")
    model = load(OLD_BUNDLE, artifact="tflite-w8")
    windows = Bundle.open(OLD_BUNDLE).golden().windows
    expected = model.predict(windows.take(slice(2)))
    backend, heard = model.backend.inner, []  # type: ignore[attr-defined]

    class Interrupted:
        """The interpreter, with a signal just before it runs."""

        def __init__(self, inner: object) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> object:
            return getattr(self._inner, name)

        def invoke(self) -> None:
            with pytest.raises(EngineError, match=r"was called inside its own call; do not predict in a signal hand"):
                model.predict(windows.take(slice(5, 6)))
            heard.append(True)
            self._inner.invoke()  # type: ignore[attr-defined]

    monkeypatch.setattr(backend, "_interpreter", Interrupted(backend._interpreter))
    np.testing.assert_array_equal(model.predict(windows.take(slice(2))), expected)
    assert heard == [True]


def test_a_forecast_interrupted_while_the_batch_changes_spoils_no_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    require("ai_edge_litert")
    model = load(OLD_BUNDLE, artifact="tflite-w8")
    windows = Bundle.open(OLD_BUNDLE).golden().windows
    expected = model.predict(windows.take(slice(2)))
    backend = model.backend.inner  # type: ignore[attr-defined]
    real = backend._interpreter

    class Stopped:
        """The interpreter, whose user presses Ctrl-C after it was resized."""

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def allocate_tensors(self) -> None:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(backend, "_interpreter", Stopped())
        with pytest.raises(KeyboardInterrupt):
            model.predict(windows.take(slice(7)))
    np.testing.assert_array_equal(model.predict(windows.take(slice(2))), expected)
