"""`pulsecast serve` as its user meets it: a process that says where it answers, and ends in peace."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from helpers.outside.processes import wait_for
from helpers.serving import WAIT_S, series_body, started
from pulsecast_cli.app import run

PATH = "/v1/timeseries/forecast"
SERIES = [float(200 + i % 24) for i in range(90)]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_answers_finish_and_the_process_end_well(bundle: Path, number: signal.Signals) -> None:
    with started(bundle) as served:
        assert served.client.get("/v2/health/ready").json == {"ready": True}
        answers: list[int] = []
        asking = threading.Thread(
            target=lambda: answers.append(served.client.post(PATH, series_body("plain", SERIES)).status)
        )
        asking.start()
        asking.join(WAIT_S)
        served.process.send_signal(number)
        assert served.process.wait(WAIT_S) == 0
        assert answers == [200]


def test_workers_answer_the_same_and_add_up_their_numbers(bundle: Path) -> None:
    with started(bundle, "--workers", "2") as served:
        replies = [served.client.post(PATH, series_body("plain", SERIES)) for _ in range(12)]
        assert {reply.status for reply in replies} == {200}
        assert len({str(reply.json["outputs"]) for reply in replies}) == 1
        counted = 'pulsecast_answers_total{address="timeseries.forecast",status="200"} 12.0'
        # a worker counts an answer once it was sent, and the other one may be asked before
        wait_for(lambda: counted in served.client.get("/metrics").body.decode())
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(WAIT_S) == 0


def test_the_log_of_workers_goes_to_stderr(bundle: Path) -> None:
    with started(bundle, "--workers", "2", "--access-log") as served:
        assert served.client.get("/v2").status == 200
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(WAIT_S) == 0
        assert served.process.stderr is not None
        assert "GET /v2 200" in served.process.stderr.read()


def test_workers_end_with_the_process_that_started_them(bundle: Path) -> None:
    with started(bundle, "--workers", "2") as served:
        assert served.client.get("/v2/health/ready").json == {"ready": True}
        assert served.process.stderr is not None
        last_closed = threading.Thread(target=served.process.stderr.read, daemon=True)  # which workers hold too
        served.process.kill()
        last_closed.start()
        last_closed.join(WAIT_S)
        assert not last_closed.is_alive()


def test_a_damaged_bundle_is_refused_before_anything_listens(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    (copy / "weights.npz").write_bytes(b"x")
    assert run(["serve", str(copy), "--port", "0"]) == 5
    assert "was changed after export" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "sentence"), [
    ([], "pass bundles, or a folder of models (--models DIR), one of the two"),
    (["BUNDLE", "--models", "."], "one of the two"),
    (["--models", "nowhere"], "the folder of models nowhere is not there"),
    (["BUNDLE", "--host", "::"], "can be reached by others: pass --keys FILE and --tls-cert FILE"),
    (["BUNDLE", "--tls-cert", "a"], "TLS takes a certificate and its key"),
    (["BUNDLE", "--port", "70000"], "port is 70000; expected 0 to 65535"),
    (["BUNDLE", "--keys", "nowhere"], "the file of keys 'nowhere'"),
])  # fmt: skip
def test_a_wrong_command_line_is_refused_in_a_sentence(
    bundle: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", *(str(bundle) if one == "BUNDLE" else one for one in arguments)]) == 2
    assert sentence in capsys.readouterr().err


def test_serving_needs_neither_tensorflow_nor_pydantic(bundle: Path) -> None:
    program = (
        "import sys; from pulsecast_serve import application; application(sys.argv[1]); "
        "print([one for one in ('tensorflow', 'keras', 'pydantic', 'onnx', 'polars', 'pulsecast_train') "
        "if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(bundle)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
