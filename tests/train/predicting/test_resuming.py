"""A batch goes on where it stopped and ends in the same bytes; what is not of the same work is never mixed in."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.engines import require

require("polars")

from helpers.heard import Heard, StopAfter, StoppedError  # noqa: E402
from helpers.logs import batches  # noqa: E402
from pulsecast import load  # noqa: E402
from pulsecast.errors import UsageError  # noqa: E402
from pulsecast_train import LogConfig, predict_logs, prediction  # noqa: E402
from pulsecast_train.predicting import piece, plan  # noqa: E402
from pulsecast_train.predicting.after_log import Wanted  # noqa: E402
from pulsecast_train.predicting.kept import folder_of, kept_pieces  # noqa: E402
from pulsecast_train.predicting.plan import Task  # noqa: E402

Copy = Callable[[Path], Path]


@pytest.fixture
def folder(logs: Path, tmp_path: Path) -> Path:
    return shutil.copytree(logs, tmp_path / "logs")


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The first file of each piece that is run."""
    started: list[str] = []

    def counted(task: Task) -> piece.Made:
        started.append(Path(task.files[0].name).name)
        return piece.run_piece(task)

    monkeypatch.setattr(prediction, "run_piece", counted)
    return started


def stopped(bundle: Path, folder: Path, out: Path, **options: Any) -> None:
    """Run a batch whose first of three pieces is kept, and no more."""
    with pytest.raises(StoppedError):
        predict_logs(bundle, f"{folder}/*", out=out, progress=StopAfter(what="piece"), **options)
    assert not out.exists()


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_it_goes_on_where_it_stopped_and_ends_in_the_same_bytes(
    ending: str, calendar_bundle: Path, folder: Path, tmp_path: Path, ran: list[str]
) -> None:
    (folder / "s001.parquet").write_bytes(b"PAR1")  # its note is kept, too
    out, whole = tmp_path / f"out.{ending}", tmp_path / f"whole.{ending}"
    stopped(calendar_bundle, folder, out)
    assert ran == ["s008.csv"]  # `run_here` begins with the last
    heard = Heard()
    found = predict_logs(calendar_bundle, f"{folder}/*", out=out, progress=heard)
    assert ran == ["s008.csv", "s004.csv", "s000.csv"]
    assert heard.steps[0] == ("piece", 1, 3, "1 of 9 files, kept from before")
    undisturbed = predict_logs(calendar_bundle, f"{folder}/*", out=whole)
    assert out.read_bytes() == whole.read_bytes()
    notes = [path.with_name(f"{path.name}.notes.csv").read_bytes() for path in (out, whole)]
    assert notes[0] == notes[1] != b""
    assert (found.failures, found.rows) == (undisturbed.failures, undisturbed.rows)
    assert not folder_of(out).exists()


def change_a_file(folder: Path, bundle: Path) -> dict[str, Any]:
    path = folder / "s008.csv"
    text, state = path.read_text(), path.stat()
    path.write_text(text[:-2] + ("1" if text[-2] != "1" else "2") + "\n")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))  # as a copy that keeps times does; the size is the same
    return {}


def change_an_option(folder: Path, bundle: Path) -> dict[str, Any]:
    return {"interval": 0.5}


def change_the_reading(folder: Path, bundle: Path) -> dict[str, Any]:
    return {"changes": {"max_gap": 7}}


def change_the_bundle(folder: Path, bundle: Path) -> dict[str, Any]:
    manifest = bundle / "manifest.json"
    document = json.loads(manifest.read_text())
    first = document["intervals"]["radii"][0]
    document["intervals"]["radii"][0] = [radius / 2 for radius in first]
    manifest.write_text(json.dumps(document))
    return {}


@pytest.mark.parametrize("change", [change_a_file, change_an_option, change_the_reading, change_the_bundle])
def test_what_changed_between_is_noticed_and_not_mixed(
    change: Callable[[Path, Path], dict[str, Any]], calendar_bundle: Path, copied: Copy, folder: Path, tmp_path: Path,
    ran: list[str],
) -> None:  # fmt: skip
    bundle, out, whole = copied(calendar_bundle), tmp_path / "out.parquet", tmp_path / "whole.parquet"
    stopped(bundle, folder, out)
    options = change(folder, bundle)
    heard = Heard()
    predict_logs(bundle, f"{folder}/*", out=out, progress=heard, **options)
    assert ran == ["s008.csv"] * 2 + ["s004.csv", "s000.csv"]
    assert heard.lines[1] == (
        "1 finished pieces are of other files, another bundle or other options, or their files have changed since: "
        "they are not used, and go when this run ends well"
    )
    predict_logs(bundle, f"{folder}/*", out=whole, **options)
    assert out.read_bytes() == whole.read_bytes()


def test_an_option_that_was_left_out_in_error_costs_no_finished_piece(
    calendar_bundle: Path, folder: Path, tmp_path: Path, ran: list[str]
) -> None:
    out = tmp_path / "out.parquet"
    stopped(calendar_bundle, folder, out, adapt=True)
    stopped(calendar_bundle, folder, out)
    heard = Heard()
    predict_logs(calendar_bundle, f"{folder}/*", out=out, adapt=True, progress=heard)
    assert heard.notes[0] == "1 of 9 files, kept from before"
    assert ran == ["s008.csv"] * 2 + ["s004.csv", "s000.csv"]
    assert not folder_of(out).exists()


def test_a_kept_piece_that_was_damaged_is_made_again(
    calendar_bundle: Path, folder: Path, tmp_path: Path, ran: list[str]
) -> None:
    out = tmp_path / "out.parquet"
    stopped(calendar_bundle, folder, out)
    (table,) = folder_of(out).glob("*.arrow")
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 1
    table.write_bytes(data)
    predict_logs(calendar_bundle, f"{folder}/*", out=out)
    assert ran[1] == "s008.csv"


def test_a_file_that_changes_or_goes_while_the_batch_runs_is_not_forecast(
    calendar_bundle: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(task: Task) -> piece.Made:
        batches.write_csv(folder / "s002.csv", batches.counts(99, 100))
        (folder / "s004.csv").unlink(missing_ok=True)
        return piece.run_piece(task)

    monkeypatch.setattr(prediction, "run_piece", late)
    found = predict_logs(calendar_bundle, f"{folder}/*", out=tmp_path / "out.parquet")
    assert [(Path(one.file).name, one.reason) for one in found.failures] == [
        ("s002.csv", "it was changed while the batch ran; run the same command again"),
        ("s004.csv", "it is not there any more, or this worker does not see it: No such file or directory"),
    ]


def test_pieces_are_the_same_for_any_number_of_processes_and_small_where_there_are_few_files(
    calendar_bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PIECE_FILES", 128)
    model, files = load(calendar_bundle), sorted(folder.iterdir())

    def sizes(files: list[Path], **wanted: bool) -> list[int]:
        tasks = plan.tasks_of(model, files, LogConfig(), Wanted(level=None, **wanted), plan.Asking())
        return [len(task.files) for task in tasks]

    assert sizes(files) == [8, 1]
    assert sizes(files * 50) == [29] * 15 + [15]
    assert sizes(files * 300) == [128] * 21 + [12]
    assert sizes(files, every=True) == [1] * 9
    monkeypatch.setattr(plan, "PIECE_BYTES", 2 * max(path.stat().st_size for path in files))
    assert max(sizes(files)) < 8


def test_two_runs_at_once_refuse_each_other(calendar_bundle: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    with kept_pieces(out), pytest.raises(UsageError, match=r"another run is writing .*out\.parquet; wait for it"):
        predict_logs(calendar_bundle, f"{folder}/*", out=out)
    predict_logs(calendar_bundle, f"{folder}/*", out=out)


def test_a_folder_of_pieces_that_is_a_link_is_not_followed(calendar_bundle: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    (tmp_path / "elsewhere").mkdir()
    folder_of(out).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is a link, or belongs to another user; remove it"):
        predict_logs(calendar_bundle, f"{folder}/*", out=out)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_a_stranger_put_into_the_folder_of_pieces_stays(
    calendar_bundle: Path, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    folder_of(out).mkdir()
    (folder_of(out) / "mine.arrow").touch()
    predict_logs(calendar_bundle, f"{folder}/*", out=out)
    assert [path.name for path in folder_of(out).iterdir()] == ["mine.arrow"]
