"""Log to forecast through the commands, as a user types them."""

import json
from pathlib import Path

import pytest

from helpers.engines import EXPORT, TRAIN, require
from pulsecast import Bundle, load

require("typer")

from pulsecast.errors import UsageError  # noqa: E402
from pulsecast_cli.app import run as run_arguments  # noqa: E402
from pulsecast_cli.commands.models.demo import WRITTEN, _check_folder, _draw_forecast, _targets  # noqa: E402

pytestmark = pytest.mark.slow


def run(*arguments: object) -> int:
    return run_arguments([str(argument) for argument in arguments])


def test_a_log_becomes_a_model_a_bundle_and_a_forecast(
    engagement_log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require(*TRAIN, *EXPORT)
    config = tmp_path / "train.toml"
    config.write_text(
        '[log]\ntime = "timestamp"\nid = "event_id"\nevents = true\nstep = "1h"\n'
        '[train]\nrecipe = "textbook"\nunits = [8, 8]\nepochs = 2\n'
    )
    model, bundle = tmp_path / "model", tmp_path / "bundle"
    assert run("train", engagement_log, "--out", model, "--config", config, "--epochs", "3", "--format", "json") == 0
    captured = capsys.readouterr()
    trained = json.loads(captured.out)
    known = {"model", "ridge_log_calendar", "last_value", "seasonal_naive"}
    assert set(trained["heldout"]["forecasts"]) - {"lightgbm_l1"} == known
    assert "epoch 3/3" in captured.err  # the flag wins over the file
    assert run("train", engagement_log, "--out", model, "--config", config) == 2  # exists

    assert run("export", model, "--out", bundle, "--target", "onnx") == 0
    assert "onnx" in capsys.readouterr().out
    assert run("verify", bundle, "--strict") == 0
    capsys.readouterr()

    assert run("predict", bundle, "--input", engagement_log, "--format", "json") == 0
    forecast = json.loads(capsys.readouterr().out)
    assert forecast["artifact"] == "onnx"
    assert [row["time"] for row in forecast["forecasts"]] == ["2025-03-07T00:00:00Z"]
    assert load(bundle).manifest.provenance.training["epochs_run"] == 3


def test_unknown_keys_in_the_configuration_are_refused_all_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require("polars")
    log = tmp_path / "log.csv"
    log.write_text("timestamp,value\n2025-01-06T00:00:00Z,1\n")
    config = tmp_path / "train.toml"
    config.write_text("[train]\nepoch = 3\n[logs]\n")
    assert run("train", log, "--out", tmp_path / "model", "--config", config) == 2
    message = capsys.readouterr().err
    assert "unknown key train.epoch" in message
    assert "unknown key logs" in message


def _a_model_with_notes(out: Path) -> None:
    (out / "model").mkdir(parents=True)
    (out / "model" / "notes.txt").write_text("mine")


def _a_project(out: Path) -> None:
    out.mkdir()
    (out / "main.py").write_text("mine")


def _an_own_log(out: Path) -> None:
    out.mkdir()
    (out / "engagement.csv").write_text("time,likes\n")


REFUSED = {
    "a file": (lambda out: out.write_text("mine"), "is a file"),
    "a model with notes": (_a_model_with_notes, r"holds other files \(no model.json\): notes.txt"),
    "a project": (_a_project, "holds what a demo does not write: main.py; choose another folder with --out"),
    "a log of the user's": (_an_own_log, r"holds what a demo does not write: engagement.csv"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_demo_refuses_at_once_what_it_would_refuse_at_the_end(tmp_path: Path, what: str) -> None:
    require("polars")
    prepare, sentence = REFUSED[what]
    out = tmp_path / "demo"
    prepare(out)
    with pytest.raises(UsageError, match=r"is a file|is not empty"):
        _check_folder(out, force=False)
    with pytest.raises(UsageError, match=sentence):
        _check_folder(out, force=True)


def test_a_demo_replaces_an_earlier_one_that_was_killed(tmp_path: Path) -> None:
    require("polars")
    from pulsecast_train import generate_log

    generate_log(tmp_path / "engagement.csv", days=28)
    (tmp_path / "model.training").mkdir()
    (tmp_path / "result.json").write_text("{}")
    _check_folder(tmp_path, force=True)


def test_a_demo_shows_the_native_targets_where_they_can_be_compiled(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pulsecast.backends import native_library
    from pulsecast.errors import MissingExtraError

    monkeypatch.setattr(native_library, "find_compiler", lambda: ["cc"])
    assert {"native", "native-w8", "onnx", "tflite-int8"} <= set(_targets())

    def none() -> list[str]:
        raise MissingExtraError("no compiler")

    monkeypatch.setattr(native_library, "find_compiler", none)
    assert {"native", "native-w8"} & set(_targets()) == set()
    assert "onnx" in _targets()
    assert "there is no C compiler" in capsys.readouterr().err


def test_a_demo_ends_in_a_picture_and_a_page_of_what_comes(
    engagement_log: Path, textbook_bundle: Path, tmp_path: Path
) -> None:
    require("matplotlib")
    (tmp_path / "engagement.csv").symlink_to(engagement_log)
    (tmp_path / "bundle").symlink_to(textbook_bundle)
    _draw_forecast(tmp_path, force=False)
    assert (tmp_path / "forecast.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "forecast.html").read_text("utf-8")
    manifest = Bundle.open(textbook_bundle).manifest
    assert page.count("<svg ") == 1
    assert page.count("<tr>") == 1 + manifest.spec.horizon
    assert "Fri 07 Mar 00:00" in page  # the hour after the log
    for written in ("engagement.csv", "bundle", "forecast.png", "forecast.html", "report.html"):
        assert written in WRITTEN
