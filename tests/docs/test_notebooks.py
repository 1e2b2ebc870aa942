"""The notebooks run as they are, in a kernel, and come to results that are no accident of the print."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from helpers.documents import DOCS
from helpers.engines import EXPORT, TRAIN, load, require
from pulsecast import load as load_bundle

FIRST, SECOND = "data-to-bundle.ipynb", "bundle-to-decision.ipynb"
SAME = "from data-to-bundle"  # the tag of cells of SECOND that make what FIRST has made
# Exports of this kernel fork children that find TensorFlow imported: half of their time is the import. Its compiler
# knows one instruction set.
BEFORE = """import os, sys; sys.path[:0] = {!r}
from helpers.native_models import cc_here
from helpers.outside import warm
os.environ["CC"] = cc_here()
children = warm.converters()
children.__enter__()"""
# the front doors in three lines, with every default, and what a notebook shows of the rest
THREE_LINES = (
    "from pulsecast_train import train, evaluate",
    "from pulsecast_export import export",
    "from pulsecast_bench import bench, compare, report",
    'export(train("mentions.csv", out="three"), out="three-bundle")',
    "compare(measured, measured)",
    'report("result.json", out="report.md")',
    "all(one.passed for one in verify('three-bundle')), load('three-bundle').manifest.name",
)


def cells(name: str) -> list[dict[str, Any]]:
    return list(json.loads((DOCS / "notebooks" / name).read_text("utf-8"))["cells"])


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def tagged(cell: dict[str, Any]) -> bool:
    return SAME in cell["metadata"].get("tags", [])


def write_mentions(path: Path) -> Path:
    """Write a log that needs no option: hourly counts with a daily rhythm, times in UTC."""
    import math

    rows = [
        f"2026-{1 + hour // 720:02d}-{1 + hour // 24 % 30:02d}T{hour % 24:02d}:00:00Z,"
        f"{round(100 + 60 * math.sin(hour * math.pi / 12) + 9 * math.sin(hour * 1.7))}"
        for hour in range(480)
    ]
    path.write_text("\n".join(["timestamp,mentions", *rows]) + "\n")
    return path


def run(folder: Path, found: Sequence[str]) -> list[dict[str, Any]]:
    """Run the code of cells in a kernel in `folder`; return what each shows, by kind: text/plain, text/html, stdout."""
    nbclient, nbformat = load("nbclient"), load("nbformat")
    first = BEFORE.format([p for p in sys.path if p])
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in (first, *found)])
    place = {"metadata": {"path": folder}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()
    return [_shown(cell.outputs) for cell in notebook.cells[1:]]


def _shown(outputs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    printed = [output["text"] for output in outputs if output.get("name") == "stdout"]
    results = [output["data"] for output in outputs if output["output_type"] == "execute_result"]
    return {"stdout": "".join(printed), **{kind: text for data in results for kind, text in data.items()}}


def code(name: str) -> list[str]:
    return [source(cell) for cell in cells(name) if cell["cell_type"] == "code" and not tagged(cell)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the notebooks run, one after the other, in one kernel."""
    return write_mentions(tmp_path_factory.mktemp("notebooks") / "mentions.csv").parent


@pytest.fixture(scope="module")
def shown(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What the cells of both notebooks show, the second with the first's bundle, and then those of THREE_LINES."""
    require(*TRAIN, *EXPORT, "nbclient", "ipykernel", "lightgbm")
    parts = {FIRST: code(FIRST), SECOND: code(SECOND), "three lines": list(THREE_LINES)}
    found = iter(run(folder, [text for part in parts.values() for text in part]))
    return {name: [next(found) for _ in part] for name, part in parts.items()}


def text_of(found: list[dict[str, Any]]) -> str:
    return "\n".join(f"{one['stdout']}{one.get('text/plain', '')}" for one in found)


@pytest.mark.slow
def test_the_first_notebook_ends_in_a_bundle_that_beats_the_last_value(
    shown: dict[str, list[dict[str, Any]]], folder: Path
) -> None:
    manifest = load_bundle(folder / "bundle", backend="numpy").manifest
    assert [artifact.id for artifact in manifest.artifacts] == ["numpy", "onnx", "onnx-w8"]
    assert manifest.heldout.forecasts["model"].mae < manifest.heldout.forecasts["last_value"].mae
    said = text_of(shown[FIRST])
    assert "--metric visits --kind count" in said  # what `look` prints can be run
    assert "time: timestamps lie beyond the years 1 to 9999" in said


@pytest.mark.slow
def test_the_second_notebook_finds_the_burst_and_says_when_to_train_again(
    shown: dict[str, list[dict[str, Any]]],
) -> None:
    said = shown[SECOND]
    assert "{'numpy': True, 'onnx': True, 'onnx-w8': True}" in text_of(said)
    alarms = ast.literal_eval(next(one["text/plain"] for one in said if one.get("text/plain", "").startswith("[(")))
    assert alarms[-1][1] > 1000  # the burst that was put in
    assert len(alarms) <= 3  # in two weeks, at about one false alarm a week
    assert said[-1]["text/plain"] == "'train again'"


@pytest.mark.slow
def test_three_lines_go_from_a_log_to_a_bundle_and_results_are_tables(
    shown: dict[str, list[dict[str, Any]]], folder: Path
) -> None:
    tables = [one["text/html"] for part in shown.values() for one in part if "text/html" in one]
    assert len(tables) == 8
    assert all(table.startswith("<table><thead>") for table in tables)
    exported = shown["three lines"][3]["text/html"]
    assert all(target in exported for target in ("savedmodel", "onnx-w8", "tflite-int8"))
    assert shown["three lines"][-1]["text/plain"] == "(True, 'three')"
    assert (folder / "report.md").read_text().startswith("# pulsecast benchmark")


def test_the_second_notebook_begins_with_what_the_first_one_makes() -> None:
    made = "\n".join(map(source, cells(FIRST)))
    lines = [line for cell in cells(SECOND) if tagged(cell) for line in source(cell).splitlines()]
    known = [line for line in lines if line and not line.startswith("from ")]
    assert len(known) >= 10
    assert [line for line in known if line not in made] == []


@pytest.mark.parametrize("name", [FIRST, SECOND])
def test_a_notebook_is_kept_without_results(name: str) -> None:
    """They are made while the site is built, so that they are never old."""
    assert [cell["id"] for cell in cells(name) if cell.get("outputs") or cell.get("execution_count")] == []


@pytest.mark.soak
def test_the_second_notebook_runs_alone(tmp_path: Path) -> None:
    require(*TRAIN, *EXPORT, "nbclient", "ipykernel", "lightgbm")
    alone = [source(cell) for cell in cells(SECOND) if cell["cell_type"] == "code"]
    assert run(tmp_path, alone)[-1]["text/plain"] == "'train again'"
