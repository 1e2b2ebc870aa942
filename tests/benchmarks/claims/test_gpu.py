"""The program for an NVIDIA card, on a machine without one: what it records, and that it says what it could not see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from helpers.engines import EXPORT, TRAIN, require
from pulsecast_bench.claims.gpu import child
from pulsecast_bench.claims.gpu.card import Use, find_card, take, watched
from pulsecast_bench.claims.gpu.record import Found, Ran, Side, words

FAKE = """#!/bin/sh
case "$1" in
  *name*) echo 'NVIDIA H200, 570.1, 143771' ;;
  *) printf '0, 500, 80.5\\n50, 1500, [N/A]\\n90, 1200, 300.25\\n7'; echo said > "$FIFO"; exec sleep 600 ;;
esac
"""


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An nvidia-smi that answers; the pipe ends when its samples are written."""
    program, pipe = tmp_path / "bin" / "nvidia-smi", tmp_path / "pipe"
    program.parent.mkdir()
    program.write_text(FAKE)
    program.chmod(0o755)
    os.mkfifo(pipe)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FIFO", str(pipe))
    return pipe


@pytest.fixture
def no_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def test_a_card_is_described_and_its_use_is_sampled_until_the_work_ends(card: Path) -> None:
    found = find_card()
    assert found is not None
    assert (found.name, found.driver, found.memory_mib) == ("NVIDIA H200", "570.1", 143771.0)
    with watched() as use:
        assert card.read_text() == "said\n"
    assert use == Use(busy_percent=[0.0, 50.0, 90.0], memory_mib=[500.0, 1500.0, 1200.0], power_w=[80.5, 300.25])


def test_without_a_driver_there_is_no_card_and_no_sample(no_card: None) -> None:
    assert find_card() is None
    with watched() as use:
        pass
    assert use.words() == "no sample"


def test_a_line_that_is_cut_is_left_out() -> None:
    use = Use()
    take(use, "10, 20, 30\n11, 2")
    assert use == Use(busy_percent=[10.0], memory_mib=[20.0], power_w=[30.0])


def side(way: str, *epochs: float) -> Side:
    return Side(way=way, device="GPU:0", epoch_s=epochs, loss=0.02)


def ran(device: str, max_error: float) -> Ran:
    return Ran(
        artifact="onnx", engine="onnxruntime 1", device=device, max_error=max_error, limit=1e-5, call_us={1: 90.0}
    )


def found(**changes: Any) -> Found:
    usual: dict[str, Any] = {
        "card": None,
        "keras_backend": "torch",
        "versions": {},
        "windows": 1000,
        "batch_size": 64,
        "sides": (side("pulsecast, card", 9.0, 1.0, 1.2, 1.1), side("model.fit, card", 5.0, 2.0, 2.4, 2.2)),
        "use": Use(busy_percent=[40.0], memory_mib=[900.0]),
        "verified_on_cpu": {"onnx": True},
        "ran": (ran("CUDA", 1e-6),),
        "unseen": ("a card: none",),
        "spent_s": 90.0,
    }
    return Found(**{**usual, **changes})


def test_an_epoch_is_the_median_of_those_after_the_first_which_traces() -> None:
    assert side("a", 9.0, 1.0, 1.2, 1.1).usual_s == 1.1
    assert side("a", 9.0).usual_s is None
    said = words(found())
    assert "pulsecast, card over model.fit, card: 0.50" in said
    assert "NOT SEEN: a card: none" in said
    assert "pulsecast, cpu" not in said
    assert "over" not in words(found(sides=(side("pulsecast, card", 1.0), side("model.fit, card", 1.0))))


@pytest.mark.parametrize(
    ("changes", "proven"),
    [
        ({}, True),
        ({"ran": (), "card": None}, True),
        ({"verified_on_cpu": {"onnx": True, "tflite": False}}, False),
        ({"verified_on_cpu": {}}, False),  # no bundle was made, or nothing verified it
        ({"ran": (ran("CUDA", 1e-3),)}, False),
        ({"ran": (ran("CUDA", float("nan")),)}, False),
    ],
)
def test_nothing_is_proven_by_what_failed_or_did_not_run(changes: dict[str, Any], proven: bool) -> None:
    assert found(**changes).proven is proven
    assert ("NOTHING is verified" in words(found(**changes))) is (changes.get("verified_on_cpu") == {})


@pytest.mark.slow
def test_a_run_without_a_card_proves_the_bundle_and_says_what_it_could_not_see(
    textbook_bundle: Path, no_card: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(*TRAIN, *EXPORT)
    from pulsecast_bench.claims.gpu import __main__ as program

    asked: list[tuple[str, str]] = []

    def step(run: program.Run, name: str, environment: Mapping[str, str], number: int = 0) -> dict[str, Any] | None:
        asked.append((name, environment.get("CUDA_VISIBLE_DEVICES", "")))
        if name == "make":
            (run.folder / child.BUNDLE).symlink_to(textbook_bundle)
            return {}
        if name in ("verify", "forecast"):
            return json.loads(json.dumps(child.STEPS[name](run.folder, number)))
        if name == "probe":
            return {"gpu": False}
        return {"device": "CPU:0", "epoch_s": [2.0, 1.0], "loss": 0.1, "windows": 900, "batch_size": 64}

    monkeypatch.setattr(program.Run, "step", step)
    result = program.measure(tmp_path, days=28, epochs=2, seconds=300)
    assert result.proven
    assert result.verified_on_cpu["onnx"]
    assert [one.device for one in result.ran] == ["CPU"]
    assert 0 < result.ran[0].max_error <= result.ran[0].limit
    assert [reason.partition(":")[0] for reason in result.unseen] == ["a card", "onnx on the CUDA provider"]
    assert [one.way for one in result.sides] == ["pulsecast, cpu", "model.fit, cpu"]
    assert {where for name, where in asked if name in ("pulsecast", "fit", "verify", "forecast")} == {"-1"}
    assert result.windows == 900


def test_a_step_that_fails_or_has_no_time_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pulsecast_bench.claims.gpu.__main__ import Run

    run = Run(folder=tmp_path, ends=time.monotonic() + 100)
    assert run.step("no-such-step", {"KERAS_BACKEND": "jax"}) is None
    assert run.unseen == ["no-such-step (any device, Keras on jax): it KeyError: 'no-such-step'"]
    late = Run(folder=tmp_path, ends=time.monotonic())
    assert late.step("make", {}) is None
    assert late.unseen == ["make (any device): the time was up before it"]
    assert "make" not in capsys.readouterr().err


@pytest.mark.soak
def test_the_whole_program_runs_on_this_machine(tmp_path: Path) -> None:
    require(*TRAIN, *EXPORT)
    out = tmp_path / "gpu.json"
    command = [sys.executable, "-m", "pulsecast_bench.claims.gpu", "--days", "28", "--epochs", "2", "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads(out.read_text())
    assert {side["way"] for side in record["sides"]} >= {"pulsecast, cpu", "model.fit, cpu"}
    assert all(record["verified_on_cpu"].values())
