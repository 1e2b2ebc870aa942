"""The program that times a start: every row runs, in a process of its own, and a missed target is said."""

from pathlib import Path

import pytest

from helpers.engines import EXPORT, require
from pulsecast.errors import UsageError
from pulsecast_bench.analysis.statistics import Estimate
from pulsecast_bench.claims import starts
from pulsecast_bench.claims.starts import STARTS, Cost, measure_starts, text


def test_a_bundle_without_an_onnx_file_has_nothing_to_compare_with(plain_bundle: Path) -> None:
    with pytest.raises(UsageError, match="has no ONNX file in a folder; expected a bundle folder with the target onnx"):
        measure_starts(plain_bundle, 1)


@pytest.mark.slow
def test_each_start_is_a_process_whose_model_is_loaded_by_then(textbook_bundle: Path) -> None:
    require(*EXPORT)
    found = measure_starts(textbook_bundle, 1)
    assert [one.start.name for one in found] == ["ONNX Runtime alone", "numpy", "onnx"]  # no native in this bundle
    assert found[0].ratio.value == 1.0
    alone, plain, onnx = found
    assert plain.peak_bytes < alone.peak_bytes < onnx.peak_bytes
    assert all(1e6 < one.spent_ns[0] < 600e9 for one in found)


def cost(name: str, ms: float, mb: float) -> Cost:
    start = next(one for one in STARTS if one.name == name)
    return Cost(
        start=start, spent_ns=(int(ms * 1e6),), peak_bytes=(int(mb * 1e6),), ratio=Estimate(value=1.0, reason="one")
    )


def test_a_missed_target_is_no_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cost("onnx", 350, 999).kept
    assert not cost("onnx", 351, 1).kept
    assert cost("numpy", 9999, 45).kept
    assert not cost("numpy", 1, 45.1).kept
    for costs, code in (((cost("onnx", 100, 70),), 0), ((cost("onnx", 100, 70), cost("numpy", 90, 46)), 1)):
        monkeypatch.setattr(starts, "measure_starts", lambda *_, costs=costs: costs)
        assert starts.main(["bundle"]) == code
        assert capsys.readouterr().out.count("NO") == code
    assert "-" in text((cost("native", 100, 70),))


def test_the_memory_of_a_start_is_its_own_and_not_that_of_this_process(tmp_path: Path) -> None:
    held = bytearray(200_000_000)
    held[::4096] = b"x" * len(held[::4096])
    _, peak_bytes = starts._spent("pass", str(tmp_path))
    assert len(held) == 200_000_000
    assert 2e6 < peak_bytes < 60e6
