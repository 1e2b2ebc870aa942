"""Content types and the like: events counted by category, the same in every kind of file, or refused with a remedy."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from helpers.engines import require

require("polars", "sklearn")

from pulsecast.errors import DataError  # noqa: E402
from pulsecast.foundation import strict_json  # noqa: E402  the packages above are needed first
from pulsecast_train.logs.config import LogConfig  # noqa: E402
from pulsecast_train.logs.data_report import DataReport  # noqa: E402
from pulsecast_train.logs.reader import read_log  # noqa: E402
from pulsecast_train.series import Series  # noqa: E402

NOW_S = 1_770_000_000  # 2026-02-02


def read(path: Path, **options: Any) -> tuple[Series, DataReport]:
    (series,), report = read_log([path], LogConfig(**options), now_s=NOW_S)
    return series, report


def log(folder: Path, text: str) -> Path:
    path = folder / "log.csv"
    path.write_text(text)
    return path


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(path, **options)
    return str(caught.value)


def found(report: DataReport) -> dict[str, tuple[int, tuple[int, ...]]]:
    return {finding.policy: (finding.rows, finding.lines) for finding in report.findings}


POSTS = [
    ("00:00:00", "video"), ("00:10:00", "text"), ("00:20:00", "video"), ("00:30:00", " photo "),
    ("01:00:00", "text"), ("01:30:00", ""), ("01:59:59", "video"),
]  # fmt: skip
KINDS_OF_POSTS = {"events": True, "step": "1h", "category": "type", "categories": ("video", "photo")}


def posts(rows: list[tuple[str, str]] = POSTS) -> str:
    return "\n".join(["timestamp,type", *(f"2025-01-06T{time}Z,{kind}" for time, kind in rows)]) + "\n"


def test_events_of_each_category_are_counted_beside_all_of_them(tmp_path: Path) -> None:
    series, report = read(log(tmp_path, posts()), **KINDS_OF_POSTS)
    assert series.metrics == ("events", "type=video", "type=photo")
    assert series.values.tolist() == [[4, 2, 1], [3, 1, 0]]
    assert found(report) == {"other-category": (3, (3, 6, 7))}


@pytest.mark.parametrize("ending", [".ndjson", ".parquet"])
def test_categories_are_the_same_in_every_kind_of_file(tmp_path: Path, ending: str) -> None:
    # numbers as categories: a number in one kind of file is text in another
    rows = [{"timestamp": f"2025-01-06T{time}Z", "type": {"video": 1, "text": 2}.get(kind, 3)} for time, kind in POSTS]
    path = tmp_path / f"log{ending}"
    if ending == ".parquet":
        pl.DataFrame(rows).write_parquet(path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    series, _ = read(path, **{**KINDS_OF_POSTS, "categories": ("1", "2")})
    assert series.values.tolist() == [[4, 2, 1], [3, 1, 1]]


def test_categories_stand_beside_a_metric_and_survive_sorting_and_copies(tmp_path: Path) -> None:
    text = "timestamp,type,id,weight\n"
    text += "2025-01-06T01:30:00Z,photo,c,5\n2025-01-06T00:00:00Z,video,a,2\n2025-01-06T00:00:00Z,video,a,2\n"
    text += "2025-01-06T01:59:59Z,video,d,7\n2025-01-06T00:30:00Z,video,b,3\n"
    series, report = read(log(tmp_path, text), id="id", metrics=("weight",), **KINDS_OF_POSTS)
    assert series.metrics == ("weight", "type=video", "type=photo")
    assert series.values.tolist() == [[5, 2, 0], [12, 1, 1]]
    assert found(report)["exact-duplicate"] == (1, (4,))


def test_copies_of_an_event_that_disagree_about_its_category_are_in_conflict(tmp_path: Path) -> None:
    text = (
        "timestamp,type,id\n2025-01-06T00:00:00Z,video,a\n2025-01-06T00:00:00Z,photo,a\n2025-01-06T00:59:59Z,video,b\n"
    )
    path = log(tmp_path, text)
    assert "have the same id and another time or other values" in refusal(path, id="id", **KINDS_OF_POSTS)
    series, _ = read(path, id="id", on_conflict="last", **KINDS_OF_POSTS)
    assert series.values.tolist() == [[2, 1, 1]]


def test_a_category_whose_values_are_not_named_is_answered_with_what_there_is(tmp_path: Path) -> None:
    text = refusal(log(tmp_path, posts()), **{**KINDS_OF_POSTS, "categories": ()})
    assert text == (
        "log.csv: type holds video (3), text (2), photo (1); name those to count separately, such as "
        "--category type=video,text,photo"
    )


@pytest.mark.parametrize("ending", [".csv", ".ndjson", ".parquet"])
def test_an_empty_category_or_one_with_a_comma_is_listed_and_not_suggested(tmp_path: Path, ending: str) -> None:
    kinds = ["", " ", "", "a,b", "a,b", "video", "NA"]
    rows = [{"timestamp": f"2025-01-06T00:0{minute}:00Z", "type": kind} for minute, kind in enumerate(kinds)]
    path = tmp_path / f"log{ending}"
    if ending == ".parquet":
        pl.DataFrame(rows).write_parquet(path)
    elif ending == ".csv":
        pl.DataFrame(rows).write_csv(path, quote_style="always")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = refusal(path, **{**KINDS_OF_POSTS, "categories": ()})
    assert "a,b (2), NA (1), video (1)" in text
    assert text.endswith("; name those to count separately, such as --category type=NA,video")


def test_a_category_that_is_in_no_row_is_refused_with_what_there_is(tmp_path: Path) -> None:
    path = log(tmp_path, posts())
    assert refusal(path, **{**KINDS_OF_POSTS, "categories": ("video", "foto")}) == (
        "log.csv: no row is of category foto; type holds video (3), text (2), photo (1): name some of these, or leave "
        "it out"
    )
    both = refusal(path, **{**KINDS_OF_POSTS, "categories": ("vdeo", "text", "foto")})
    assert both.startswith("log.csv: no row is of category vdeo, foto; type holds")
    assert both.endswith("or leave them out")


def test_a_category_need_not_be_in_every_file(tmp_path: Path) -> None:
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path, kind in zip(files, ("video", "photo"), strict=True):
        path.write_text(posts([("00:00:00", kind), ("00:59:59", kind)]))
    series, _ = read_log(files, LogConfig(**KINDS_OF_POSTS), now_s=NOW_S)
    assert [one.values.tolist() for one in series] == [[[2, 2, 0]], [[2, 0, 2]]]


def test_a_rare_category_gives_no_warning(tmp_path: Path) -> None:
    rows = [(f"{hour:02}:00:00", "video") for hour in range(24)]
    _, report = read(log(tmp_path, posts([*rows, ("23:59:59", "photo")])), **KINDS_OF_POSTS)
    assert not [warning for warning in report.warnings if "type=" in warning]


def test_a_log_without_categories_is_recorded_as_it_was_before_there_were_any() -> None:
    assert "categor" not in strict_json.dumps(LogConfig())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"events": False}, "category is for events; add --events"),
        ({"category": None}, "categories are values of a column; name it as category"),
        ({"categories": ("a", "b", "a")}, "category 'a' is named twice; name each once"),
        ({"categories": tuple(map(str, range(17)))}, "categories are 17 values; expected at most 16"),
        ({"categories": ("a\x1b",)}, "a category is empty, begins or ends with a space, or cannot be printed"),
        ({"user": "type"}, "column type is named twice"),
    ],
)
def test_categories_that_cannot_be_counted_are_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        LogConfig(**{**KINDS_OF_POSTS, **change})


def test_a_model_has_a_column_per_category_and_reads_the_next_log_alike(tmp_path: Path) -> None:
    from pulsecast_train.fitting.preparing import prepare
    from pulsecast_train.recipes.train_config import RunConfig, TrainConfig

    days = [f"2025-01-{1 + day:02}T{hour:02}" for day in range(28) for hour in range(24)]
    rows = [f"{hour}:{10 * i:02}:00Z,{kind}" for hour in days for i, kind in enumerate(("video", "text", "photo"))]
    path = log(tmp_path, "\n".join(["timestamp,type", *rows, "2025-01-28T23:59:59Z,text"]) + "\n")
    reading = LogConfig(**KINDS_OF_POSTS)
    prepared = prepare(read_log(path, reading), RunConfig(log=reading, train=TrainConfig(window=12, units=(4,))))
    spec = prepared.spec
    assert [feature.name for feature in spec.features[: spec.measured]] == ["events", "type=video", "type=photo"]
    assert sum(channel.feature < spec.measured for channel in spec.channels) == 9  # level, change, season of each
    recorded = strict_json.parse(LogConfig, strict_json.to_json(prepared.log), where="provenance")
    later, _ = read_log(
        [log(tmp_path, posts([("00:00:00", "text"), ("00:59:59", "text")]))], recorded, now_s=NOW_S, as_trained=True
    )
    assert later[0].metrics == ("events", "type=video", "type=photo")
    assert later[0].values.tolist() == [[2, 0, 0]]
