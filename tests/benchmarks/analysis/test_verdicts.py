"""Whether quantising is worth it: the rule at its edges, and over whole results."""

import pytest

from helpers import rounds
from pulsecast_bench.analysis.statistics import Estimate
from pulsecast_bench.analysis.summary import summarise
from pulsecast_bench.analysis.verdicts import judge, verdicts
from pulsecast_bench.reporting.table import text_table


def interval(low: float, high: float) -> Estimate:
    return Estimate(value=(low + high) / 2, low=low, high=high)


KEPT = interval(-0.001, 0.001)


@pytest.mark.parametrize(
    ("time", "change", "size", "answer"),
    [
        (interval(0.80, 0.94), KEPT, 0.3, "yes"),
        (interval(0.80, 0.94), KEPT, 1.0, "yes"),
        (interval(0.80, 0.95), KEPT, 0.3, "cannot tell"),
        (interval(0.95, 1.05), KEPT, 0.3, "for size"),
        (interval(0.90, 1.10), KEPT, 0.8, "for size"),
        (interval(0.90, 1.10), KEPT, 0.81, "no"),
        (interval(0.89, 1.10), KEPT, 0.3, "cannot tell"),
        (interval(1.06, 1.20), KEPT, 0.3, "no, unless size decides"),
        (interval(1.06, 1.20), KEPT, 1.0, "no"),
        (interval(0.80, 0.90), interval(0.011, 0.02), 0.3, "no"),
        (interval(0.80, 0.90), interval(0.009, 0.011), 0.3, "cannot tell"),
        (interval(2.00, 3.00), interval(0.009, 0.011), 0.3, "no"),
        (Estimate(value=0.5, reason="too few"), KEPT, 0.3, "cannot tell"),
        (interval(0.80, 0.90), Estimate(value=0.0, reason="too few"), 0.3, "cannot tell"),
    ],
)
def test_the_rule(time: Estimate, change: Estimate, size: float, answer: str) -> None:
    assert judge(time, change, size)[0] == answer


def test_an_artifact_is_held_against_float32_of_its_own_engine() -> None:
    result = rounds.result({"onnx": rounds.QUIET, "tflite": (300,) * 5, "tflite-w8": (200,) * 5})
    (found,) = verdicts(result)
    assert (found.artifact, found.against, found.answer) == ("tflite-w8", "tflite", "yes")
    assert found.time_ratio.value == pytest.approx(2 / 3)
    assert found.size_ratio == pytest.approx(41 / 125)


def test_rounds_are_paired_so_that_a_slow_one_decides_nothing() -> None:
    slow_round = (100, 100, 300, 100, 100)
    result = rounds.result({"onnx": slow_round, "onnx-w8": slow_round})
    (found,) = verdicts(result)
    assert (found.time_ratio.low, found.time_ratio.high) == (1.0, 1.0)
    assert found.answer == "for size"


def test_lost_accuracy_is_a_no_however_fast_it_is() -> None:
    result = rounds.result({"onnx": rounds.QUIET, "onnx-w8": (20,) * 5}, off={"onnx-w8": 1.0})
    (found,) = verdicts(result)
    assert found.answer == "no"
    assert found.why == "RMSE rises by more than 1%"
    assert found.rmse_change.low is not None
    assert found.rmse_change.low > 0.1  # errors of deviation 1 and 1 together: +41 % on average, of 100 windows


def test_without_a_float32_artifact_of_its_engine_there_is_no_verdict() -> None:
    assert verdicts(rounds.result({"onnx": rounds.QUIET, "tflite-w8": rounds.QUIET})) == ()


def test_the_terminal_shows_the_answer_and_says_why_there_is_none() -> None:
    text = text_table(summarise(rounds.result({"onnx": rounds.QUIET, "onnx-w8": rounds.QUIET})))
    row = next(line for line in text.splitlines() if line.startswith("onnx-w8") and "for size" in line)
    assert row.endswith("for size  1.00x (1.00 to 1.00)  onnx  0.33x  +0.00% (+0.00 to +0.00)")
    few = text_table(summarise(rounds.result({"onnx": (100, 100), "onnx-w8": (90, 90)})))
    assert "onnx-w8: no verdict: no interval: 2 processes, 5 are needed" in few
