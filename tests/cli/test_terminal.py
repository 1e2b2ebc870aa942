"""What a bundle, a result or a path says cannot act on the terminal, hide a line or add one."""

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers import measured
from helpers.engines import require
from helpers.logs.log_files import hours
from pulsecast.foundation import strict_json
from pulsecast.foundation.tables import text_table
from pulsecast.stages.progress import LineProgress, RichProgress, TqdmProgress

require("typer")

from pulsecast_cli import app as application  # noqa: E402
from pulsecast_cli.terminal.engine_log import engine_log  # noqa: E402
from pulsecast_cli.terminal.output import Format, put_document, show, tell  # noqa: E402

GOLDEN = Path(__file__).parents[1] / "data" / "golden_v1"
EVIL = "\x1b]0;title\x07\x9b2J\u202e\x7f\u2066"
FORGED = f"{EVIL}\nsignature: verified, key {'0' * 64}"


def run(*arguments: object) -> int:
    return application.run([str(argument) for argument in arguments])


def is_clean(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


def test_results_are_escaped_where_they_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    show(Format.text, text=f"one {EVIL}\ntwo\n", document={})
    assert capsys.readouterr().out == "one \\x1b]0;title\\x07\\x9b2J\\u202e\\x7f\\u2066\ntwo\n"


def test_json_keeps_every_character_as_an_escape(capsys: pytest.CaptureFixture[str]) -> None:
    document = {FORGED: [FORGED, "\U000e0041 n\u00e9"]}
    show(Format.json, text="", document=document)
    out = capsys.readouterr().out
    assert is_clean(out)
    assert "n\u00e9" in out
    assert json.loads(out) == {"schema_version": 1, **document}
    put_document(document)
    assert json.loads(capsys.readouterr().out) == document


def test_a_line_on_stderr_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    tell(FORGED)
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert is_clean(err)


def test_cells_of_a_table_stay_in_their_line() -> None:
    lines = text_table(("name", "size"), [(FORGED, "1")]).split("\n")
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def test_lines_of_progress_say_how_long_the_rest_takes_at_the_pace_so_far() -> None:
    said, now = io.StringIO(), iter([100.0, 104.0, 110.0, 200.0, 400.0, 404.0])
    lines = LineProgress(said, clock=lambda: next(now))
    for done, note in ((3, "kept from before"), (4, "a"), (5, "b"), (10, "c")):
        lines.advance("piece", done, 10, note)
    lines.advance("epoch", 1, 2)  # other work has a pace of its own
    lines.advance("epoch", 2, 2)
    assert said.getvalue().splitlines() == [
        "piece 3/10 kept from before",
        "piece 4/10 a, about 24 s to go",
        "piece 5/10 b, about 25 s to go",
        "piece 10/10 c",
        "epoch 1/2",
        "epoch 2/2",
    ]


def test_progress_is_escaped_in_every_form() -> None:
    from rich.console import Console

    lines, bars = io.StringIO(), io.StringIO()
    for shown in (LineProgress(lines), RichProgress(Console(file=bars, force_terminal=False))):
        shown.tell(FORGED)
        shown.advance(FORGED, 1, 1, FORGED)
    terminal = io.StringIO()
    with RichProgress(Console(file=terminal, force_terminal=True, width=500)) as drawn:
        drawn.tell(EVIL)
        drawn.advance(f"[red]{EVIL}", 1, 2, EVIL)
    said: list[str] = []

    class Bar:
        n = 0

        def __init__(self, **options: Any) -> None:
            said.append(str(options.get("desc")))

        @staticmethod
        def write(line: str) -> None:
            said.append(line)

        def set_postfix_str(self, note: str, *, refresh: bool) -> None:
            said.append(note)

        def update(self, more: int) -> None:
            pass

        def close(self) -> None:
            pass

    tqdm = TqdmProgress(Bar)
    tqdm.tell(FORGED)
    tqdm.advance(FORGED, 1, 1, FORGED)
    assert lines.getvalue().count("\n") == 2
    assert is_clean(lines.getvalue())
    assert len(said) == 3
    assert is_clean("\n".join(said))
    assert not any(part in terminal.getvalue() for part in ("\x1b]0", "\x9b", "\u202e", "\x7f"))
    assert "[red]" in terminal.getvalue()


def test_the_end_of_an_engines_log_is_escaped(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with engine_log(shown=False):
            import os

            os.write(2, f"engine: {EVIL}\nmore\n".encode())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert is_clean(capfd.readouterr().err)
    assert sys.stderr is not None


PLACES = {
    "name": lambda d: d.update(name=FORGED),
    "recipe": lambda d: d.update(recipe=FORGED),
    "artifact": lambda d: d["artifacts"][0].update(id=FORGED),
    "feature": lambda d: d["spec"]["features"][0].update(name=FORGED),
    "platform": lambda d: d["provenance"].update(platform=FORGED),
    "version": lambda d: d["provenance"]["versions"].update(keras=FORGED),
    "package": lambda d: d["provenance"]["versions"].update({FORGED: "1"}),
    "forecast": lambda d: d["heldout"]["forecasts"].update({FORGED: d["heldout"]["forecasts"]["model"]}),
    "compiler": lambda d: d.update(libraries=[library(compiler=FORGED)]),
    "engine": lambda d: d.update(libraries=[library(engine=FORGED)]),
    "library platform": lambda d: d.update(libraries=[library(platform=FORGED)]),
    "library artifact": lambda d: d.update(libraries=[library(artifact=FORGED)]),
    "path": lambda d: d["golden"].update(path=FORGED),
    "hash": lambda d: d["files"][0].update(sha256=FORGED),
    "gate order": lambda d: d["weights"].update(gate_order=FORGED),
    "backend": lambda d: d["artifacts"][0].update(backend=FORGED),
    "a key": lambda d: d.update({FORGED: 1}),
    "a key inside": lambda d: d["spec"].update({FORGED: 1}),
    "a kind": lambda d: d.update(format=FORGED),
    "region": lambda d: d["spec"]["features"].append(holiday(region=FORGED)),
    "zone": lambda d: d["spec"]["features"].append(holiday(zone=FORGED)),
}


def library(**change: str) -> dict[str, object]:
    usual = {
        "artifact": "numpy",
        "platform": "x",
        "path": "weights.npz",
        "proof": "run",
        "compiler": "x",
        "engine": "x",
    }
    return {**usual, **change}


def holiday(**change: str) -> dict[str, object]:
    found = {"region": "US", "zone": "UTC", "known": [0, 9], "spans": [], **change}
    return {"name": "free", "calendar": {"function": "holiday", "period_s": 86_400, "holidays": found}}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_a_manifest_that_would_write_on_the_screen_is_refused_in_one_clean_line(
    place: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = shutil.copytree(GOLDEN, tmp_path / "bundle")
    document = json.loads((bundle / "manifest.json").read_text())
    PLACES[place](document)
    (bundle / "manifest.json").write_text(json.dumps(document))
    assert run(command, bundle) == 5
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert is_clean(err)


@pytest.mark.parametrize("options", [("--statement",), ("--format", "json"), ()])
def test_what_a_manifest_may_hold_is_shown_clean(
    options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands and training are not for people, so they may hold anything."""
    bundle = shutil.copytree(GOLDEN, tmp_path / "bundle")
    document = json.loads((bundle / "manifest.json").read_text())
    document["provenance"]["training"]["note"] = FORGED
    document["provenance"]["commands"] = [["pulsecast", FORGED]]
    (bundle / "manifest.json").write_text(json.dumps(document))
    assert run("inspect", bundle, *options) == 0
    out = capsys.readouterr().out
    assert is_clean(out)
    if options:
        found = json.loads(out)
        inner = found["predicate"]["buildDefinition"]["externalParameters"] if "predicate" in found else None
        assert (inner or found["manifest"]["provenance"])["commands"] == [["pulsecast", FORGED]]


def test_names_of_files_and_arguments_are_shown_clean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = shutil.copytree(GOLDEN, tmp_path / "bundle")
    (bundle / FORGED.replace("/", "")).touch()
    assert run("verify", bundle) == 5
    strange = tmp_path / "a\x1b[2J\nb"
    strange.mkdir()
    assert run("verify", strange) == 5
    assert run("verify", tmp_path / f"not there {EVIL}") == 2
    assert run("verify", GOLDEN, "--artifact", FORGED) == 2
    assert run("verify", GOLDEN, f"--{EVIL}") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 5
    assert is_clean(err)


@pytest.mark.parametrize("command", ["look", "rhythm"])
def test_names_in_a_log_make_no_line_of_their_own(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line `train with` and a command below it, say, that the log's maker would like to be pasted."""
    require("polars")
    forged = "\r\nFORGED\x1b[2J\u202e"
    head, first = hours(list(range(5, 400))).split("\n", 1)
    rows = [f'{line},"a{forged}","cell{forged}",{i % 7}' for i, line in enumerate(first.split())]
    log = tmp_path / "log.csv"
    log.write_text("\n".join([f'{head},who,"text{forged}","number{forged}"', *rows]), newline="")
    assert run(command, log, "--metric", "value", "--series-column", "who") == 0
    said = capsys.readouterr()
    lines = [line for line in (said.out + said.err).split("\n") if "FORGED" in line]
    assert len(lines) >= (4 if command == "look" else 2)
    assert [line for line in lines if line.startswith("FORGED") or not line.isprintable()] == []


def test_a_secret_key_given_in_place_of_its_path_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    pem = f"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw{'x' * 48}\n-----END PRIVATE KEY-----"
    assert run("verify", GOLDEN, "--key", pem) == 2
    captured = capsys.readouterr()
    assert "MC4C" not in captured.out + captured.err
    assert "(PEM text left out)" in captured.err


@pytest.mark.parametrize("options", [(), ("--format", "json")])
def test_a_result_that_would_write_on_the_screen_is_shown_clean(
    options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require("matplotlib")
    document = strict_json.to_json(measured.eventful())
    clean = tmp_path / "clean.json"
    clean.write_text(json.dumps(document))
    assert run("report", clean, *options) == 0
    expected = capsys.readouterr().out.count("\n")
    path = tmp_path / "result.json"
    path.write_text(json.dumps(poisoned(document)))
    assert run("report", path, *options) == 0
    out = capsys.readouterr().out
    assert is_clean(out)
    assert "\\x1b]0;title" in out
    assert out.count("\n") == expected


def poisoned(document: Any) -> Any:
    """Return a result with FORGED in the texts that nothing else refers to."""
    for record in (document["model"], document["machine"], *document["failures"], *document["skipped"]):
        for key, value in record.items():
            if isinstance(value, str) and key not in ("artifact", "manifest_sha256"):
                record[key] = value + FORGED
    document["machine"]["versions"][FORGED] = FORGED
    return document | {"began": FORGED, "label": FORGED}
