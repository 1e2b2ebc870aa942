"""A version comes to stand beside the others in a serving folder, and only in a folder that is for it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import plain
from helpers.engines import require
from helpers.serving_folders.folders import answer_said, contents, untruths, write_bundle
from pulsecast import load
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.manifest import Manifest
from pulsecast.errors import UsageError
from pulsecast_export import ServeOptions, serve_config
from pulsecast_export.serving.serve_config import place_version
from pulsecast_export.serving.servers import ovms

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="module")
def first(level_model: plain.PlainModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("first") / "bundle", level_model)


@pytest.fixture(scope="module")
def second(level_model: plain.PlainModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another model of the same form: what training it again gives."""
    return write_bundle(tmp_path_factory.mktemp("second") / "bundle", plain.rescaled(level_model, 10.0, 900.0))


def own(version: int = 1, keep: int | None = None) -> ServeOptions:
    return ServeOptions(server="pulsecast", version=version, keep=keep)


def manifest_of(bundle: Path) -> Manifest:
    return Bundle.open(bundle).manifest


def numbers(out: Path) -> list[str]:
    return sorted(path.name for path in (out / "models" / "pulsecast").iterdir())


def test_a_new_version_leaves_every_file_of_the_old_one_as_it_is(first: Path, second: Path, tmp_path: Path) -> None:
    out = tmp_path / "serving"
    serve_config(first, out, own())
    mounted = (out / "models").stat().st_ino
    old = {path: (path.stat().st_ino, path.read_bytes()) for path in (out / "models").rglob("*") if path.is_file()}
    before = answer_said(out)
    serve_config(second, out, own(2))
    assert {path: (path.stat().st_ino, path.read_bytes()) for path in old} == old
    assert (out / "models").stat().st_ino == mounted  # a running container goes on seeing it
    assert numbers(out) == ["1", "2"]
    assert untruths(out) == []
    for bundle, version in ((first, "1"), (second, "2")):
        assert load(out / "models" / "pulsecast" / version, backend="numpy").manifest == manifest_of(bundle)
    assert answer_said(out) != before  # of the newest


@pytest.mark.parametrize("server", ["triton", "triton-python", "kserve", "ovms", "pulsecast"])
def test_only_the_readme_and_its_request_change_beside_the_versions(
    server: str, first: Path, second: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ovms, "prove", lambda *_: None)  # no engine runs a stand-in
    out = tmp_path / "serving"
    serve_config(first, out, ServeOptions(server=server))
    before = contents(out)
    serve_config(second, out, ServeOptions(server=server, version=2))
    after = contents(out)
    changed = {path for path in before if before[path] != after[path]}
    assert changed == {"README.md", "request.json", "pulsecast.json"}
    assert {path.split("/")[2] for path in after if path not in before} == {"2"}


def test_an_option_changes_the_file_that_it_stands_in(first: Path, tmp_path: Path) -> None:
    out = tmp_path / "serving"
    serve_config(first, out, ServeOptions(server="triton"))
    placed = place_version(first, out, ServeOptions(server="triton", threads=8))
    assert (placed.plan.fate, sorted(placed.plan.beside)) == ("unchanged", ["models/pulsecast/config.pbtxt"])
    assert "count: 8" in (out / "models" / "pulsecast" / "config.pbtxt").read_text()
    assert untruths(out) == []


def test_the_same_version_again_writes_nothing(first: Path, tmp_path: Path) -> None:
    out = tmp_path / "serving"
    serve_config(first, out, own())
    before = {path: path.stat().st_ino for path in out.rglob("*")}
    assert place_version(first, out, own()).plan.fate == "unchanged"
    assert {path: path.stat().st_ino for path in out.rglob("*")} == before


def test_a_version_with_other_bytes_is_replaced_only_by_force_and_alone(
    first: Path, second: Path, tmp_path: Path
) -> None:
    out = tmp_path / "serving"
    serve_config(first, out, own())
    serve_config(first, out, own(2))
    before = contents(out)
    with pytest.raises(UsageError, match=r"version 1 is in .* with other bytes; pass --version 3 to add .* or --force"):
        serve_config(second, out, own())
    assert contents(out) == before
    serve_config(second, out, own(), force=True)
    assert load(out / "models" / "pulsecast" / "1", backend="numpy").manifest == manifest_of(second)
    assert load(out / "models" / "pulsecast" / "2", backend="numpy").manifest == manifest_of(first)
    after = contents(out)
    assert after["README.md"] == before["README.md"]  # it describes version 2
    assert untruths(out) == []


def test_an_older_version_does_not_take_the_readme_over(first: Path, second: Path, tmp_path: Path) -> None:
    out = tmp_path / "serving"
    serve_config(second, out, own(7))
    before = contents(out)
    assert dict(place_version(first, out, own(3)).plan.beside) == {}
    assert contents(out)["README.md"] == before["README.md"]
    assert numbers(out) == ["3", "7"]


def test_old_versions_go_only_when_asked(first: Path, second: Path, tmp_path: Path) -> None:
    out = tmp_path / "serving"
    for version in (1, 2, 3):
        serve_config(first, out, own(version))
    placed = place_version(second, out, own(10, keep=2))
    assert (placed.plan.versions, placed.plan.removed) == ((3, 10), (1, 2))
    assert numbers(out) == ["10", "3"]
    assert untruths(out) == []
    with pytest.raises(UsageError, match=r"version 2 is older than the 2 newest that --keep leaves .*\(3, 10\)"):
        serve_config(second, out, own(2, keep=2))


def test_labels_are_the_users_and_a_version_that_they_name_stays(first: Path, second: Path, tmp_path: Path) -> None:
    out = tmp_path / "serving"
    serve_config(first, out, own())
    labels = out / "models" / "pulsecast" / "labels.json"
    labels.write_text('{"stable": 1}')
    before = contents(out)
    with pytest.raises(
        UsageError, match=r"--keep 1 would remove version 1, which labels\.json names; change the labels"
    ):
        serve_config(second, out, own(2, keep=1))
    assert contents(out) == before
    labels.write_text('{"stable": 2, "canary": 2}')
    serve_config(second, out, own(2, keep=1))
    assert numbers(out) == ["2", "labels.json"]
    assert labels.read_text() == '{"stable": 2, "canary": 2}'
    serve_config(first, tmp_path / "triton", ServeOptions(server="triton"))
    (tmp_path / "triton" / "models" / "pulsecast" / "labels.json").write_text("{}")
    with pytest.raises(UsageError, match=r"does not list: models/pulsecast/labels\.json"):
        serve_config(first, tmp_path / "triton", ServeOptions(server="triton", version=2))


def _of_another_server(out: Path, first: Path) -> None:
    serve_config(first, out, ServeOptions(server="triton-python"))


def _of_another_name(out: Path, first: Path) -> None:
    serve_config(first, out, ServeOptions(server="pulsecast", name="tweets"))


def _edited(out: Path, first: Path) -> None:
    serve_config(first, out, own())
    (out / "compose.yaml").write_text("services: {}\n")


def _an_edited_version(out: Path, first: Path) -> None:
    serve_config(first, out, own())
    (out / "models" / "pulsecast" / "1" / "weights.npz").write_bytes(b"mine")


def _a_torn_version(out: Path, first: Path) -> None:
    serve_config(first, out, own())
    (out / "models" / "pulsecast" / "1" / "golden.npz").unlink()


def _with_notes(out: Path, first: Path) -> None:
    serve_config(first, out, own())
    (out / "models" / "notes.txt").write_text("mine")


def _a_project(out: Path, first: Path) -> None:
    del first
    out.mkdir()
    (out / "main.py").write_text("print()\n")


def _a_link(out: Path, first: Path) -> None:
    serve_config(first, out.with_name("other"), own())
    out.symlink_to(out.with_name("other"))


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (_of_another_server, "it is for triton-python, not pulsecast. Give this one a folder of its own: --out NEW"),
        (_of_another_name, "it serves another model: name is pulsecast, not tweets"),
        (_edited, "is not as pulsecast wrote it (edited since: compose.yaml); nothing is written"),
        (_an_edited_version, "(edited since: models/pulsecast/1/weights.npz)"),
        (_a_torn_version, "(missing: models/pulsecast/1/golden.npz)"),
        (_with_notes, "holds what its pulsecast.json does not list: models/notes.txt; nothing is replaced"),
        (_a_project, "holds other files (no pulsecast.json): main.py; nothing is replaced: move your files away"),
        (_a_link, "is not a folder and is not replaced"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("force", [False, True])
def test_a_folder_that_is_not_for_it_is_refused_and_stays_as_it_is(
    prepare: Callable[[Path, Path], None], said: str, force: bool, first: Path, second: Path, tmp_path: Path
) -> None:
    out = tmp_path / "serving"
    prepare(out, first)
    before = contents(out)
    for dry_run in (True, False):
        with pytest.raises(UsageError) as raised:
            place_version(second, out, own(2), force=force, dry_run=dry_run)
        assert said in str(raised.value)
    assert contents(out) == before


def test_all_that_clients_would_notice_of_another_model_is_said(
    first: Path, linear_model: plain.PlainModel, tmp_path: Path
) -> None:
    out = tmp_path / "serving"
    serve_config(first, out, own())
    other = write_bundle(tmp_path / "bundle", linear_model)
    with pytest.raises(UsageError, match=r"context is \d+, not 50; horizon is 2, not 1; calendar is True, not False"):
        serve_config(other, out, own(2))


def test_rows_of_another_table_are_another_model_and_names_are_not(tmp_path: Path) -> None:
    """A client of `triton` says row 2: after a series was added it would get the forecast of another one."""
    bundle, renamed = DATA / "golden_v2_series", tmp_path / "renamed"
    shutil.copytree(bundle, renamed)
    names = b"cats\nbirds\ndogs\n"
    assert sorted(names.split()) == sorted((bundle / "series.txt").read_bytes().split())
    (renamed / "series.txt").write_bytes(names)
    manifest = json.loads((renamed / "manifest.json").read_text())
    (entry,) = [entry for entry in manifest["files"] if entry["path"] == "series.txt"]
    entry["sha256"] = hashlib.sha256(names).hexdigest()
    (renamed / "manifest.json").write_text(json.dumps(manifest))
    serve_config(bundle, tmp_path / "by-name", own())
    serve_config(renamed, tmp_path / "by-name", own(2))
    for server in ("triton", "kserve"):
        out = tmp_path / server
        serve_config(bundle, out, ServeOptions(server=server))
        with pytest.raises(UsageError, match="it serves another model: the rows of its series are others"):
            serve_config(renamed, out, ServeOptions(server=server, version=2))


def test_a_version_that_was_removed_by_hand_and_a_missing_readme_do_no_harm(first: Path, tmp_path: Path) -> None:
    out = tmp_path / "serving"
    for version in (1, 2):
        serve_config(first, out, own(version))
    for path in sorted((out / "models" / "pulsecast" / "1").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (out / "models" / "pulsecast" / "1").rmdir()
    (out / "README.md").unlink()
    serve_config(first, out, own(3))
    assert (out / "README.md").is_file()
    assert untruths(out) == []


def test_an_empty_folder_is_filled_in_place(first: Path, tmp_path: Path) -> None:
    """It may be where a volume is mounted."""
    out = tmp_path / "serving"
    out.mkdir()
    inode = out.stat().st_ino
    assert place_version(first, out, own()).plan.fate == "made"
    assert out.stat().st_ino == inode
    assert untruths(out) == []


def test_an_added_version_can_be_read_by_the_servers_user_under_any_umask(
    first: Path, second: Path, tmp_path: Path
) -> None:
    out = tmp_path / "serving"
    before = os.umask(0o077)
    try:
        out.mkdir()
        serve_config(first, out, own())
        serve_config(second, out, own(2))
    finally:
        os.umask(before)
    closed = [path for path in (out, *out.rglob("*")) if path.stat().st_mode & 0o005 != (0o005 if path.is_dir() else 4)]
    assert closed == []


def test_a_second_writer_is_told_of_the_first(first: Path, tmp_path: Path) -> None:
    out = tmp_path / "serving"
    serve_config(first, out, own())
    handle = os.open(out, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(UsageError, match=r"another command writes into .* now; run this one again when it is done"):
            serve_config(first, out, own(2))
    finally:
        os.close(handle)
    serve_config(first, out, own(2))


def test_a_dry_run_says_what_would_be_added_and_writes_nothing(
    first: Path, second: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require("typer")
    from pulsecast_cli.app import run

    out = tmp_path / "serving"
    command = ["serve-config", "--for", "pulsecast", "--out", str(out)]
    assert run([*command, str(first), "--dry-run"]) == 0
    assert capsys.readouterr().out == f"{out} would be made\n"
    assert run([*command, str(first)]) == 0
    capsys.readouterr()
    before = contents(out)
    assert run([*command, str(second), "--version", "2", "--keep", "1", "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{out}: version 2 would be added",
        f"{out}: README.md, request.json would be written",
        f"{out}: version 1 would be removed",
    ]
    assert run([*command, str(second), "--dry-run"]) == 2
    assert "version 1 is in" in capsys.readouterr().err
    assert contents(out) == before
    assert run([*command, str(second), "--version", "2", "--keep", "1", "--format", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["fate"], said["versions"], said["removed"]) == ("added", [2], [1])


def test_a_bundle_of_format_1_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a bundle of format 1, whose files take calendar columns instead of a time"):
        serve_config(DATA / "golden_v1", tmp_path / "out", own())
    assert not (tmp_path / "out").exists()
