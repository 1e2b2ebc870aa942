"""Log to forecast through the commands, as a user types them."""

import json
from pathlib import Path

import pytest

from helpers.engines import EXPORT, TRAIN, require
from pulsecast import load

require("typer")

from pulsecast.errors import UsageError  # noqa: E402
from pulsecast_cli.app import run as run_arguments  # noqa: E402
from pulsecast_cli.commands.models.demo import _make_folder  # noqa: E402

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
    assert set(trained["heldout"]["forecasts"]) == {"model", "last_value", "seasonal_naive"}
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


@pytest.mark.parametrize("what", ["a folder with files", "a file"])
def test_a_demo_refuses_at_once_what_it_would_refuse_at_the_end(tmp_path: Path, what: str) -> None:
    out = tmp_path / "demo"
    if what == "a file":
        out.write_text("mine")
    else:
        (out / "model").mkdir(parents=True)
        (out / "model" / "notes.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(UsageError, match=r"is a file|is not empty|holds other files"):
            _make_folder(out, force=force)
