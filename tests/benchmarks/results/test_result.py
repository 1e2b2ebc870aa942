"""A result survives writing and reading, and a file that is not one is refused with every reason."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from helpers import measured
from pulsecast.errors import FormatError, PulsecastError, UsageError
from pulsecast_bench.results.result import read_result, write_result
from pulsecast_bench.results.run import Paired, Steady, decode, encode


def test_a_result_is_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_result(measured.eventful(), path, force=False)
    assert read_result(path) == measured.eventful()
    assert list(tmp_path.iterdir()) == [path]


def test_steps_come_back_and_an_older_result_has_none(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    result = measured.result(measured.run("onnx"), steps=(measured.step("onnx"), measured.step("onnx", "streams")))
    write_result(result, path, force=False)
    assert read_result(path) == result
    document = json.loads(path.read_text())
    del document["steps"], document["config"]["step_calls"]
    for run in document["runs"]:
        del run["case"]["call"]
    path.write_text(json.dumps(document))
    assert read_result(path) == dataclasses.replace(result, steps=())


def test_windows_and_steps_are_kept_apart() -> None:
    with pytest.raises(ValueError, match="onnx, push, threads 1: expected windows among the runs and step calls among"):
        measured.result(measured.step("onnx"))
    with pytest.raises(ValueError, match="onnx, batch 1, threads 1: expected windows"):
        measured.result(measured.run("onnx"), steps=(measured.run("onnx"),))


def test_packed_nanoseconds_come_back_as_they_were() -> None:
    values = np.array([1, 75_123, 2**53 + 1], np.int64)
    assert encode(values) == "1 75123 9007199254740993"
    assert decode(encode(values)).tolist() == values.tolist()
    assert len(decode("")) == 0


@pytest.mark.parametrize("text", ["1  2", "1.5", "-1", "1 ", "1,2", "nan"])
def test_raw_nanoseconds_are_whole_numbers_with_one_space_between(text: str) -> None:
    with pytest.raises(ValueError, match="latencies: expected whole numbers"):
        Steady(latencies=text, windows=(0,), wall_ns=1, cpu_ns=1, foreign_cpu=None)


@pytest.mark.parametrize(("runtime", "bare"), [("1 2 3", "1 2 3"), ("1 2", "1 2 3 4"), ("", "")])
def test_a_paired_measurement_holds_whole_rounds_of_both_sides(runtime: str, bare: str) -> None:
    with pytest.raises(ValueError, match="expected whole rounds of 2 x 1 on each side"):
        Paired(block=1, runtime=runtime, bare=bare)


def _document(tmp_path: Path) -> tuple[Path, dict[str, object]]:
    path = tmp_path / "result.json"
    write_result(measured.eventful(), path, force=False)
    return path, json.loads(path.read_text())


def test_unknown_keys_and_wrong_types_are_refused_together(tmp_path: Path) -> None:
    path, document = _document(tmp_path)
    path.write_text(json.dumps(document | {"host": "x", "duration_s": "long"}))
    with pytest.raises(FormatError, match=r"unknown key host; .*duration_s is the string 'long'"):
        read_result(path)


def test_another_schema_version_is_named_before_anything_else(tmp_path: Path) -> None:
    path, document = _document(tmp_path)
    path.write_text(json.dumps(document | {"schema_version": 3, "novel": 1}))
    with pytest.raises(FormatError, match="schema_version is 3; this version of pulsecast reads 1 and 2"):
        read_result(path)


def test_a_result_of_version_1_is_read_and_what_it_lacks_was_not_recorded(tmp_path: Path) -> None:
    path, document = _document(tmp_path)
    for name in ("scenarios", "packages", "label"):
        del document[name]
    config = dict(document["config"])  # type: ignore[call-overload]
    for name in ("peers", "pin", "scenarios", "issuer", "scenario_s", "target_qps", "server_load", "scenario_repeats"):
        del config[name]
    path.write_text(json.dumps(document | {"schema_version": 1, "config": config}))
    read = read_result(path)
    assert read.config.pin is False
    assert dataclasses.replace(read, config=measured.eventful().config) == measured.eventful()


def test_a_scenario_holds_as_many_due_times_as_latencies() -> None:
    with pytest.raises(ValueError, match=r"onnx, server, threads 1: due, latencies and service hold \[1, 2\] numbers"):
        dataclasses.replace(measured.scenario("onnx"), due="1")


def test_forecasts_of_another_shape_than_the_golden_are_refused(tmp_path: Path) -> None:
    odd = dataclasses.replace(measured.run("onnx"), forecasts=((1.0,),))
    with pytest.raises(ValueError, match=r"forecasts of onnx, batch 1, threads 1 have shape \(1, 1\)"):
        measured.result(odd)


def test_a_run_of_an_unrequested_artifact_is_refused() -> None:
    with pytest.raises(ValueError, match="not among the subjects: tflite"):
        measured.result(measured.run("tflite"), subjects=(measured.subject("onnx"),))


def test_an_existing_file_is_kept_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("precious")
    with pytest.raises(UsageError, match="exists; pass --force to replace it"):
        write_result(measured.eventful(), path, force=False)
    assert path.read_text() == "precious"
    write_result(measured.eventful(), path, force=True)
    assert read_result(path) == measured.eventful()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result.json"
    path.write_text("precious")

    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(PulsecastError, match="could not be written and is as it was: No space left"):
        write_result(measured.eventful(), path, force=True)
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("ratios", r"device\.json is a baseline, not a result: .*--baseline device\.json"),
        ("programs", r"device\.json is a microcontroller result, .*report RESULT --microcontroller device\.json"),
    ],
)
def test_another_file_of_the_benchmark_is_not_taken_for_a_result(tmp_path: Path, key: str, sentence: str) -> None:
    path = tmp_path / "device.json"
    path.write_text(json.dumps({"schema_version": 1, key: []}))
    with pytest.raises(UsageError, match=sentence):
        read_result(path)
