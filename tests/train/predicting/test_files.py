"""Which files are meant: patterns are expanded, each file is taken once, and nothing is left out in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from pulsecast.errors import UsageError
from pulsecast_train.logs.files import log_ending
from pulsecast_train.predicting.files import expanded, refuse_unfit


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("logs/b.csv", "logs/a.csv", "logs/deep/c.csv", "logs/x.txt", "odd[1].csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*given: str) -> list[str]:
    return [str(path) for path in expanded([Path(one) for one in given]).files]


def test_patterns_are_expanded_in_order_and_each_file_is_taken_once(here: Path) -> None:
    assert names("logs/*.csv") == ["logs/a.csv", "logs/b.csv"]
    assert names("logs/**/*.csv") == ["logs/a.csv", "logs/b.csv", "logs/deep/c.csv"]
    assert names("logs/b.csv", "logs/*.csv", f"{here}/logs/a.csv") == ["logs/b.csv", "logs/a.csv"]


def test_the_name_of_a_file_that_is_there_is_no_pattern(here: Path) -> None:
    found = expanded([Path("odd[1].csv")])
    assert (found.files, found.patterned) == ((Path("odd[1].csv"),), False)
    assert expanded([Path("logs/?.csv")]).patterned


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["none/*.csv", "logs/*.csv"], "^none/*.csv matches no file; look at the pattern$"),
        (["logs"], "^logs is a folder; name its files with a pattern in quotes, such as 'logs/*.csv'$"),
        (["logs/*"], "^logs/* matches the folder logs/deep; end it in the files' own ending, such as 'logs/*.csv'$"),
        (["logs/**"], "such as 'logs/**/*.csv'$"),
        (
            ["a.csv", "b.csv"],
            "^there is no file a.csv; name a log, or a pattern in quotes, such as 'logs/*.parquet'; th",
        ),
    ],
)
def test_what_names_no_file_is_refused_with_a_pattern_that_works(given: list[str], message: str, here: Path) -> None:
    with pytest.raises(UsageError) as caught:
        names(*given)
    start, end = message.startswith("^"), message.endswith("$")
    said, wanted = str(caught.value), message.strip("^$")
    assert said == wanted if start and end else said.startswith(wanted) if start else said.endswith(wanted)


def test_files_that_cannot_be_logs_are_refused_all_at_once(here: Path) -> None:
    files = [Path(one) for one in ("logs/a.csv", "logs/x.txt", "logs/deep/c.csv", "out.csv")]
    (here / "logs/deep/a.csv").touch()
    with pytest.raises(UsageError) as caught:
        refuse_unfit([*files, Path("logs/deep/a.csv")], (here / "out.csv",), named_by_file=True)
    assert str(caught.value) == (
        "logs/x.txt: unknown ending; a log ends in .csv, .tsv, .ndjson, .jsonl, .parquet, .xlsx, .xlsm, or "
        ".csv.gz and the like; "
        "out.csv is what this run writes, and would be read as a log; write it elsewhere; "
        "logs/a.csv, logs/deep/a.csv: several files have one name, and a series is named by its file; rename them"
    )
    refuse_unfit([Path("logs/a.csv"), Path("logs/deep/a.csv")], (), named_by_file=False)


@pytest.mark.parametrize(
    ("name", "ending"),
    [("a.CSV.GZ", ".csv.gz"), ("a.jsonl.zip", ".jsonl.zip"), ("a.zip", ".zip"), ("a.parquet", ".parquet"),
     ("a.parquet.gz", ""), ("a.gz", ""), ("a", ""), (".csv", "")],
)  # fmt: skip
def test_an_ending_says_how_a_log_is_read(name: str, ending: str) -> None:
    assert log_ending(name) == ending
