"""Frames and series of pandas and polars, and tensors: columns by their names, times by their zone, never by place."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from helpers import plain
from helpers.engines import load as module
from pulsecast import Forecaster, load
from pulsecast.errors import DtypeError, FeatureCountError, InputError, NonFiniteError, TimeError
from pulsecast.model.scaler import FeatureScale, Scaler
from pulsecast.model.spec import Channel, Feature

pd, pl = module("pandas"), module("polars")
NAMES = ("likes", "views")
SPEC = replace(
    plain.LEVEL_SPEC,
    features=tuple(Feature(name=name) for name in NAMES),
    channels=(Channel(feature=0), Channel(feature=1)),
)
SCALER = Scaler(features=(FeatureScale(offset=100.0, scale=320.0, low=100.0, high=420.0),) * 2)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Forecaster:
    """A model of two columns, `likes` and `views`."""
    folder = tmp_path_factory.mktemp("two") / "bundle"
    plain.write_bundle(folder, plain.make_model(SPEC, SCALER))
    return load(folder, backend="numpy")


@pytest.fixture(scope="module")
def one(plain_bundle: Path) -> Forecaster:
    """A model of the one column `value`."""
    return load(plain_bundle, backend="numpy")


@pytest.fixture(scope="module")
def timed(calendar_bundle: Path) -> Forecaster:
    """A model of the column `value` with a calendar."""
    return load(calendar_bundle, backend="numpy")


WINDOW = plain.columns(SPEC)[:50]  # (50, 2)
FORMS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "pandas": pd.DataFrame,
    "pandas with its own types": lambda data: pd.DataFrame(data).convert_dtypes(),
    "polars": pl.DataFrame,
    "a frame as pyarrow has them": lambda data: Table({name: list(column) for name, column in data.items()}),
}


class Table(dict):  # type: ignore[type-arg]
    """Columns by name; `columns` are the columns themselves."""

    @property
    def column_names(self) -> list[str]:
        return list(self)

    @property
    def columns(self) -> list[Any]:
        return list(self.values())


def columns(*names: str, **others: Any) -> dict[str, Any]:
    """Return the window's columns in the order of `names`, and others behind them."""
    return {name: WINDOW[:, NAMES.index(name)] for name in names} | others


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_columns_in_any_order_and_among_others_are_taken_by_name(two: Forecaster, form: Callable[..., Any]) -> None:
    expected = two.predict(WINDOW)
    assert expected != two.predict(WINDOW[:, ::-1])  # the order matters
    for data in (columns(*NAMES), columns("views", "likes"), columns("views", "likes", country=["de"] * 50)):
        assert two.predict(form(data)) == expected
        assert two.predict([form(data), form(columns(*NAMES))]).tolist() == [expected[0].tolist()] * 2
        assert two.outside(form(data)).tolist() == two.outside(WINDOW).tolist()


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_columns_of_other_names_are_refused_naming_both(two: Forecaster, form: Callable[..., Any]) -> None:
    sentence = r"^values have columns 'likes', 'shown'; this model takes 'likes', 'views', each once, by name: rename"
    for given in (form(columns("likes", shown=WINDOW[:, 1])), [form(columns("likes", shown=WINDOW[:, 1]))]):
        with pytest.raises(FeatureCountError, match=sentence):
            two.predict(given)


NAMELESS = {
    "columns by number": lambda: pd.DataFrame(WINDOW),
    "a name twice": lambda: pd.DataFrame(np.c_[WINDOW, WINDOW], columns=["likes", "views", "likes", "views"]),
    "names in two levels": lambda: pd.DataFrame(WINDOW, columns=pd.MultiIndex.from_tuples([("a", n) for n in NAMES])),
    "numbers by polars": lambda: pl.DataFrame(WINDOW),
    "one column": lambda: pd.DataFrame(columns("likes")),
    "a list of rows, labelled otherwise": lambda: [
        row for _, row in pd.DataFrame(WINDOW, columns=["a", "b"]).iterrows()
    ],
}


@pytest.mark.parametrize("name", NAMELESS)
def test_a_frame_without_the_names_is_never_taken_by_place(two: Forecaster, name: str) -> None:
    with pytest.raises(FeatureCountError, match=r"this model takes 'likes', 'views', each once, by name"):
        two.predict(NAMELESS[name]())


def test_rows_of_a_frame_are_taken_by_name_too(two: Forecaster) -> None:
    expected = two.predict(WINDOW)
    frame = pd.DataFrame(columns("views", "likes"))
    assert two.predict([row for _, row in frame.iterrows()]) == expected
    streams = [two.stream() for _ in range(3)]
    for step, (_, row) in zip(WINDOW, frame.iterrows(), strict=True):
        found = [streams[0].push(step), streams[1].push(row), streams[2].push(frame.loc[[row.name]])]
    assert found[0] == found[1] == found[2] == expected


def test_a_detector_judges_the_named_column(two: Forecaster) -> None:
    frame = pd.DataFrame(columns("views", "likes"))
    assert two.detector().push(frame.iloc[3]).value == WINDOW[3, 0]
    assert two.detector().push(frame.iloc[[3]]).value == WINDOW[3, 0]
    with pytest.raises(FeatureCountError, match=r"^steps have columns 'a', 'b'; this model takes 'likes', 'views'"):
        two.detector().push(pd.Series([1.0, 2.0], index=["a", "b"]))


def test_a_monitor_follows_the_named_column(two: Forecaster) -> None:
    names = [feature.name for feature in two.manifest.spec.features]
    arrays, frames, seen = two.monitor(), two.monitor(), two.monitor()
    for n in range(60):
        step = {name: float(10 * i + n % 7) for i, name in enumerate(names)}
        frame = pd.DataFrame({name: [step[name]] for name in reversed(names)})
        made = arrays.push([step[name] for name in names])
        np.testing.assert_array_equal(frames.push(frame), made)
        seen.observe(frame, made)
    assert frames.to_bytes() == arrays.to_bytes()
    assert [value for value, *_ in seen._seen] == [value for value, *_ in arrays._seen]


def test_a_series_must_have_the_column_s_name_or_none(one: Forecaster) -> None:
    values = WINDOW[:, 0]
    expected = one.predict(values)
    for form in (pd.Series, pl.Series):
        assert one.predict(form(name="value", **{"data" if form is pd.Series else "values": values})) == expected
        with pytest.raises(FeatureCountError, match=r"^values have columns 'shares'; this model takes 'value'"):
            one.predict(form(name="shares", **{"data" if form is pd.Series else "values": values}))
    assert one.predict(pd.Series(values)) == one.predict(pl.Series(values)) == expected
    by_text = pd.Series(values, index=[f"row {i}" for i in range(50)], name="value")
    assert one.predict(by_text) == expected
    assert one.predict([pd.Series(values, name="value"), values]).tolist() == [expected[0].tolist()] * 2
    with pytest.raises(FeatureCountError, match="'shares'"):
        one.predict([values, pd.Series(values, name="shares")])


BAD_COLUMNS = {
    "text": (lambda: pd.DataFrame(columns("likes", views=["7"] * 50)), DtypeError, r"column 'views' is (str|object)"),
    "a truth value": (lambda: pl.DataFrame(columns("likes", views=[True] * 50)), DtypeError, "column 'views' is bool"),
    "NaN": (lambda: pd.DataFrame(columns("likes", views=[np.nan] * 50)), NonFiniteError, "50 values are NaN"),
    "null": (lambda: pl.DataFrame(columns("likes", views=[None, *range(49)])), NonFiniteError, "1 values are NaN"),
    "NA": (lambda: pd.DataFrame(columns("likes", views=pd.array([None] * 50, "Int64"))), InputError, "object|are NaN"),
}


@pytest.mark.parametrize("name", BAD_COLUMNS)
def test_a_column_that_holds_no_numbers_is_named(two: Forecaster, name: str) -> None:
    make, error, sentence = BAD_COLUMNS[name]
    with pytest.raises(error, match=sentence):
        two.predict(make())


def test_a_labelled_array_is_refused_as_its_axes_may_stand_in_any_order(two: Forecaster) -> None:
    array = SimpleNamespace(dims=("feature", "time"), coords={}, values=WINDOW.T)
    with pytest.raises(FeatureCountError, match=r"named axes \('feature', 'time'\); expected an array: transpose it"):
        two.predict(array)


# --- times -----------------------------------------------------------------------------------------------------------


def index(start: str, steps: int, zone: str | None, step: str = "h") -> Any:
    return pd.date_range(start, periods=steps, freq=step, tz=zone)


def test_an_index_in_a_zone_is_the_time_of_the_steps(timed: Forecaster) -> None:
    values = plain.series()[:73].astype(np.float32)
    times = index("2025-01-06 01:00", 73, "Europe/Berlin")
    seconds = int(times[-1].timestamp())
    assert seconds == 1_736_121_600 + 72 * 3600
    expected = timed.predict(values, timestamps=seconds)
    frame = pd.DataFrame({"value": values}, index=times)
    assert timed.predict(frame).tolist() == timed.predict(frame["value"]).tolist() == expected.tolist()
    with pytest.raises(TimeError, match=r"^the frame's index has times without a zone: give it one, such as"):
        timed.predict(frame.tz_localize(None))
    utc = frame.tz_convert("UTC").tz_localize(None)
    assert timed.predict(utc, timestamps=utc.index).tolist() == expected.tolist()
    for given in (times, times[-1], times[-1].to_pydatetime(), pl.Series([times[-1].to_pydatetime()])):
        assert timed.predict(values, timestamps=given).tolist() == expected.tolist()


def test_an_index_whose_steps_are_not_in_order_is_refused(one: Forecaster, timed: Forecaster) -> None:
    frame = pd.DataFrame({"value": plain.series()[:50]}, index=index("2025-01-06", 50, None))
    assert one.predict(frame) == one.predict(plain.series()[:50])
    with pytest.raises(
        TimeError, match=r"index step 1 comes -3600 s after step 0; this model takes one step every 3600"
    ):
        one.predict(frame.iloc[::-1])
    with pytest.raises(TimeError, match=r"index step 10 comes 7200 s after step 9"):
        one.predict(frame.drop(frame.index[10]))
    with pytest.raises(TimeError, match="the time is missing"):
        timed.predict(pl.DataFrame({"value": plain.series()[:73]}))


# --- tensors ---------------------------------------------------------------------------------------------------------


class Tensor:
    """A tensor as torch has it: an array, unless it needs a gradient or lies elsewhere."""

    def __init__(self, values: Any, problem: str = "") -> None:
        self.values, self.problem = np.asarray(values), problem

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if self.problem:
            raise RuntimeError(self.problem)
        return self.values if dtype is None else self.values.astype(dtype)


NEEDS_GRADIENT = "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."


def test_a_tensor_is_an_array_or_says_which_method_makes_one(one: Forecaster, timed: Forecaster) -> None:
    values = plain.series()[:50].astype(np.float32)
    assert one.predict(Tensor(values)) == one.predict(values)
    sentence = (
        r"^values of type Tensor cannot be read as an array: Can't call numpy\(\) .* Use tensor.detach\(\).numpy\(\)"
    )
    with pytest.raises(DtypeError, match=sentence):
        one.predict(Tensor(values, NEEDS_GRADIENT))
    with pytest.raises(DtypeError, match=r"^steps of type Tensor cannot be read as an array: .*detach"):
        one.stream().push(Tensor([1.0], NEEDS_GRADIENT))
    with pytest.raises(DtypeError, match=r"^timestamps of type Tensor cannot be read as an array: .*detach"):
        timed.predict(plain.series()[:73], timestamps=Tensor([1.0], NEEDS_GRADIENT))
    with pytest.raises(InputError):
        one.predict([Tensor(values, NEEDS_GRADIENT)])


def test_a_tensor_that_makes_a_masked_array_does_not_lose_its_mask(one: Forecaster) -> None:
    values = np.ma.array(plain.series()[:50], mask=[True] + [False] * 49)
    held = Tensor(0)
    held.values = values
    with pytest.raises(NonFiniteError, match="values have masked cells"):
        one.predict(held)
    held.values = np.ma.array([5.0], mask=[True])
    with pytest.raises(NonFiniteError, match="steps have masked cells"):
        one.stream().push(held)
