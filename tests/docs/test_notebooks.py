"""The notebooks run as they are, in a kernel, and come to results that are no accident of the print."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.documents import DOCS
from helpers.engines import EXPORT, TRAIN, load, require
from pulsecast import load as load_bundle

FIRST, SECOND = "data-to-bundle.ipynb", "bundle-to-decision.ipynb"
SAME = "from data-to-bundle"  # the tag of cells of SECOND that make what FIRST has made
# exports of this kernel fork children that find TensorFlow imported: half of their time is the import
BEFORE = """import sys; sys.path[:0] = {!r}
from helpers.outside import warm
children = warm.converters()
children.__enter__()"""


def cells(name: str) -> list[dict[str, Any]]:
    return list(json.loads((DOCS / "notebooks" / name).read_text("utf-8"))["cells"])


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def tagged(cell: dict[str, Any]) -> bool:
    return SAME in cell["metadata"].get("tags", [])


def run(folder: Path, found: list[dict[str, Any]]) -> list[str]:
    """Run code cells in a kernel in `folder`; return what each shows as text."""
    nbclient, nbformat = load("nbclient"), load("nbformat")
    first = nbformat.v4.new_code_cell(BEFORE.format([p for p in sys.path if p]))
    code = [nbformat.v4.new_code_cell(source(cell)) for cell in found if cell["cell_type"] == "code"]
    notebook = nbformat.v4.new_notebook(cells=[first, *code])
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": folder}}).execute()
    return ["".join(_said(output) for output in cell.outputs) for cell in code]


def _said(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return str(output["text"]) if output["name"] == "stdout" else ""
    return str(output.get("data", {}).get("text/plain", ""))


@pytest.mark.slow
def test_the_notebooks_go_from_data_to_a_bundle_and_to_a_decision(tmp_path: Path) -> None:
    """In one kernel: the second one goes on with what the first one made."""
    require(*TRAIN, *EXPORT, "ipykernel", "lightgbm")
    both = [*cells(FIRST), *(cell for cell in cells(SECOND) if not tagged(cell))]
    said = run(tmp_path, both)
    bundle = load_bundle(tmp_path / "bundle", backend="numpy")
    assert [artifact.id for artifact in bundle.manifest.artifacts] == ["numpy", "onnx", "onnx-w8"]
    forecasts = bundle.manifest.heldout.forecasts
    assert forecasts["model"].mae < forecasts["last_value"].mae
    text = "\n".join(said)
    assert "--metric visits --kind count" in text  # what `look` prints can be run
    assert "time: timestamps lie beyond the years 1 to 9999" in text
    assert "{'numpy': True, 'onnx': True, 'onnx-w8': True}" in text
    alarms = ast.literal_eval(next(part for part in said if part.startswith("[(")))
    assert alarms[-1][1] > 1000  # the burst that was put in
    assert len(alarms) <= 3  # in two weeks, at about one false alarm a week
    assert said[-1] == "'train again'"


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
    require(*TRAIN, *EXPORT, "ipykernel", "lightgbm")
    assert run(tmp_path, cells(SECOND))[-1] == "'train again'"
