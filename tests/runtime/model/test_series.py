"""The table of series: names, the rule of the pool's row, and the files that it is written to."""

import copy
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from helpers import plain
from helpers.native_models import directory
from helpers.series_models import with_table
from pulsecast import POOL, limits
from pulsecast.errors import FormatError, UsageError
from pulsecast.model.scaler import FeatureScale, Scaler
from pulsecast.model.series import (
    SeriesNames,
    SeriesTable,
    read_names,
    read_table,
    table_arrays,
    write_names,
    write_table,
)
from pulsecast.model.weights import write_npz
from pulsecast.model.windows import Windows

NAMES = SeriesNames(names=("AAPL", "r/funny", "héllo wörld"))


@pytest.fixture(scope="module")
def table() -> SeriesTable:
    return with_table(directory(plain.make_model(plain.CHANGE_SPEC)), NAMES.names).table  # type: ignore[return-value]


# ------------------------------------------------------------------------------------------------------------- names


def test_a_name_is_its_line_and_the_pool_is_row_0() -> None:
    assert [NAMES.row(name) for name in ("AAPL", "r/funny", "héllo wörld", POOL)] == [1, 2, 3, 0]
    assert [NAMES.name(row) for row in range(4)] == [POOL, "AAPL", "r/funny", "héllo wörld"]
    assert NAMES.rows("r/funny", 3) == [2, 2, 2]
    assert NAMES.rows(np.array(["AAPL", "r/funny"]), 2) == [1, 2]
    assert NAMES.rows(["AAPL", POOL], 2) == [1, 0]


@pytest.mark.parametrize(
    ("series", "sentence"),
    [
        ("GOOG", "no series 'GOOG' in this bundle; for a series that training never saw .* series=pulsecast.POOL"),
        ("AAPl", "no series 'AAPl' in this bundle; there is 'AAPL'"),
        ("APPL", "no series 'APPL' in this bundle; there is 'AAPL'"),
        ("funny", "no series 'funny' in this bundle; there is 'r/funny'"),
        ("", "no series '' in this bundle"),
        (None, r"holds 3 series: pass the name of one, series='AAPL', or series=pulsecast.POOL"),
        (1, "series is 1; expected a name"),
        (0, "series is 0; expected a name"),
        (np.int64(2), "expected a name"),
        (b"AAPL", "more than 2 series|expected a name"),
        ([1, 2], "expected a name"),
        ({"AAPL": 1}, "1 series for 2 windows"),
        (["AAPL"], "1 series for 2 windows; expected one, or one for each"),
        (["AAPL"] * 3, "more than 2 series for 2 windows"),
        ([["AAPL"], ["AAPL"]], "expected a name"),
        (float("nan"), "expected a name"),
    ],
    ids=str,
)
def test_what_is_not_a_name_is_refused_also_a_number_that_could_be_a_row(series: object, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        NAMES.rows(series, 2)


def test_the_pool_is_one_object_also_after_pickling() -> None:
    assert copy.deepcopy(POOL) is POOL
    assert pickle.loads(pickle.dumps(POOL)) is POOL  # noqa: S301  # written one call earlier
    assert repr(POOL) == "pulsecast.POOL"


def test_names_come_back_as_written() -> None:
    assert write_names(NAMES) == "AAPL\nr/funny\nhéllo wörld\n".encode()
    assert read_names(write_names(NAMES)) == NAMES


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "its last line has no end"),
        (b"a\nb", "its last line has no end"),
        (b"\n", "'' is not printable text of 1 to 500 characters"),
        (b"a\n\nb\n", "'' is not printable"),
        (b"a\na\n", "1 of 2 names stand more than once"),
        (b"a\x1b[2J\n", r"'a\\x1b\[2J' is not printable"),
        (b"a\r\n", r"'a\\r' is not printable"),
        (b"\xff\n", "utf-8"),
        (b"a" * 501 + b"\n", "is not printable text of 1 to 500"),
    ],
    ids=str,
)
def test_damaged_names_are_refused(data: bytes, sentence: str) -> None:
    with pytest.raises(FormatError, match=f"names of series: .*{sentence}"):
        read_names(data)


def test_more_names_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SERIES", 2)
    with pytest.raises(FormatError, match="3 series; at most 2 are read"):
        read_names(write_names(NAMES))


# ------------------------------------------------------------------------------------------------------------- rows


def some(spec_context: int, series: list[int], seed: int = 1) -> Windows:
    """Return a window of counts for each row in `series`."""
    values = np.random.default_rng(seed).integers(0, 900, (len(series), spec_context, 1)).astype(np.float64)
    return Windows(values=values, series=np.array(series, np.int64))


def test_a_named_row_scales_as_a_scaler_of_its_own(table: SeriesTable) -> None:
    windows = some(73, [1, 2, 3, 2])
    found = table.of(windows)
    scaled = found.transform(np.pad(windows.values, ((0, 0), (0, 0), (0, 3))))
    for i, row in enumerate([1, 2, 3, 2]):
        scale = FeatureScale(
            transform="log1p", offset=float(table.offset[row, 0]), scale=float(table.scale[row, 0]), low=0, high=9
        )
        own = Scaler(features=(scale, *(FeatureScale() for _ in range(3))))
        np.testing.assert_array_equal(scaled[i], own.transform(np.pad(windows.values[i], ((0, 0), (0, 3)))))
        np.testing.assert_array_equal(found.inverse(scaled[:, -2:, 0])[i], own.inverse(scaled[i, -2:, 0]))


def test_the_pool_is_scaled_by_its_window_as_said(table: SeriesTable) -> None:
    """By hand: mean and standard deviation of log1p over the context."""
    windows = some(73, [0, 1, 0])
    found = table.of(windows)
    for i in (0, 2):
        logs = [float(np.log1p(x)) for x in windows.values[i, :, 0]]
        mean = sum(logs) / 73
        spread = (sum((x - mean) ** 2 for x in logs) / 73) ** 0.5
        assert found.offset[i, 0] == pytest.approx(mean, rel=1e-14)
        assert found.scale[i, 0] == pytest.approx((spread * float(table.scale[0, 0])) ** 0.5, rel=1e-14)


def test_a_window_that_does_not_move_is_not_blown_up(table: SeriesTable) -> None:
    still = Windows(values=np.full((1, 73, 1), 7.0), series=np.zeros(1, np.int64))
    assert table.of(still).scale[0, 0] == pytest.approx((0.05 * float(table.scale[0, 0])) ** 0.5, rel=1e-14)
    assert table.of(still).offset[0, 0] == pytest.approx(np.log(8.0), rel=1e-14)


@pytest.mark.parametrize("row", [-1, 4, 2**40, -(2**63)])
def test_a_row_that_is_not_in_the_table_scales_to_nan_alone(table: SeriesTable, row: int) -> None:
    windows = some(73, [1, row, 2])
    scaled = table.of(windows).transform(np.pad(windows.values, ((0, 0), (0, 0), (0, 3))))
    assert np.isnan(scaled[1, :, 0]).all()
    assert np.isfinite(scaled[[0, 2]]).all()


# ------------------------------------------------------------------------------------------------------------ files


def read(table: SeriesTable, arrays: dict[str, Any]) -> SeriesTable:
    levels = 0 if table.radii is None else table.radii.shape[1]
    return read_table(write_npz(**arrays), table.names, table.pool, plain.CHANGE_SPEC, levels)


def test_a_table_comes_back_as_written(table: SeriesTable) -> None:
    assert write_table(read(table, table_arrays(table))) == write_table(table)
    found = read(table, table_arrays(table))
    for name in ("offset", "scale", "unit", "radii"):
        np.testing.assert_array_equal(getattr(found, name), getattr(table, name))


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("offset", lambda a: a[:-1], r"offset is float32\(3, 1\); expected <f4\(4, 1\)"),
        ("offset", lambda a: a * np.float32(np.nan), "offset holds NaN or infinity"),
        ("scale", lambda a: a.astype("<f8"), "scale is float64"),
        ("scale", lambda a: a * 0, "scale holds a number that is not positive"),
        ("unit", lambda a: -a, "unit holds a number that is not positive"),
        ("unit", lambda a: a * np.inf, "unit holds NaN or infinity"),
        ("radii", lambda a: -a, "a radius is negative"),
        ("radii", lambda a: a[..., :1], r"expected <f8\(4, "),
        ("radii", None, "radii is missing"),
        ("more", lambda a: a, "more is missing or unexpected"),
    ],
)
def test_a_damaged_table_is_refused(table: SeriesTable, name: str, change: Any, sentence: str) -> None:
    arrays = table_arrays(table)
    if change is None:
        del arrays[name]
    else:
        arrays[name] = change(arrays.get(name, np.zeros(3)))
    with pytest.raises(FormatError, match=f"series.npz: .*{sentence}"):
        read(table, arrays)


def test_names_that_are_not_strings_are_not_looked_up_by_their_text() -> None:
    class Text(str):
        __slots__ = ()

    assert NAMES.row(Text("AAPL")) == 1  # a string of another class, such as numpy's
    with pytest.raises(UsageError, match="expected a name"):
        replace(NAMES, names=("1",)).row(1)
