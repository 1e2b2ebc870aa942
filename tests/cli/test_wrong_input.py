"""A file of the wrong kind, or a word in the wrong place, is answered with what was expected there."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.engines import require

require("typer")

from pulsecast.bundle.packing import pack  # noqa: E402
from pulsecast.errors import UsageError  # noqa: E402
from pulsecast_cli.app import run as run_arguments  # noqa: E402

GOLDEN = Path(__file__).parents[1] / "data" / "golden_v1"


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = run_arguments([str(argument) for argument in arguments])
    return code, capsys.readouterr().err


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text("time,value\n2024-01-01 00:00:00,1\n2024-01-01 01:00:00,2\n")
    return path


@pytest.mark.parametrize("command", ["verify", "inspect", "predict"])
def test_a_log_given_as_a_bundle_is_named_for_what_it_is_not(
    command: str, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--input", log) if command == "predict" else ()
    assert said(capsys, command, log, *options) == (
        2,
        f"error[usage]: {log} is not a bundle; expected the folder that `pulsecast export` writes, or a .pulse file\n",
    )


def test_a_renamed_pulse_file_is_still_read_and_a_damaged_one_called_so(tmp_path: Path) -> None:
    from pulsecast.bundle.bundle import Bundle
    from pulsecast.errors import FormatError

    data = GOLDEN.with_suffix(".pulse").read_bytes()
    (tmp_path / "download").write_bytes(data)
    assert Bundle.open(tmp_path / "download").manifest == Bundle.open(GOLDEN).manifest
    (tmp_path / "half.pulse").write_bytes(data[: len(data) // 2])
    with pytest.raises(FormatError, match=r"half\.pulse is not a whole \.pulse file"):
        Bundle.open(tmp_path / "half.pulse")


def test_a_log_given_as_a_model_is_refused_before_other_options_are_required(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require("tensorflow")
    code, error = said(capsys, "export", log, "--out", tmp_path / "bundle")
    assert code == 2
    assert error == (
        f"error[usage]: {log} is not a model; expected the folder that `pulsecast train` writes, or a .keras or .h5 "
        "file\n"
    )


def test_numpy_as_a_target_is_explained() -> None:
    from pulsecast.errors import UsageError
    from pulsecast_export.targets import find_targets

    with pytest.raises(UsageError, match="numpy is in every bundle and is not a target; known: savedmodel, onnx"):
        find_targets(("onnx", "numpy"))


def test_a_wrong_choice_is_answered_without_the_parsers_own_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "inspect", GOLDEN, "--format", "xml") == (
        2,
        "error[usage]: Invalid value for '--format': 'xml' is not one of 'text', 'json'.\n",
    )


def test_signing_with_the_public_key_names_the_private_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    require("cryptography")
    assert run_arguments(["keygen", "--out", str(tmp_path / "key")]) == 0
    capsys.readouterr()
    assert said(capsys, "sign", GOLDEN, "--key", tmp_path / "key.pub") == (
        2,
        "error[usage]: key.pub is a public key; signing needs the private one, which `pulsecast keygen` made\n",
    )


def test_a_log_without_a_value_column_is_refused_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require("polars", "sklearn")
    (tmp_path / "log.csv").write_text("time\n2024-01-01T00:00:00Z\n")
    code, error = said(capsys, "rhythm", tmp_path / "log.csv")
    assert (code, "log.csv has no value column: all its columns are taken" in error) == (1, True)


@pytest.mark.parametrize(
    ("option", "code", "sentence"),
    [
        ("--heldout", 1, "log.csv is not a readable .npz file of plain arrays: File is not a zip file. Save held-out"),
        ("--scaler", 2, "error[usage]: scaler: log.csv is not valid JSON"),
    ],
)
def test_a_file_of_another_kind_beside_a_model_is_said_to_be_that(
    option: str, code: int, sentence: str, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require("keras", "h5py")
    windows = tmp_path / "heldout.npz"
    np.savez(windows, windows=np.zeros((80, 50, 1)), truth=np.zeros((80, 1)))
    (tmp_path / "own.h5").write_bytes(b"x")
    files = {"--heldout": windows, option: log}
    options = [word for pair in files.items() for word in pair]
    found, error = said(capsys, "export", tmp_path / "own.h5", "--out", tmp_path / "bundle", *options)
    assert found == code
    assert sentence in error


@pytest.mark.parametrize("ending", ["png", "json"])
def test_a_file_whose_ending_is_not_a_logs_is_a_usage_error(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require("polars")
    (tmp_path / f"result.{ending}").write_text("{}")
    code, error = said(capsys, "predict", GOLDEN, "--backend", "numpy", "--input", tmp_path / f"result.{ending}")
    assert (code, f"result.{ending} has an unknown ending; known: .csv," in error) == (2, True)


def test_evaluate_writes_no_folder_into_a_file(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    require("polars", "sklearn", "scipy")
    said_of = said(capsys, "evaluate", log, "--out", log, "--no-html")
    assert said_of == (2, f"error[usage]: {log} is a file; --out must name a folder\n")


@pytest.mark.parametrize("name", ["evaluation.json", "report.html"])
def test_evaluate_replaces_a_result_only_with_force(
    name: str, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require("polars", "sklearn", "scipy", "matplotlib")
    out = tmp_path / "evaluation"
    out.mkdir()
    (out / name).write_text("precious")
    said_of = said(capsys, "evaluate", log, "--out", out)
    assert said_of == (2, f"error[usage]: {out / name} exists; pass --force to replace it\n")
    assert (out / name).read_text() == "precious"
    code, error = said(capsys, "evaluate", log, "--out", out, "--force")
    assert (code, "carries no time zone" in error) == (1, True)  # it goes on to the log


@pytest.mark.slow
def test_a_log_that_is_refused_is_refused_before_keras_is_imported(log: Path, tmp_path: Path) -> None:
    require("polars", "sklearn", "keras")
    code = (
        "import sys; sys.path[:0] = sys.argv[3].split(':'); from pulsecast_cli.app import run; "
        "print(run(['train', *sys.argv[1:2], '--out', sys.argv[2]]), {'keras', 'tensorflow'} & set(sys.modules))"
    )
    path = ":".join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", code, str(log), str(tmp_path / "model"), path],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "carries no time zone; name the log's with --timezone" in done.stderr
    assert done.stdout == "1 set()\n"


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (("--holidays", "XX"), 2, "holidays of 'XX' are not known; expected a country by its two letters"),
        (("--holidays", "US", "--recipe", "textbook"), 2, "recipe textbook has no calendar to put holidays in"),
        (("--holiday-zone", "Europe/Berlin"), 2, "holiday zone Europe/Berlin is for holidays; name them with"),
        (("--devices", "0"), 2, "devices is 0; expected at least 1"),
        (("--category", "value=1,2"), 2, "category is for events; add --events"),
        (
            ("--events", "--step", "1h", "--category", "value"),
            1,
            "log.csv: value holds 1 (1), 2 (1); name those to count",
        ),
        (("--events", "--step", "1h", "--category", "value=1,1"), 2, "category '1' is named twice; name each once"),
        (("--events", "--step", "1h", "--category", "value=1,3"), 1, "log.csv: no row is of category 3; value holds"),
        (("--events", "--step", "1h", "--category", "kind=a"), 1, "log.csv has no column kind; its columns are"),
        (("--events", "--step", "1h", "--metric", "kind"), 1, "log.csv has no column kind; its columns are"),
    ],
)
def test_impossible_inputs_are_refused_before_a_network_is_trained(
    options: tuple[str, ...], code: int, sentence: str, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require("sklearn", "polars", "holidays")
    found, error = said(capsys, "train", log, "--timezone", "UTC", "--out", tmp_path / "model", *options)
    assert found == code
    assert error.splitlines()[-1].startswith(f"error[{'usage' if code == 2 else 'data'}]: {sentence}")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("command", ["predict", "anomalies"])
@pytest.mark.parametrize("other_name", [False, True])
def test_a_log_is_not_replaced_by_what_is_computed_from_it(
    calendar_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, other_name: bool
) -> None:
    log = tmp_path / "hours.csv"
    log.write_text("timestamp,value\n2026-01-05T00:00:00Z,200\n2026-01-05T01:00:00Z,210\n")
    before, given = log.read_bytes(), log
    if other_name:
        given = tmp_path / "link.csv"
        given.symlink_to(log)
    code, text = said(capsys, command, calendar_bundle, "--input", given, "--out", log, "--force")
    assert (code, log.read_bytes()) == (2, before)
    assert "hours.csv is read by this command, and would be replaced by its result; write it elsewhere" in text


def test_a_packed_bundle_is_not_replaced_by_itself(calendar_bundle: Path, tmp_path: Path) -> None:
    packed = tmp_path / "a.pulse"
    pack(calendar_bundle, packed)
    with pytest.raises(UsageError, match=r"a\.pulse is read by this command"):
        pack(packed, packed, force=True)
