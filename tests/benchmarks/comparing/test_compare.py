"""Two results side by side, and one against a baseline of ratios."""

import dataclasses
from pathlib import Path

import pytest

from helpers import measured, rounds
from pulsecast.errors import FormatError, UsageError
from pulsecast.foundation import strict_json
from pulsecast_bench.comparing.baseline import check_baseline, make_baseline, read_baseline
from pulsecast_bench.comparing.compare import Allowed, Comparison, compare_results
from pulsecast_bench.comparing.text import baseline_text, comparison_text
from pulsecast_bench.results.result import Failure, Result

NAMES = ("old", "new")
HELD = Path(__file__).parents[3] / "benchmarks" / "baselines"


def times(factor: float) -> tuple[int, ...]:
    return tuple(round(factor * level) for level in rounds.QUIET)


def compared(first: Result, second: Result, **allowed: object) -> Comparison:
    return compare_results(first, second, NAMES, Allowed(**allowed))  # type: ignore[arg-type]


def test_a_case_is_slower_when_its_whole_interval_lies_past_the_threshold() -> None:
    first = rounds.result({"onnx": rounds.QUIET, "tflite": rounds.QUIET, "numpy": rounds.QUIET})
    second = rounds.result({"onnx": times(1.2), "tflite": times(1.1), "numpy": times(0.8)})
    found = compared(first, second)
    assert [one.state for one in found.cases] == ["slower", "within", "faster"]
    assert [one.ratio.value for one in found.cases] == pytest.approx([1.2, 1.1, 0.8])
    assert compared(first, second, max_slowdown=1.5).slower == ()


def test_noise_as_large_as_the_slowdown_is_not_a_slowdown() -> None:
    first = rounds.result({"onnx": (100, 130, 95, 150, 105)})
    second = rounds.result({"onnx": (120, 100, 160, 98, 140)})
    (case,) = compared(first, second).cases
    assert case.ratio.value == pytest.approx(120 / 105)
    assert case.state == "within"


def test_a_result_over_itself_is_1_everywhere() -> None:
    one = rounds.result({"onnx": rounds.QUIET})
    found = compared(one, one)
    (case,), (artifact,) = found.cases, found.artifacts
    assert case.ratio.value == 1.0
    assert artifact.size == 1.0
    assert artifact.rmse_change is not None
    assert (artifact.rmse_change.low, artifact.rmse_change.high) == (0.0, 0.0)
    assert artifact.bare.value == 1.0


def test_few_processes_are_not_judged() -> None:
    few = rounds.result({"onnx": (100, 100)})
    found = compared(few, few)
    assert [one.case.artifact for one in found.not_judged] == ["onnx"]
    assert "1 of 1 cannot be judged" in comparison_text(found, markdown=False)


def test_another_model_is_refused_unless_allowed() -> None:
    first = rounds.result({"onnx": rounds.QUIET})
    second = dataclasses.replace(
        first, model=dataclasses.replace(first.model, manifest_sha256="cd" * 32, recipe="recommended")
    )
    sentence = r"models differ \(manifest abababababab and cdcdcdcdcdcd; recipe textbook and recommended\): pass --acr"
    with pytest.raises(UsageError, match=sentence):
        compared(first, second)
    found = compared(first, second, models=True)
    assert found.artifacts[0].rmse_change is None


def test_another_machine_is_refused_unless_allowed_and_a_new_engine_is_only_noted() -> None:
    first = rounds.result({"onnx": rounds.QUIET})
    versions = {"python": "3.11.7", "numpy": "2.5.0"}
    newer = dataclasses.replace(first, machine=dataclasses.replace(measured.MACHINE, versions=versions))
    assert compared(first, newer).notes == ("versions: numpy 2.4.6 -> 2.5.0",)
    other = dataclasses.replace(first, machine=dataclasses.replace(measured.MACHINE, cpu_model="Other", cores=8))
    with pytest.raises(UsageError, match=r"the machines differ \(cpu model Test CPU and Other; cores 4 and 8\)"):
        compared(first, other)
    assert compared(first, other, machines=True).cases[0].ratio.value == 1.0


def test_a_kilobyte_of_memory_makes_no_other_machine() -> None:
    first = rounds.result({"onnx": rounds.QUIET})
    machine = dataclasses.replace(measured.MACHINE, memory_bytes=8_000_001_024)
    assert compared(first, dataclasses.replace(first, machine=machine)).cases


def test_results_without_a_case_in_common_are_refused() -> None:
    with pytest.raises(UsageError, match="share no case"):
        compared(rounds.result({"onnx": rounds.QUIET}), rounds.result({"tflite": rounds.QUIET}))


def test_a_case_that_failed_in_the_second_is_lost_and_an_unrequested_one_is_noted() -> None:
    first = rounds.result({"onnx": rounds.QUIET, "tflite": rounds.QUIET, "numpy": rounds.QUIET})
    second = rounds.result({"onnx": rounds.QUIET})
    failed = Failure(case=first.runs[5].case, repeat=0, reason="it crashed")
    found = compared(first, dataclasses.replace(second, failures=(failed,)))
    assert found.lost == ("tflite, batch 1, threads 1",)
    assert found.notes == ("only in old: tflite, batch 1, threads 1; numpy, batch 1, threads 1",)


def pushes(*levels: int) -> Result:
    steps = tuple(
        measured.step("onnx", repeat=i, microseconds=(level,) * 150) for i, level in enumerate(levels or rounds.QUIET)
    )
    return dataclasses.replace(rounds.result({"onnx": rounds.QUIET}), steps=steps)


def test_a_push_that_became_slower_is_a_case_of_its_own() -> None:
    found = compared(pushes(), pushes(*times(1.2)))
    assert [(one.case.call, one.state) for one in found.cases] == [("predict", "within"), ("push", "slower")]
    text = comparison_text(found, markdown=True)
    assert "| onnx | 1 | 1 | 100 | 100 |" in text
    assert "| onnx | push | 1 | 100 | 120 | 1.20x (" in text
    lost = compared(pushes(), rounds.result({"onnx": rounds.QUIET}))
    assert lost.notes == ("only in old: onnx, push, threads 1",)


def test_a_baseline_holds_a_push_over_the_engines_window() -> None:
    baseline = make_baseline(pushes(110, 110, 110, 110, 110))
    assert [(one.name, one.over, one.values[0]) for one in baseline.ratios] == [
        ("onnx", "bare", 1.05),
        ("onnx push", "bare", 1.1),
    ]
    found = check_baseline(baseline, pushes(140, 141, 139, 140, 142), Allowed())
    assert [(one.name, one.state) for one in found.ratios] == [("onnx", "within"), ("onnx push", "slower")]
    assert "| onnx push | bare | 1.10x (" in baseline_text(found, markdown=True)
    assert check_baseline(baseline, rounds.result({"onnx": rounds.QUIET}), Allowed()).missing == (
        "onnx push over bare",
    )


def test_a_threshold_below_1_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--max-slowdown is 0.9; expected a factor from 1"):
        Allowed(max_slowdown=0.9)


def test_markdown_is_a_table_that_can_be_pasted() -> None:
    first = rounds.result({"onnx": rounds.QUIET})
    text = comparison_text(compared(first, rounds.result({"onnx": times(1.2)})), markdown=True)
    assert text.startswith("### new over old\n\n| artifact | batch or call | threads |")
    assert "| onnx | 1 | 1 | 100 | 120 | 1.20x (" in text
    assert "* 1 of 1 are slower (slower means: the whole 95 % interval lies above 1.1)" in text


def test_a_baseline_holds_ratios_and_no_time() -> None:
    baseline = make_baseline(rounds.result({"onnx": rounds.QUIET, "tflite": times(2)}))
    assert [(one.artifact, one.over) for one in baseline.ratios] == [
        ("onnx", "bare"),
        ("tflite", "bare"),
        ("tflite", "onnx"),
    ]
    assert baseline.ratios[0].values == (1.05,) * 5
    assert baseline.ratios[2].values == (2.0, 2.0, 2.0, 2.0, 2.0)


def test_a_baseline_does_not_see_a_machine_that_is_ten_times_slower() -> None:
    baseline = make_baseline(rounds.result({"onnx": rounds.QUIET, "tflite": times(2)}))
    found = check_baseline(baseline, rounds.result({"onnx": times(10), "tflite": times(20)}), Allowed())
    assert [one.state for one in found.ratios] == ["within"] * 3
    worse = check_baseline(baseline, rounds.result({"onnx": times(10), "tflite": times(23)}), Allowed())
    assert [(one.artifact, one.over) for one in worse.slower] == [("tflite", "onnx")]
    assert "tflite" in baseline_text(worse, markdown=False)


def test_a_baseline_of_another_shape_platform_or_thread_count_is_refused() -> None:
    result = rounds.result({"onnx": rounds.QUIET, "tflite": times(2)})
    baseline = make_baseline(result)
    other = dataclasses.replace(baseline, context=60, platform="Darwin arm64")
    with pytest.raises(
        UsageError, match=r"context 60 and 50.*--across-models.*Darwin arm64 and Linux x86_64.*--across-m"
    ):
        check_baseline(other, result, Allowed())
    assert check_baseline(other, result, Allowed(models=True, machines=True)).ratios
    with pytest.raises(UsageError, match="baseline is of 2 threads, the result of 1"):
        check_baseline(dataclasses.replace(baseline, threads=2), result, Allowed())


def test_a_ratio_that_the_result_lacks_is_missing() -> None:
    baseline = make_baseline(rounds.result({"onnx": rounds.QUIET, "tflite": times(2)}))
    found = check_baseline(baseline, rounds.result({"onnx": rounds.QUIET}), Allowed())
    assert found.missing == ("tflite over bare", "tflite over onnx")


def test_a_baseline_is_read_strictly(tmp_path: Path) -> None:
    baseline = make_baseline(rounds.result({"onnx": rounds.QUIET}))
    path = tmp_path / "baseline.json"
    path.write_text(strict_json.dumps(baseline))
    assert read_baseline(path) == baseline
    path.write_text(strict_json.dumps(dataclasses.replace(baseline, schema_version=3)))  # type: ignore[arg-type]
    with pytest.raises(FormatError, match="schema_version is 3"):
        read_baseline(path)
    for other in ("{}", "time,value\n"):
        path.write_text(other)
        with pytest.raises(
            UsageError, match=r"is not a baseline; `pulsecast compare RESULT --save-baseline FILE` writes one"
        ):
            read_baseline(path)


def test_the_baselines_of_this_repository_hold_intervals() -> None:
    kept = sorted(HELD.glob("*.json"))
    if not kept:
        pytest.skip("no baseline is kept in benchmarks/baselines")
    for baseline in map(read_baseline, kept):
        assert min(len(ratio.values) for ratio in baseline.ratios) >= 5
        assert max(max(ratio.values) for ratio in baseline.ratios if ratio.over == "bare") < 1.5
