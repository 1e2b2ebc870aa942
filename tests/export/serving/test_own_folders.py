"""Every kind of folder that pulsecast writes replaces its like, and nothing that holds a file of the user's."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from helpers import plain
from helpers.serving_folders.folders import contents
from pulsecast.bundle.folder import BUNDLE_FOLDER
from pulsecast.bundle.packing import unpack
from pulsecast.errors import UsageError
from pulsecast.foundation.folder_kind import FolderKind, foreign
from pulsecast.stages.model_directory import MODEL_FOLDER
from pulsecast_export.serving.folder.marker import MARKER, SERVING_FOLDER, read_marker
from pulsecast_export.serving.page import PAGE_FOLDER, write_page
from pulsecast_export.serving.serve_config import serve_config
from pulsecast_export.serving.servers import tfserving

GOLDEN = Path(__file__).parents[2] / "data" / "golden_v1"
KINDS: Mapping[str, FolderKind] = {
    "bundle": BUNDLE_FOLDER,
    "model directory": MODEL_FOLDER,
    "page": PAGE_FOLDER,
    "serving folder": SERVING_FOLDER,
}
Write = Callable[[Path], object]


@pytest.fixture
def writers(level_model: plain.PlainModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Write]:
    """Functions that write a folder of each kind and may replace one; the engines' files in them are stand-ins."""
    monkeypatch.setattr(tfserving, "require_arithmetic", lambda *_: None)
    served = replace(plain.numpy_artifact(), id="savedmodel", backend="savedmodel", path="savedmodel/1")
    plain.write_bundle(tmp_path / "served", level_model, served)
    shown = tmp_path / "shown"
    plain.write_bundle(shown, level_model)
    for name in ("model.wasm", "pulsecast.js"):
        path = shown / "native" / "lib" / "wasm32" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    native = replace(plain.numpy_artifact(), id="native", backend="native", path="native")
    plain.write_manifest(shown, level_model, (plain.numpy_artifact(), native))
    return {
        "bundle": lambda out: unpack(GOLDEN, out, force=True),
        "model directory": lambda out: plain.write_model_directory(out, level_model),
        "page": lambda out: write_page(shown, out, force=True),
        "serving folder": lambda out: serve_config(tmp_path / "served", out, force=True),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_is_its_own_until_a_file_of_the_users_is_in_it(
    kind: str, writers: Mapping[str, Write], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    writers[kind](out)
    assert foreign(out, KINDS[kind]) is None
    (out / "notes.txt").write_text("mine")
    assert foreign(out, KINDS[kind]) == f"holds what its {KINDS[kind].marker} does not list: notes.txt"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", [*KINDS, "a web app"])
def test_a_folder_of_another_kind_is_not_its_own(
    kind: str, other: str, writers: Mapping[str, Write], tmp_path: Path
) -> None:
    """A web app has a manifest.json, a model.json may be anyone's: the marker's name says nothing."""
    if kind == other:
        return
    out = tmp_path / "out"
    if other == "a web app":
        out.mkdir()
        (out / "app.js").write_text("x")
    else:
        writers[other](out)
    (out / KINDS[kind].marker).write_text('{"name": "app", "icons": []}')
    assert f"holds a {KINDS[kind].marker} that is not of a {kind}" in str(foreign(out, KINDS[kind]))


@pytest.mark.parametrize("kind", ["bundle", "page", "serving folder"])
def test_a_writer_replaces_its_own_folder_and_keeps_a_project(
    kind: str, writers: Mapping[str, Write], tmp_path: Path
) -> None:
    out, project = tmp_path / "out", tmp_path / "project"
    writers[kind](out)
    before = {path: path.stat().st_ino for path in out.rglob("*")}
    writers[kind](out)
    assert set(out.rglob("*")) == set(before)
    assert {path: path.stat().st_ino for path in out.rglob("*")} != before
    (project / ".git").mkdir(parents=True)
    for name in (".git/HEAD", "main.py", "compose.yaml", "manifest.json", "series.json", "pulsecast.json"):
        (project / name).write_text("{}")
    with pytest.raises(UsageError, match=r"project holds a .*; nothing is replaced: move your files away"):
        writers[kind](project)
    assert len([path for path in project.rglob("*") if path.is_file()]) == 6


def test_the_listing_of_a_serving_folder_holds_the_hash_of_every_other_file(
    writers: Mapping[str, Write], tmp_path: Path
) -> None:
    writers["serving folder"](tmp_path / "out")
    out = tmp_path / "out"
    marker = read_marker((out / MARKER).read_bytes())
    found = {path: hashlib.sha256(data).hexdigest() for path, data in contents(out).items() if path != MARKER}
    assert marker.files == found
    assert {"compose.yaml", "kubernetes.yaml", "README.md", "models/pulsecast/1/saved_model.pb"} <= set(marker.files)
    assert (marker.server, marker.changing) == ("tfserving", {})
