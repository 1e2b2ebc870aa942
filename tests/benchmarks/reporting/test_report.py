"""The table and the report of a result whose numbers are known."""

import dataclasses
import re

import pytest

from helpers import measured, rounds
from pulsecast_bench.analysis.summary import summarise
from pulsecast_bench.reporting.markdown import markdown
from pulsecast_bench.reporting.protocol import command, protocol
from pulsecast_bench.reporting.section import measured as parts
from pulsecast_bench.reporting.table import html_summary, notes, number, text_table
from pulsecast_bench.results.case import PROFILES, change

TABLE = text_table(summarise(measured.eventful()))


def _row(artifact: str) -> list[str]:
    return next(line for line in TABLE.splitlines() if line.startswith(f"{artifact} ")).split()


def test_a_row_shows_what_was_measured() -> None:
    # 8 windows in 400 us are 20,000 a second; forecasts 12 and 18 of 10 and 20: MAE 2 for the reference's 1.5,
    # RMSE 2 for 1.58; largest difference from the reference 1 of a range of 100
    assert _row("onnx") == (
        [
            "onnx",
            "100",
            "100",
            "-",
            "20000",
            "8",
            "12.3",
            "0.70",
            "60.0",
            "125",
            "2.00",
            "+26.49%",
            "1.0e-02",
            "+5.0%",
            "yes",
        ]
    )


def test_an_unstable_row_says_no_and_a_skipped_one_nothing_but_its_size() -> None:
    assert _row("tflite")[-1] == "NO"
    assert _row("savedmodel") == ["savedmodel", *["-"] * 8, "125", *["-"] * 5]


def test_every_gap_is_explained_below_the_table() -> None:
    notes = TABLE.partition("\n\n")[2].splitlines()
    assert "tflite: failed: tflite, batch 8, threads 1, process 1: crashed with SIGSEGV" in notes
    assert (
        "tflite: batch 1 is unstable: 1 of 1 processes; the last 3 windows differ by 1.30x in latency, 1.30x in rate"
        in notes
    )
    assert "savedmodel: skipped: backend savedmodel is not installed" in notes
    assert "onnx: no percentile: 300 calls; p99 needs 662" in notes


def test_the_table_is_aligned_and_fits_a_terminal_with_large_numbers() -> None:
    large = measured.result(
        *(measured.run("tflite-int8-long", microseconds=(123_456,) * 700, repeat=i) for i in range(2))
    )
    lines = text_table(summarise(large)).partition("\n\n")[0].splitlines()
    assert max(map(len, lines)) <= 120
    assert len({line.rindex(" ") for line in lines if line.endswith(("stable", "yes"))}) <= 2
    assert lines[2].split()[1:4] == ["123456"] * 3


def test_a_reference_without_an_engine_beneath_has_a_reasoned_dash() -> None:
    run = measured.run("numpy")
    bare = measured.result(type(run)(**{**vars(run), "paired": None}), subjects=(measured.subject("numpy", "numpy"),))
    assert "own code, without an engine" in text_table(summarise(bare))


def test_unstable_artifacts_are_listed_for_the_exit_code() -> None:
    assert summarise(measured.eventful()).unstable == ("tflite",)


def test_the_report_holds_the_table_the_sweep_the_machine_and_the_command() -> None:
    report = markdown(parts([measured.eventful()]))
    assert "| onnx | 100 | 100 | - | 20000 | 8 |" in report
    assert re.search(r"\| onnx \| 10000 \| 20000 \|", report)
    assert "Test CPU, 4 processors, usable 0, 1, limited to 1.5" in report
    assert "frequency governor not readable" in report
    assert "median 25.0%, largest 25.0%" in report
    assert "empty reading 50 ns, 0.05% of the fastest median; nothing is subtracted" in report
    # 20 + 100 + 12.3 + 0.7 ms
    assert "| onnx | 100 | 12.3 | 0.70 | 133 | 50.0 | 1.00 |" in report
    assert command(measured.eventful()) in report


def test_the_command_repeats_the_measurement_with_what_was_chosen() -> None:
    assert command(measured.eventful()) == (
        "pulsecast bench shop --out RESULT --profile standard --batch 1 --batch 8 --step-call none --repeats 2"
    )


def test_the_command_and_the_protocol_tell_five_processes_from_five_or_more() -> None:
    some = measured.result(measured.run("onnx"), config=PROFILES["standard"])
    assert "--repeats" not in command(some)
    assert "5 and more until the interval of p50 is at most 10% wide, 15 at most, for an art" in protocol(some)
    exact = dataclasses.replace(some, config=change(PROFILES["standard"], repeats=5))
    assert command(exact).endswith(" --repeats 5")
    assert "(seed 7): 5 for an artifact's smallest batch, 5 for others." in protocol(exact)


def test_the_command_names_peers_and_scenarios() -> None:
    config = change(
        PROFILES["standard"],
        peers=("openvino", "keras.call"),
        scenarios=("server",),
        issuer="loop",
        target_qps=250.0,
        pin=False,
        step_calls=("push",),
    )
    assert command(measured.result(measured.run("onnx"), config=config)) == (
        "pulsecast bench shop --out RESULT --profile standard --peers openvino,keras.call --scenario server "
        "--step-call push --no-pin "
        "--target-qps 250.0 --issuer loop"
    )


STEPS = measured.result(
    measured.run("onnx"),
    steps=(
        measured.step("onnx", "streams", microseconds=(45_000,) * 150),
        measured.step("onnx"),
        measured.step("onnx", "detector", microseconds=(120,) * 100 + (150,) * 50),
    ),
)


def test_steps_have_a_table_of_their_own_with_the_ratio_to_the_engines_window() -> None:
    # 1,000 streams in 45 ms are 45 us each, and 450 times the 100 us that the engine's call took beside it
    lines = text_table(summarise(STEPS)).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("one step at a time"))
    assert [re.split(r"  +", line) for line in lines[at : at + 4]] == [
        ["one step at a time", "call", "us p50", "p90", "p99", "over the engine's window", "stable"],
        ["onnx", "push", "110", "110", "-", "1.10x", "yes"],
        ["onnx", "detector push", "120", "150", "-", "1.20x", "NO"],
        ["onnx", "push of 1,000 streams, each", "45.0", "45.0", "-", "450.00x", "yes"],
    ]
    assert "one step at a time" not in TABLE
    report = markdown(parts([STEPS]))
    assert "### One step at a time" in report
    assert "| onnx | push | 110 | 110 | - | 1.10x | yes |" in report
    assert "### One step at a time" not in markdown(parts([measured.eventful()]))
    assert "<td>detector push</td>" in html_summary(summarise(STEPS))


def test_an_unstable_step_is_named_and_decides_the_exit_code() -> None:
    summary = summarise(STEPS)
    assert summary.unstable == ("onnx detector",)
    assert [line for line in notes(summary) if line.startswith("onnx detector: it is unstable: 1 of 1 processes;")]
    assert "onnx, onnx push, onnx detector, onnx streams: no percentile: 150 calls; p99 needs 662" in notes(summary)


def test_several_results_stand_in_one_report() -> None:
    report = markdown(parts([measured.eventful(), measured.result(measured.run("onnx"))]))
    assert report.count("## shop, 2026-01-02T03:04:05+00:00, profile standard") == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.0, "0.00"), (9.994, "9.99"), (96.41, "96.4"), (1306.2, "1306"), (-12.34, "-12.3")],
)
def test_numbers_have_about_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_processes_that_are_steady_and_differ_are_remarked_on() -> None:
    def remarks(*levels: int) -> list[str]:
        return [line for line in notes(summarise(rounds.result({"onnx": levels}))) if "differ by" in line]

    assert remarks(100, 125, 100, 100, 100) == []
    [remark] = remarks(100, 126, 100, 100, 100)
    assert remark.startswith(
        "onnx: batch 1: its processes differ by 1.26x, from 100 to 126 us, although each was steady"
    )
