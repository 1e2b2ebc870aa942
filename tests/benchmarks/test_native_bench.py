"""The comparison of `native` with other engines: what it refuses, and how its table is made from rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from pulsecast.errors import UsageError
from pulsecast_bench.native import BATCHES, Row, lines, main, measure_native
from pulsecast_bench.statistics import Estimate


def test_a_bundle_without_the_artifacts_is_refused_by_name(plain_bundle: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(UsageError, match="has no native, onnx, tflite; export it with targets native, onnx, tflite"):
        measure_native(plain_bundle, rounds=1, round_s=0.0)
    assert main([str(plain_bundle)]) == 1
    assert "has no native, onnx, tflite" in capsys.readouterr().err


def test_each_engine_is_compared_at_its_own_best_batch() -> None:
    times = {"native": (3.0, 2.0, 2.5), "onnx": (8.0, 9.0, 10.0)}  # us a window at 32, 64 and 256
    rows = [
        Row(
            name=f"batch {batch}",
            window_us={name: Estimate(value=values[at]) for name, values in times.items()},
            ratios={"onnx": Estimate(value=times["onnx"][at] / times["native"][at], low=2.5, high=4.5)},
        )
        for at, batch in enumerate(BATCHES)
    ]
    *_, second, last, best = lines({"native": "native avx2", "onnx": "onnxruntime"}, rows)
    assert second.split() == ["batch", "64", "2.00", "9.00", "4.50", "(2.50", "to", "4.50)"]
    assert last.split()[:4] == ["batch", "256", "2.50", "10.00"]
    assert best.split() == ["best", "batch", "2.00", "8.00", "4.00"]
