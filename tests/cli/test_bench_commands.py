"""`bench` and `report` from the command line."""

import json
from pathlib import Path

import pytest

from helpers import measured, rounds
from helpers.engines import require

require("typer")

from pulsecast.foundation import strict_json  # noqa: E402
from pulsecast_bench import Benchmark  # noqa: E402
from pulsecast_bench.results.footprints import (  # noqa: E402
    KIND,
    SCHEMA_VERSION,
    Footprint,
    Footprints,
    read_footprints,
)
from pulsecast_bench.results.result import read_result, write_result  # noqa: E402
from pulsecast_cli.app import run as run_arguments  # noqa: E402
from pulsecast_cli.commands.benchmarks.bench import verdict  # noqa: E402


def run(*arguments: object) -> int:
    return run_arguments([str(argument) for argument in arguments])


@pytest.mark.slow
def test_bench_writes_a_result_and_prints_its_table(
    plain_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "result.json"
    quick = ("--profile", "quick", "--batch", 2, "--repeats", 1)
    code = run("bench", plain_bundle, "--out", out, *quick, "--step-call", "none")
    captured = capsys.readouterr()
    result = read_result(out)
    assert code == (4 if Benchmark(result=result).summary.unstable else 0)
    assert [(one.case.batch, one.repeat) for one in result.runs] == [(2, 0)]
    assert result.steps == ()
    assert captured.out.splitlines()[2].startswith("numpy")
    assert f"next: pulsecast report {out}" in captured.out
    assert "measuring 1/1 numpy, batch 2, threads 1" in captured.err


@pytest.mark.slow
def test_bench_shows_what_a_push_costs_of_what_load_takes_by_itself(
    calendar_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "result.json"
    assert run("bench", calendar_bundle, "--out", out, "--profile", "quick", "--batch", 1, "--repeats", 1) in (0, 4)
    printed = capsys.readouterr().out
    table = printed[printed.index("one step at a time") :].splitlines()
    assert [line.split()[:2] for line in table[1:3]] == [["numpy", "push"], ["numpy", "detector"]]
    assert run("report", out, "--format", "json") == 0
    steps = json.loads(capsys.readouterr().out)["results"][0]["summary"]["steps"]
    assert [(step["artifact"], step["call"]) for step in steps] == [("numpy", "push"), ("numpy", "detector")]
    assert all(step["over_engine"]["value"] > 0 for step in steps)


def test_bench_refuses_an_unknown_step_call(
    plain_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("bench", plain_bundle, "--out", tmp_path / "r.json", "--step-call", "push,jump") == 2
    assert "no step call jump; known: push, back_to_back, detector, streams" in capsys.readouterr().err


def test_bench_refuses_to_overwrite_before_it_measures(
    plain_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "result.json"
    out.write_text("precious")
    assert run("bench", plain_bundle, "--out", out) == 2
    assert capsys.readouterr().err == f"error[usage]: {out} exists; pass --force to replace it\n"
    assert out.read_text() == "precious"


def test_bench_refuses_a_batch_of_nothing(
    plain_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("bench", plain_bundle, "--out", tmp_path / "r.json", "--batch", 0) == 2
    assert "batches are (0,); expected different numbers from 1" in capsys.readouterr().err


def test_an_unstable_row_is_exit_code_4_and_a_failed_process_1(capsys: pytest.CaptureFixture[str]) -> None:
    eventful = measured.eventful()
    drifting = measured.run("tflite", microseconds=(100,) * 100 + (130,) * 50)
    assert verdict(Benchmark(result=eventful)) == 1
    assert verdict(Benchmark(result=measured.result(drifting))) == 4
    assert "unstable: tflite" in capsys.readouterr().err
    assert verdict(Benchmark(result=measured.result(measured.run("onnx")))) == 0


def test_report_prints_markdown_or_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "result.json", tmp_path / "report.md"
    write_result(measured.eventful(), source, force=False)
    assert run("report", source) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("# pulsecast benchmark\n")
    assert run("report", source, "--out", out) == 0
    assert out.read_text() == printed
    assert run("report", source, "--out", out) == 2


def test_report_names_what_is_wrong_with_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "result.json"
    source.write_text(json.dumps({"schema_version": 9}))
    assert run("report", source) == 5
    assert "schema_version is 9; this version of pulsecast reads 1 and 2" in capsys.readouterr().err
    source.write_text('{"schema_version": 2, "mod')
    assert run("report", source) == 5
    assert "result.json is not valid JSON" in capsys.readouterr().err
    for other in ("time,value\n2024-01-01,1\n", '{"a": 1}', "[]", "", "\x89PNG"):
        source.write_text(other)
        for command in (("report", source), ("compare", source, source)):
            assert run(*command) == 2
            assert capsys.readouterr().err == "error[usage]: result.json is not a result of `pulsecast bench`\n"


def test_a_result_that_cannot_be_written_is_still_printed(
    plain_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pulsecast_bench.front.run_benchmark", lambda *_: measured.eventful())
    monkeypatch.setattr("os.fsync", full)
    assert run("bench", plain_bundle, "--out", tmp_path / "result.json") == 1
    captured = capsys.readouterr()
    assert f"{tmp_path / 'result.json'} could not be written and is as it was: No space left on device" in captured.err
    assert "onnx" in captured.out
    assert list(tmp_path.iterdir()) == []


def written(path: Path, levels: dict[str, tuple[int, ...]]) -> Path:
    write_result(rounds.result(levels), path, force=False)
    return path


def test_report_writes_one_html_page_and_prints_the_recommendation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require("matplotlib")
    source, out = written(tmp_path / "result.json", {"onnx": rounds.QUIET}), tmp_path / "report.html"
    assert run("report", source, "--out", out, "--max-latency-us", 150) == 0
    assert capsys.readouterr().out.startswith("Take onnx (100 us, RMSE +0.00%, 125 kB).")
    assert out.read_text().startswith("<!doctype html>")


def test_report_says_when_nothing_fits_and_exits_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = written(tmp_path / "result.json", {"onnx": rounds.QUIET})
    assert run("report", source, "--max-latency-us", 50) == 1
    assert "Nothing fits. Nearest is onnx (100 us, RMSE +0.00%, 125 kB): 102 us where 50 us are allowed." in (
        capsys.readouterr().out
    )


def test_report_refuses_a_budget_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = written(tmp_path / "result.json", {"onnx": rounds.QUIET})
    assert run("report", source, "--max-size-kb", 0, "--max-rmse-change", -1) == 2
    assert capsys.readouterr().err == (
        "error[usage]: --max-size-kb is 0; expected a number above 0; --max-rmse-change is -1; expected a share "
        "from 0, such as 0.01 for 1 %\n"
    )


@pytest.mark.parametrize(
    ("second", "options", "code"),
    [
        (rounds.QUIET, (), 0),
        ((120, 121, 119, 120, 122), (), 1),
        ((120, 121, 119, 120, 122), ("--max-slowdown", 1.5), 0),
        ((120, 121), (), 4),
        (rounds.QUIET, ("--max-slowdown", 0.5), 2),
    ],
    ids=["alike", "slower", "slower is allowed", "too few to judge", "no threshold"],
)
def test_compare_exits_with_what_it_found(
    tmp_path: Path, second: tuple[int, ...], options: tuple[object, ...], code: int
) -> None:
    first = written(tmp_path / "first.json", {"onnx": rounds.QUIET})
    assert run("compare", first, written(tmp_path / "second.json", {"onnx": second}), *options) == code


def test_compare_prints_json_with_a_schema_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = written(tmp_path / "first.json", {"onnx": rounds.QUIET})
    second = written(tmp_path / "second.json", {"onnx": (120, 121, 119, 120, 122)})
    assert run("compare", first, second, "--format", "json") == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["schema_version"], document["command"], document["passed"]) == (1, "compare", False)
    (case,) = document["comparison"]["cases"]
    assert (case["state"], case["ratio"]["value"]) == ("slower", pytest.approx(1.2))


def test_compare_refuses_one_result_without_a_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compare", written(tmp_path / "first.json", {"onnx": rounds.QUIET})) == 2
    assert "1 results; expected FIRST SECOND, or one RESULT with --baseline" in capsys.readouterr().err


def test_a_baseline_is_saved_and_held_against_a_faster_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = written(tmp_path / "first.json", {"onnx": rounds.QUIET, "tflite": (200,) * 5})
    baseline = tmp_path / "baseline.json"
    assert run("compare", first, "--save-baseline", baseline) == 0
    assert run("compare", first, "--save-baseline", baseline) == 2  # it is there
    faster = written(tmp_path / "faster.json", {"onnx": (50,) * 5, "tflite": (100,) * 5})
    assert run("compare", "--baseline", baseline, faster) == 0
    slower = written(tmp_path / "slower.json", {"onnx": (50,) * 5, "tflite": (130,) * 5})
    capsys.readouterr()
    assert run("compare", "--baseline", baseline, slower, "--format", "markdown") == 1
    assert "| tflite | onnx | 2.00x (1.96 to 2.02) | 2.60x (2.60 to 2.60) |" in capsys.readouterr().out
    without = written(tmp_path / "without.json", {"onnx": (50,) * 5})
    assert run("compare", "--baseline", baseline, without) == 1


def footprints(path: Path, manifest_sha256: str) -> Path:
    program = Footprint(artifact="native-w8", use="step", text=42_000, data=500, bss=1836, stack=1160)
    found = Footprints(
        kind=KIND,
        schema_version=SCHEMA_VERSION,
        model="shop",
        manifest_sha256=manifest_sha256,
        compiler="gcc -O2",
        programs=(program,),
    )
    path.write_text(strict_json.dumps(found))
    return path


def test_a_report_shows_what_the_model_takes_on_a_microcontroller(tmp_path: Path, capsys) -> None:
    source, out = tmp_path / "result.json", tmp_path / "report.html"
    result = measured.eventful()
    write_result(result, source, force=False)
    figures = footprints(tmp_path / "m4.json", result.model.manifest_sha256)
    assert read_footprints(figures).programs[0].flash == 42_500
    assert run("report", source, "--microcontroller", figures) == 0
    part = capsys.readouterr().out.partition("## On a microcontroller (Cortex-M4)\n")[2]
    assert part.splitlines()[-1] == "| native-w8 | step | 42.5 | 2.3 | 1.2 |"
    assert "gcc -O2" in part
    assert run("report", source, "--microcontroller", figures, "--out", out) == 0
    assert "<h2>On a microcontroller (Cortex-M4)</h2>" in out.read_text()
    assert run("report", source, "--microcontroller", figures, "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["microcontroller"]["programs"][0]["bss"] == 1836


def test_a_report_refuses_microcontroller_figures_that_are_none_or_of_another_bundle(tmp_path: Path, capsys) -> None:
    source = tmp_path / "result.json"
    write_result(measured.eventful(), source, force=False)
    assert run("report", source, "--microcontroller", source) == 2
    assert "result.json is not a pulsecast microcontroller result; `python -m" in capsys.readouterr().err
    assert run("report", source, "--microcontroller", footprints(tmp_path / "m4.json", "00" * 32)) == 2
    assert "m4.json is of another bundle (model shop) than the results" in capsys.readouterr().err
    changed = tmp_path / "changed.json"
    changed.write_text((tmp_path / "m4.json").read_text().replace("1836", "-1"))
    assert run("report", source, "--microcontroller", changed) == 5
    assert "programs[0]: native-w8, step: bytes are negative" in capsys.readouterr().err


def test_report_as_json_has_the_statistics_and_what_to_take(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = written(tmp_path / "result.json", {"onnx": rounds.QUIET}), tmp_path / "report.md"
    assert run("report", source, "--format", "json", "--out", out, "--max-latency-us", 150) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema_version"], document["command"]) == (1, "report")
    (result,) = document["results"]
    assert result["recommendation"]["artifact"] == "onnx"
    assert [row["artifact"] for row in result["summary"]["rows"]] == ["onnx"]
    assert out.read_text().startswith("# ")
    assert run("report", source, "--format", "json", "--max-latency-us", 50) == 1
    assert json.loads(capsys.readouterr().out)["results"][0]["recommendation"]["artifact"] is None
    assert run("report", source, "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["recommendation"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--url-key", "k"), "--url-key without a server: pass --url http://HOST:PORT as well"),
        (("--concurrency", "4"), "--concurrency without a server"),
        (("--url", "http://127.0.0.1:1", "--concurrency", "1,x"), "--concurrency has 'x'; expected numbers"),
        (("--url", "http://127.0.0.1:1", "--concurrency", "0"), "expected numbers from 1 to 1024"),
        (("--url", "127.0.0.1"), "expected one such as http://127.0.0.1:8080"),
        (("--url", "http://127.0.0.1:1", "--host", "x"), "pass a device or a server"),
    ],
)
def test_options_of_a_server_that_do_not_fit_are_refused(
    options: tuple[str, ...], said: str, calendar_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("bench", calendar_bundle, "--out", tmp_path / "r.json", *options) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_server_that_is_not_there_is_one_sentence(
    calendar_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r.json"
    assert run("bench", calendar_bundle, "--out", out, "--url", "http://127.0.0.1:1") == 1
    said = capsys.readouterr().err.strip()
    assert said == "error[engine]: the server cannot be reached: Connection refused; is it running at that address?"
    assert not out.exists()
