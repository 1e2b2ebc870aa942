"""The model card and the provenance statement: every figure in them is the manifest's, and no place is named."""

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from helpers.engines import require
from pulsecast import limits
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.provenance import statement
from pulsecast.computing.intervals import SplitConformal
from pulsecast.errors import UsageError
from pulsecast.model.spec import Feature
from pulsecast.stages.environment import commands, installed_versions, reduced, set_command
from pulsecast_export.model_card import model_card
from pulsecast_export.serving.page import write_page

GOLDEN = Path(__file__).parents[1] / "data" / "golden_v1"
MANIFEST = Bundle.open(GOLDEN).manifest


def row(card: str, first: str) -> list[str]:
    line = next(line for line in card.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_card_compares_the_model_with_the_naive_forecasts() -> None:
    card, found = model_card(MANIFEST), MANIFEST.heldout.forecasts
    ratio = found["model"].mae / found["last_value"].mae
    assert ratio < 0.8, "a golden that does not beat the last value would prove little"
    assert row(card, "model")[1:] == [
        f"{found['model'].mae:,.4g}",
        f"{found['model'].rmse:,.4g}",
        f"{found['model'].bias:+,.4g}",
        f"{ratio:.3f}",
    ]
    assert row(card, "last value")[-1] == "1.000"


def test_the_card_names_the_inputs_and_outputs_of_an_artifact(calendar_bundle: Path, plain_bundle: Path) -> None:
    lines = model_card(Bundle.open(calendar_bundle).manifest).splitlines()
    time = "* Takes `time`, int64 (batch,): unix seconds (UTC) of each window's last step. "
    covered = "On average 90 % of true values lie between them, for as long as the series goes on as it did"
    assert [line for line in lines if line.startswith(("* Takes", "* Gives"))] == [
        "* Takes `values`, float32 (batch, 73, 1), raw units: value.",
        time + "3 calendar columns follow from it, inside the artifact.",
        "* Gives `forecast`, float32 (batch, 2), raw units of value: the next 2 steps of 3600 s.",
        f"* Gives `lower` and `upper`, of the same shape. {covered} in the held-out part.",
    ]
    assert "raw units of value: the next step of 3600 s." in model_card(Bundle.open(plain_bundle).manifest)
    without = dataclasses.replace(Bundle.open(plain_bundle).manifest, intervals=None, level=None)
    assert "`time`" not in model_card(without)
    assert "`lower`" not in model_card(without)


def test_the_card_gives_every_artifacts_parity_and_limit() -> None:
    card = model_card(MANIFEST)
    for artifact in MANIFEST.artifacts:
        cells = row(card, f"`{artifact.id}`")
        assert cells[3:5] == [f"{artifact.parity.max_abs:.1e}", f"{artifact.tolerance.max_abs:.0e}"]


def test_a_feature_name_from_a_log_makes_no_table_link_or_tag_in_the_card() -> None:
    hostile = "x|y](javascript:1)<script>"
    features = (Feature(name=hostile), *MANIFEST.spec.features[1:])
    card = model_card(dataclasses.replace(MANIFEST, spec=dataclasses.replace(MANIFEST.spec, features=features)))
    assert "x\\|y\\]\\(javascript:1\\)\\<script\\>" in card
    assert hostile not in card


def test_the_statement_names_every_file_by_its_hash() -> None:
    made = statement(MANIFEST, (GOLDEN / "manifest.json").read_bytes())
    assert (made["_type"], made["predicateType"]) == (
        "https://in-toto.io/Statement/v1",
        "https://slsa.dev/provenance/v1",
    )
    on_disk = {
        path.relative_to(GOLDEN).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in GOLDEN.rglob("*")
        if path.is_file()
    }
    assert {subject["name"]: subject["digest"]["sha256"] for subject in made["subject"]} == on_disk


def test_the_statement_names_the_data_the_packages_and_the_training() -> None:
    made = statement(MANIFEST, b"")["predicate"]["buildDefinition"]
    dependencies = made["resolvedDependencies"]
    data = MANIFEST.provenance.data["files"]
    assert isinstance(data, list)
    assert {"name": "log.csv", "digest": {"sha256": data[0]["sha256"]}} in dependencies
    assert {"uri": f"pkg:pypi/tensorflow@{MANIFEST.provenance.versions['tensorflow']}"} in dependencies
    assert made["externalParameters"]["training"] == MANIFEST.provenance.training
    assert made["externalParameters"]["seed"] == 7


def test_the_statement_names_what_an_imported_model_was_made_from() -> None:
    made = dataclasses.replace(
        MANIFEST.provenance,
        training={"imported": {"file": "own.keras", "sha256": "a" * 64}},
        data={"heldout": {"sha256": "b" * 64, "windows": 136}},
        versions={"pulsecast": "0.1.0", "keras": "3.15.1"},
    )
    found = statement(dataclasses.replace(MANIFEST, provenance=made), b"")["predicate"]
    assert found["buildDefinition"]["resolvedDependencies"] == [
        {"name": "own.keras", "digest": {"sha256": "a" * 64}},
        {"name": "held-out windows", "digest": {"sha256": "b" * 64}},
        {"uri": "pkg:pypi/pulsecast@0.1.0"},
        {"uri": "pkg:pypi/keras@3.15.1"},
    ]
    assert found["runDetails"] == {"builder": {"id": "urn:pulsecast:exporter", "version": {"pulsecast": "0.1.0"}}}


def test_pulsecast_is_among_the_versions_from_a_checkout_too() -> None:
    import pulsecast

    assert installed_versions()["pulsecast"] == pulsecast.__version__


def test_the_card_says_whether_there_are_intervals() -> None:
    split = SplitConformal(scale="log1p", counts=True, levels=(0.5, 0.9), radii=((0.1, 0.2), (0.3, 0.4)), windows=287)
    assert "without an interval" in model_card(dataclasses.replace(MANIFEST, intervals=None))
    card = model_card(dataclasses.replace(MANIFEST, intervals=split))
    assert "Intervals of 0.5 to 0.9 come from 287 held-out windows" in card
    assert "without an interval" not in card


def test_the_card_says_that_a_file_of_scaled_units_keeps_its_state() -> None:
    artifact = dataclasses.replace(MANIFEST.artifacts[-1], id="tflite-int8", units="scaled")
    alone = dataclasses.replace(MANIFEST, artifacts=(artifact,))
    micro = dataclasses.replace(MANIFEST.files[0], path="tflite/micro_io.c")
    said = "`tflite-int8` takes and gives scaled values and keeps its state from call to call: reset its variables"
    assert f"{said} before every window. The runtime does so and scales around it." in model_card(alone)
    card = model_card(dataclasses.replace(alone, files=(*MANIFEST.files, micro)))
    assert "on a microcontroller `tflite/micro_io.c` scales." in card
    assert "keeps its state" not in model_card(MANIFEST)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("/home/someone/log.csv", "log.csv"),
        ("../data/", "data"),
        ("--out=/srv/x/bundle", "--out=bundle"),
        ("C:\\Users\\someone\\log.csv", "log.csv"),
        ("--force", "--force"),
        ("onnx-w8", "onnx-w8"),
    ],
)
def test_a_path_on_the_command_line_is_reduced_to_its_name(argument: str, expected: str) -> None:
    assert reduced(argument) == expected


def test_a_command_line_is_remembered_for_provenance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulsecast.stages.environment._command", [])
    assert commands() == ()
    set_command(["export", "/home/someone/model", "--out", "/srv/b"])
    assert commands() == (("pulsecast", "export", "model", "--out", "b"),)
    set_command(["train", *(f"{i}.csv" for i in range(5000))])
    assert [len(command) for command in commands()] == [limits.COMMAND_WORDS]
    assert commands()[0][-2:] == ("997.csv", "...")


def test_inspect_prints_the_statement(capsys: pytest.CaptureFixture[str]) -> None:
    require("typer")
    from pulsecast_cli.app import run

    assert run(["inspect", str(GOLDEN), "--statement"]) == 0
    assert json.loads(capsys.readouterr().out)["subject"][0]["name"] == "manifest.json"


@pytest.mark.slow
def test_an_exported_bundle_holds_its_card(textbook_bundle: Path) -> None:
    bundle = Bundle.open(textbook_bundle)
    assert bundle.read("MODEL_CARD.md").decode() == model_card(bundle.manifest)


def test_the_card_of_several_series_says_what_a_row_is(many_bundle: Path) -> None:
    card = model_card(Bundle.open(many_bundle).manifest)
    assert "* Takes `series`, int64 (batch,): the row of each window's series.\n" in card
    assert "One network serves 3 series, each scaled by itself. Row k is the series on line k of `series.txt`" in card
    assert "On 128 held-out windows of all series, each by its own row, raw units." in card
    assert "as a fraction of the training range of each window's series" in card
    assert "series.txt" not in model_card(MANIFEST)


def test_a_page_shows_one_series(many_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="bundle holds 3 series, and a page shows one: train a model of one series"):
        write_page(many_bundle, tmp_path / "page")
