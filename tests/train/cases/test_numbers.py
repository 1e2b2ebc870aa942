"""Numbers as people write them: right, or asked about; never another number in silence."""

from pathlib import Path

import pytest

from helpers.logs.log_files import hours, log, read, refusal, values
from helpers.logs.small_tables import daily
from pulsecast_train.logs import files

READ: dict[str, tuple[list[str], list[float]]] = {
    "a decimal comma, as a group cannot begin with 0": (["0,125", "0,250", "0,900"], [0.125, 0.25, 0.9]),
    "a decimal comma beside a group": (["1.051,5", "1.202", "987"], [1051.5, 1202, 987]),
    "dots that stand twice": (["1.234.567", "1.051", "987"], [1_234_567, 1051, 987]),
    "commas that stand twice": (["1,234,567", "1,051", "987"], [1_234_567, 1051, 987]),
    "a decimal dot": (["1.5", "1.051", "987"], [1.5, 1.051, 987]),
    "commas and a decimal dot": (["1,234.5", "1,051", "987"], [1234.5, 1051, 987]),
    "Indian groups": (["1,23,456", "12,34,567", "1,051"], [123_456, 1_234_567, 1051]),
    "apostrophes": (["1'051", "1\u2019202", "987"], [1051, 1202, 987]),
    "spaces": (["1 051", "1\u00a0202", "1\u202f303,5"], [1051, 1202, 1303.5]),
    "percent": (["12.5%", "1 %", "0.25%"], [12.5, 1, 0.25]),
    "thousands and millions": (["1.2K", "987", "3M"], [1200, 987, 3_000_000]),
    "a real comma and K": (["1,2k", "987", "0,5M"], [1200, 987, 500_000]),
    "a sign of its own": (["\u22125", "3", "4"], [-5, 3, 4]),
    "brackets": (["(5)", "3", "(1,234.5)"], [-5, 3, -1234.5]),
    "powers": (["1.5e3", "2E2", "1e-3"], [1500, 200, 0.001]),
}


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("file", ["log.csv", "log.tsv"])
def test_a_number_is_read_as_its_column_shows_it_is_meant(name: str, file: str, tmp_path: Path) -> None:
    cells, expected = READ[name]
    separator = "\t" if file.endswith("tsv") else ","
    text = daily([f'"{cell}"' if file == "log.csv" else cell for cell in cells], separator=separator)
    series, _ = read(log(tmp_path, text, file), timezone="UTC", kind="gauge")
    assert values(series) == expected


ASKED = {
    "dots": ["987", "1.051", "1.202"],
    "commas": ["987", "1,051", "1,202"],
    "both marks before three digits": ["1.051", "1,202", "987"],
    "with a unit": ["987", "1.051K", "1.202K"],
    "a round number": ["5", "2.000", "3.000"],
}


@pytest.mark.parametrize("name", ASKED)
def test_a_mark_before_three_digits_is_asked_about(name: str, tmp_path: Path) -> None:
    path = log(tmp_path, daily([f'"{cell}"' for cell in ASKED[name]]))
    said = refusal(path, timezone="UTC", kind="gauge")
    assert "and no other cell decides it; choose --decimal . or --decimal ," in said


@pytest.mark.parametrize(("decimal", "expected"), [(".", [987, 1.051, 1202]), (",", [987, 1051, 1.202])])
def test_the_decimal_mark_can_be_stated(decimal: str, expected: list[float], tmp_path: Path) -> None:
    path = log(tmp_path, daily(["987", '"1.051"', '"1,202"']))
    assert values(read(path, timezone="UTC", kind="gauge", decimal=decimal)[0]) == expected


def test_a_cell_far_below_decides_the_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BLOCK_BYTES", 64)
    cells = ["987", *["1.051"] * 20, "1.202.303"]
    text = hours(cells)
    series, _ = read(log(tmp_path, text))
    assert values(series) == [987, *[1051] * 20, 1_202_303]


NOT_NUMBERS = {
    "two decimal marks": ["1.5", "1,5", "2"],
    "percent and none": ["12%", "0.12", "0.13"],
    "groups of two": ["1,234,56", "3", "4"],
    "two signs": ["--5", "3", "4"],
    "a currency": ["5 €", "3", "4"],
    "a comma in front": [",1,2", "3", "4"],
}


@pytest.mark.parametrize("name", NOT_NUMBERS)
def test_what_is_no_number_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    path = log(tmp_path, daily([f'"{cell}"' for cell in NOT_NUMBERS[name]]))
    assert refusal(path, timezone="UTC", kind="gauge").startswith("log.csv line ")
