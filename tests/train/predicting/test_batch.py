"""A batch gives what predict gives one by one, in every form; what cannot be forecast is said, and the others go on."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.engines import require

require("polars")

import polars as pl  # noqa: E402

from helpers import plain  # noqa: E402
from helpers.heard import Heard  # noqa: E402
from helpers.logs import batches, many  # noqa: E402
from helpers.logs.batches import batch, counts, one_by_one, write_csv  # noqa: E402
from pulsecast import POOL, load  # noqa: E402
from pulsecast.errors import DataError, NonFiniteError, UsageError  # noqa: E402
from pulsecast_train import predict_logs, prediction  # noqa: E402

FILES = 9
RTOL = 1e-5  # a batch of another size is rounded otherwise


def notes(out: Path) -> list[dict[str, str]]:
    with out.with_name(f"{out.name}.notes.csv").open() as file:
        return list(csv.DictReader(file))


def same(rows: pl.DataFrame, expected: dict[str, Any]) -> None:
    for name, values in expected.items():
        np.testing.assert_allclose(rows[name].to_numpy(), values, rtol=RTOL)


def test_every_file_has_the_forecast_that_an_app_gets_for_it(calendar_bundle: Path, logs: Path, tmp_path: Path) -> None:
    found, rows = batch(calendar_bundle, f"{logs}/*", tmp_path / "out.parquet")
    model = load(calendar_bundle)
    horizon = model.manifest.spec.horizon
    assert (found.files, found.series, found.rows, found.failures) == (FILES, FILES, FILES * horizon, ())
    assert dict(rows.schema) == {
        "file": pl.String, "series": pl.String, "time": pl.Datetime("us", "UTC"), "step": pl.Int32,
        "forecast": pl.Float64, "lower": pl.Float64, "upper": pl.Float64,
    }  # fmt: skip
    assert rows["series"].to_list() == [f"s{number:03d}" for number in range(FILES) for _ in range(horizon)]
    assert rows["file"].to_list() == [str(path) for path in sorted(logs.iterdir()) for _ in range(horizon)]
    after = plain.START_S + plain.STEP_S * (batches.STEPS - 1)
    assert rows["time"].dt.epoch("s").to_list() == [after + plain.STEP_S * k for k in (1, 2)] * FILES
    for number in range(FILES):
        own = rows.filter(pl.col("series") == f"s{number:03d}")
        assert own["step"].to_list() == [1, 2]
        same(own, one_by_one(model, counts(number)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.parquet"]


@pytest.mark.parametrize(
    "options", [{"every": True}, {"adapt": True}, {"every": True, "adapt": True}, {"interval": 0.5}]
)
def test_other_forms_are_those_of_the_command_on_one_log(
    options: dict[str, Any], calendar_bundle: Path, logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pulsecast_cli.app import run

    _, rows = batch(calendar_bundle, [logs / "s000.csv", logs / "s002.csv"], tmp_path / "out.parquet", **options)
    words = [f"--{name}" if value is True else f"--{name}={value}" for name, value in options.items()]
    for name in ("s000", "s002"):
        assert run(["predict", str(calendar_bundle), "--input", str(logs / f"{name}.csv"), *words]) == 0
        expected = list(csv.DictReader(capsys.readouterr().out.splitlines()))
        own = rows.filter(pl.col("series") == name)
        assert own.columns == ["file", *expected[0]]
        assert len(own) == len(expected)
        same(own, {column: [float(row[column]) for row in expected] for column in own.columns[3:]})
        assert own["time"].dt.to_string("%Y-%m-%dT%H:%M:%SZ").to_list() == [row["time"] for row in expected]


def test_csv_has_the_cells_of_the_command_and_the_file(
    calendar_bundle: Path, logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pulsecast_cli.app import run

    predict_logs(calendar_bundle, logs / "s000.csv", out=tmp_path / "out.csv")
    assert run(["predict", str(calendar_bundle), "--input", str(logs / "s000.csv")]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    expected = [f"file,{header}", *(f"{logs / 's000.csv'},{line}" for line in lines)]
    assert (tmp_path / "out.csv").read_text().splitlines() == expected


def test_what_cannot_be_forecast_is_said_and_the_others_go_on(
    calendar_bundle: Path, logs: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(logs, tmp_path / "logs")
    write_csv(folder / "a-short.csv", counts(1, 40))
    (folder / "b-damaged.parquet").write_bytes(b"PAR1")
    (folder / "c-empty.csv").touch()
    write_csv(folder / "d-below.csv", counts(2) * 0 - 1)
    (folder / "d-dangling.csv").symlink_to(folder / "nowhere")
    write_csv(folder / "e-far.csv", counts(3) * 1000)
    lines = (folder / "s000.csv").read_text().splitlines()
    (folder / "f-repaired.csv").write_text("\n".join([*lines, lines[-1]]) + "\n")
    out = tmp_path / "out.parquet"
    found, rows = batch(calendar_bundle, f"{folder}/*", out)
    assert [(Path(one.file).name, one.series) for one in found.failures] == [
        ("a-short.csv", "a-short"), ("b-damaged.parquet", ""), ("c-empty.csv", ""), ("d-below.csv", ""),
        ("d-dangling.csv", ""),
    ]  # fmt: skip
    reasons = [one.reason for one in found.failures]
    assert reasons[0].startswith("series a-short ends with 40 unbroken steps; this model takes 73: bring a longer log")
    assert reasons[1] == "b-damaged.parquet is not a whole Parquet file; write it again"
    assert reasons[2] == "c-empty.csv is empty"
    kinds = [(one["kind"], Path(one["file"]).name) for one in notes(out)]
    assert kinds == [*(("failed", Path(one.file).name) for one in found.failures), ("far", "e-far.csv"),
                     ("repair", "f-repaired.csv")]  # fmt: skip
    assert found.noted == {"failed": 5, "far": 1, "repair": 1}
    assert notes(out)[6]["text"].endswith("[line 122]")
    assert "1 of 1 windows lie far outside what training saw" in notes(out)[5]["text"]
    assert set(rows["series"]) == {"e-far", "f-repaired", *(f"s{number:03d}" for number in range(FILES))}
    same(rows.filter(pl.col("series") == "s008"), one_by_one(load(calendar_bundle), counts(8)))


def test_a_window_that_has_no_forecast_leaves_the_others_of_its_call_theirs(
    calendar_bundle: Path, logs: Path, tmp_path: Path
) -> None:
    values = counts(1)
    values[-3] = 1e39  # beyond float32
    write_csv(tmp_path / "huge.csv", values)
    found, rows = batch(calendar_bundle, [logs / "s000.csv", tmp_path / "huge.csv"], tmp_path / "out.parquet")
    with pytest.raises(NonFiniteError) as caught:
        one_by_one(load(calendar_bundle), values)
    assert [(one.series, one.reason) for one in found.failures] == [("huge", str(caught.value))]
    assert set(rows["series"]) == {"s000"}
    same(rows, one_by_one(load(calendar_bundle), counts(0)))


def test_a_file_over_which_processes_die_is_a_failure_and_the_others_of_its_piece_are_forecast(
    calendar_bundle: Path, logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(piece: Any, tasks: Any, where: Any, on_result: Any, on_lost: Any) -> None:
        """As where a process dies over s005 each time, also alone."""
        for i, task in enumerate(tasks):
            if any("s005" in file.name for file in task.files):
                on_lost(i)
            else:
                on_result(i, piece(task))

    batch(calendar_bundle, f"{logs}/*", tmp_path / "whole.parquet")
    monkeypatch.setattr(prediction, "run_tasks", run)
    found, rows = batch(calendar_bundle, f"{logs}/*", tmp_path / "out.parquet")
    assert [(Path(one.file).name, one.reason[:43]) for one in found.failures] == [
        ("s005.parquet", "the process that forecast it died, also alo")
    ]
    whole = pl.read_parquet(tmp_path / "whole.parquet").filter(pl.col("series") != "s005")
    assert rows["series"].to_list() == whole["series"].to_list()
    same(rows, {name: whole[name].to_numpy() for name in ("forecast", "lower", "upper")})


def test_if_nothing_could_be_forecast_there_is_no_result_and_the_notes_say_why(
    calendar_bundle: Path, tmp_path: Path
) -> None:
    write_csv(tmp_path / "short.csv", counts(1, 40))
    with pytest.raises(DataError, match=r"nothing could be forecast, and .*notes.csv says why of each: .*40 unbroken"):
        predict_logs(calendar_bundle, tmp_path / "short.csv", out=tmp_path / "out.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.parquet.notes.csv", "short.csv"]


# --- a bundle of several series ---------------------------------------------------------------------------------------


def series_logs(folder: Path) -> Path:
    """Write two files of the series of `many`, which their column names, and one that training never saw."""
    folder.mkdir()
    many.write_log(folder / "first.csv", names=("large", "small"))
    many.write_log(folder / "second.csv", names=("middle",))
    many.write_log(folder / "third.csv", names=("small",), rename={"small": "unseen"})
    return folder


def test_series_go_by_the_names_in_the_files_and_unknown_ones_by_the_pool_if_asked(
    many_bundle: Path, tmp_path: Path
) -> None:
    folder, model = series_logs(tmp_path / "logs"), load(many_bundle)
    found, rows = batch(many_bundle, f"{folder}/*.csv", tmp_path / "out.parquet")
    assert [(one.series, one.reason) for one in found.failures] == [
        ("unseen", "there is no series of this name in the bundle; for what training never saw pass --pool")
    ]
    assert rows["series"].unique(maintain_order=True).to_list() == ["large", "small", "middle"]
    for name in many.SIZES:
        same(rows.filter(pl.col("series") == name), one_by_one(model, many.values_of(name), series=name))
    found, rows = batch(many_bundle, f"{folder}/*.csv", tmp_path / "pooled.parquet", pool=True)
    assert found.failures == ()
    same(rows.filter(pl.col("series") == "unseen"), one_by_one(model, many.values_of("small"), series=POOL))
    same(rows.filter(pl.col("series") == "small"), one_by_one(model, many.values_of("small"), series="small"))


def test_a_series_that_is_in_several_files_is_not_forecast_from_a_part_of_it(many_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    many.write_log(folder / "january.csv", names=("large", "small"))
    many.write_log(folder / "february.csv", names=("small", "middle"))
    found, rows = batch(many_bundle, f"{folder}/*.csv", tmp_path / "out.parquet")
    assert [(Path(one.file).name, one.series) for one in found.failures] == [
        ("february.csv", "small"), ("january.csv", "small"),
    ]  # fmt: skip
    assert found.failures[0].reason.startswith(
        f"the series is in 2 files, {folder}/february.csv, {folder}/january.csv,"
    )
    assert rows["series"].unique(maintain_order=True).to_list() == ["middle", "large"]
    assert (found.series, found.rows) == (2, len(rows))


def test_the_names_of_files_are_those_of_series_only_if_that_is_said(many_bundle: Path, tmp_path: Path) -> None:
    folder, model, alone = tmp_path / "logs", load(many_bundle), {"changes": {"series": ""}}
    folder.mkdir()
    for name in ("large", "small"):
        write_csv(folder / f"{name}.csv", many.values_of(name))
    with pytest.raises(UsageError, match=r"3 series, and the files do not say which ones .* pass --series-by-file if"):
        predict_logs(many_bundle, f"{folder}/*", out=tmp_path / "out.parquet", **alone)
    _, rows = batch(many_bundle, f"{folder}/*", tmp_path / "out.parquet", by_file=True, **alone)
    for name in ("large", "small"):
        same(rows.filter(pl.col("series") == name), one_by_one(model, many.values_of(name), series=name))
    _, rows = batch(many_bundle, folder / "small.csv", tmp_path / "one.parquet", series="large", **alone)
    same(rows, one_by_one(model, many.values_of("small"), series="large"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"series": "large"}, "'large' is the name of one series, and there are 3 files: leave it out"),
        ({"by_file": True}, "--series-by-file takes .* and the column topic names series: leave one out"),
        ({"pool": True, "series": "large", "logs": 1}, "a name and the pool are given"),
        ({"series": "huge", "logs": 1}, "no series 'huge' in this bundle"),
    ],
)
def test_what_contradicts_is_refused_before_a_file_is_read(
    options: dict[str, Any], message: str, many_bundle: Path, tmp_path: Path
) -> None:
    folder = series_logs(tmp_path / "logs")
    files = sorted(folder.iterdir())[: options.pop("logs", 3)]
    with pytest.raises(UsageError, match=message):
        predict_logs(many_bundle, files, out=tmp_path / "out.parquet", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_a_bundle_of_one_series_takes_no_name(calendar_bundle: Path, logs: Path, tmp_path: Path) -> None:
    for options in ({"series": "a"}, {"pool": True}, {"by_file": True}):
        with pytest.raises(UsageError, match="has no table of names: leave --series, --pool and --series-by-file out"):
            predict_logs(calendar_bundle, f"{logs}/*", out=tmp_path / "out.parquet", **options)


def test_a_level_without_radii_is_refused_before_a_file_is_read(
    calendar_bundle: Path, logs: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"0\.123"):
        predict_logs(calendar_bundle, f"{logs}/*", out=tmp_path / "out.parquet", interval=0.123)


def test_local_processes_and_a_cluster_are_not_asked_for_together(
    calendar_bundle: Path, logs: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"jobs is 2 and dask is tcp://host:8786; pieces run on one of them"):
        predict_logs(calendar_bundle, f"{logs}/*", out=tmp_path / "out.parquet", jobs=2, dask="tcp://host:8786")


# --- what is written --------------------------------------------------------------------------------------------------


def test_progress_counts_pieces_and_files(calendar_bundle: Path, logs: Path, tmp_path: Path) -> None:
    heard = Heard()
    predict_logs(calendar_bundle, f"{logs}/*", out=tmp_path / "out.parquet", progress=heard)
    assert heard.lines == [f"9 files in 3 pieces, forecast with numpy on numpy {np.__version__}, CPU"]
    assert [step[:3] for step in heard.steps] == [("piece", done, 3) for done in (1, 2, 3)]
    assert heard.notes == ["1 of 9 files", "5 of 9 files", "9 of 9 files"]


def test_a_result_and_a_stranger_s_file_at_the_place_of_the_notes_are_not_replaced(
    calendar_bundle: Path, logs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    strange = out.with_name("out.parquet.notes.csv")
    strange.write_text("mine\n")
    with pytest.raises(UsageError, match=r"notes\.csv is not the notes of a forecast, and is not replaced"):
        predict_logs(calendar_bundle, f"{logs}/*.csv", out=out, force=True)
    strange.write_text("kind,file,series,rows,text\nfailed,old.csv,,0,old\n")
    predict_logs(calendar_bundle, f"{logs}/*.csv", out=out)
    assert not strange.exists()  # this run has nothing to note
    with pytest.raises(UsageError, match="exists; pass --force to replace it"):
        predict_logs(calendar_bundle, f"{logs}/*.csv", out=out)
    predict_logs(calendar_bundle, f"{logs}/*.csv", out=out, force=True)


def test_a_result_is_never_read_as_a_log(calendar_bundle: Path, logs: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(logs, tmp_path / "logs")
    out = folder / "out.csv"
    predict_logs(calendar_bundle, f"{folder}/*.csv", out=out)
    with pytest.raises(UsageError, match=r"out\.csv is what this run writes, and would be read as a log"):
        predict_logs(calendar_bundle, f"{folder}/*.csv", out=out, force=True)
