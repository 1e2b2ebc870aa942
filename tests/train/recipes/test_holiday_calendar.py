"""Holidays of named regions: known dates, the zones that bound them, and columns that go all the way to the runtime."""

import datetime
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.engines import TRAIN, require

require(*TRAIN, "holidays")

from pulsecast import load  # noqa: E402
from pulsecast.computing.calendars import calendar_values, with_calendar  # noqa: E402
from pulsecast.errors import InputError, MissingExtraError, UsageError  # noqa: E402
from pulsecast.foundation import strict_json  # noqa: E402
from pulsecast.model.spec import Holidays  # noqa: E402
from pulsecast_train.recipes.holiday_calendar import holiday_features, look_up  # noqa: E402
from pulsecast_train.recipes.recipes import filled, spec_of  # noqa: E402
from pulsecast_train.recipes.train_config import TrainConfig  # noqa: E402
from pulsecast_train.series import Series  # noqa: E402

HOUR, DAY = 3600, 86_400


def at(*moment: int) -> int:
    return int(datetime.datetime(*moment, tzinfo=datetime.UTC).timestamp())  # type: ignore[misc,arg-type]


def series(step_s: int = HOUR, steps: int = 100, first: int = at(2015, 2, 26)) -> Series:
    return Series(name="a", metrics=("value",), start_s=first, step_s=step_s, values=np.ones((steps, 1)))


def is_day(holidays: Holidays, moment: int) -> bool:
    return any(first <= moment < stop for first, stop in holidays.spans)


def test_the_fourth_of_july_lasts_from_midnight_to_midnight_in_new_york() -> None:
    found = look_up("US", "America/New_York", 2014, 2015)
    assert (at(2014, 7, 4, 4), at(2014, 7, 5, 4)) in found.spans  # four hours behind UTC in summer
    assert (at(2014, 12, 25, 5), at(2014, 12, 26, 5)) in found.spans  # five in winter
    assert (at(2015, 11, 26, 5), at(2015, 11, 27, 5)) in found.spans  # Thanksgiving
    assert found.known == (at(2014, 1, 1, 5), at(2016, 1, 1, 5))


def test_a_part_of_a_country_has_its_own_days_and_neighbouring_days_are_one_span() -> None:
    epiphany = at(2026, 1, 6, 12)
    assert is_day(look_up("DE-BY", "Europe/Berlin", 2026, 2026), epiphany)
    assert not is_day(look_up("DE-HH", "Europe/Berlin", 2026, 2026), epiphany)
    christmas = (at(2026, 12, 24, 23), at(2026, 12, 26, 23))  # both days of it
    assert christmas in look_up("DE", "Europe/Berlin", 2026, 2026).spans


@pytest.mark.parametrize(
    ("step_s", "horizon", "aheads"),
    [(HOUR, 1, [1]), (HOUR, 24, [1, 24]), (HOUR, 30, [1, 25, 30]), (DAY, 3, [1, 2, 3]), (7 * DAY, 2, [1, 2])],
)
def test_every_day_of_the_horizon_has_a_column(step_s: int, horizon: int, aheads: list[int]) -> None:
    config = TrainConfig(holidays=("US",), horizon=horizon)
    features = holiday_features(config, [series(step_s)])
    assert [feature.calendar.ahead_steps for feature in features if feature.calendar] == aheads
    assert features[0].name == "holiday_US"
    assert len({feature.name for feature in features}) == len(aheads)


def test_the_days_reach_from_the_first_logs_year_to_ten_years_after_the_last() -> None:
    feature = holiday_features(TrainConfig(holidays=("US",)), [series(), series(first=at(2016, 12, 1))])[0]
    assert feature.calendar is not None
    assert feature.calendar.holidays is not None
    assert feature.calendar.holidays.known == (at(2015, 1, 1), at(2027, 1, 1))


@pytest.mark.parametrize(
    ("zone", "first", "years"),
    [
        ("America/New_York", at(2015, 1, 1), (2014, 2025)),  # still the year before, in the evening there
        ("America/New_York", at(2015, 1, 1, 5), (2015, 2025)),
        ("Asia/Tokyo", at(2014, 12, 31, 15), (2015, 2025)),  # midnight of the year after there
    ],
)
def test_a_log_that_begins_at_the_turn_of_a_year_begins_in_the_year_of_the_holidays_zone(
    zone: str, first: int, years: tuple[int, int]
) -> None:
    log = series(first=first)
    calendar = holiday_features(TrainConfig(holidays=("US",), holiday_zone=zone), [log])[0].calendar
    assert calendar is not None
    assert calendar.holidays == look_up("US", zone, *years)
    told = calendar_values(calendar, log.timestamps_s(), HOUR)  # raises for a step whose year is not known
    assert told[:8].tolist() == [float(is_day(calendar.holidays, first + HOUR * hour)) for hour in range(1, 9)]


def test_a_spec_with_holidays_is_that_without_and_one_more_column_and_channel() -> None:
    bare = spec_of(TrainConfig(), [series()])
    told = spec_of(TrainConfig(holidays=("US", "GB-SCT")), [series()])
    assert told.features[:-2] == bare.features
    assert [feature.name for feature in told.features[-2:]] == ["holiday_US", "holiday_GB-SCT"]
    assert len(told.channels) == len(bare.channels) + 2
    assert told.context == bare.context


def test_without_holidays_a_configuration_is_written_as_it_was_before_there_were_any() -> None:
    assert "holiday" not in strict_json.dumps(TrainConfig())
    assert strict_json.to_json(TrainConfig(holidays=("US",)))["holidays"] == ["US"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"holidays": ("XX",)}, "holidays of 'XX' are not known; expected a country by its two letters, such as US"),
        ({"holidays": ("AT-99",)}, "holidays of 'AT-99' are not known; AT has AT-1, AT-2"),
        ({"holidays": ("US",), "holiday_zone": "Nowhere"}, "holiday zone is 'Nowhere'; expected a name such as UTC"),
    ],
)
def test_an_unknown_region_or_zone_is_refused(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        holiday_features(replace(TrainConfig(), **change), [series()])  # type: ignore[arg-type]


def test_a_recipe_without_a_calendar_takes_no_holidays() -> None:
    with pytest.raises(UsageError, match="recipe textbook has no calendar to put holidays in"):
        filled(TrainConfig(recipe="textbook", holidays=("US",)))


def test_a_zone_without_holidays_is_refused() -> None:
    with pytest.raises(UsageError, match="holiday zone Europe/Berlin is for holidays; name them with --holidays"):
        filled(TrainConfig(holiday_zone="Europe/Berlin"))


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "holidays", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pulsecast\[holidays\]'"):
        holiday_features(TrainConfig(holidays=("CH",)), [series()])


@pytest.mark.slow
def test_holidays_go_from_training_to_predictions_streams_and_c(tmp_path: Path) -> None:
    require("onnx", "tf2onnx", "onnxruntime")
    from helpers.outside import warm
    from pulsecast_export.exporter import export_model
    from pulsecast_export.native.writer import sources
    from pulsecast_train import train
    from pulsecast_train.logs.config import LogConfig

    hours = np.arange(500)
    values = np.round(100 + 40 * np.sin(2 * np.pi * hours / 24))
    lines = [f"{at(2015, 6, 20) + HOUR * int(h)},{int(v)}" for h, v in zip(hours, values, strict=True)]
    (tmp_path / "log.csv").write_text("\n".join(["timestamp,value", *lines]) + "\n")
    training = TrainConfig(units=(4,), window=12, epochs=1, holidays=("US",), holiday_zone="America/New_York")
    train(tmp_path / "log.csv", out=tmp_path / "model", log=LogConfig(step="1h"), training=training)
    with warm.converters():
        export_model(tmp_path / "model", tmp_path / "bundle", targets=("onnx",))
    model = load(tmp_path / "bundle")
    spec = model.manifest.spec

    seconds = at(2015, 7, 2) + HOUR * np.arange(72 + spec.context)
    steps = np.full((len(seconds), 1), 100.0)
    flags = with_calendar(spec, steps, seconds)[:, -1]  # of the hour after each step
    holiday = (seconds + HOUR >= at(2015, 7, 3, 4)) & (seconds + HOUR < at(2015, 7, 5, 4))  # the 4th was a Saturday
    np.testing.assert_array_equal(flags, holiday)

    stream = model.stream()
    streamed = [stream.push(step, timestamp=int(t)) for step, t in zip(steps, seconds, strict=True)][-1]
    last = model.predict(steps[-spec.context :], timestamps=seconds[-spec.context :])
    np.testing.assert_array_equal(streamed, last)
    with pytest.raises(
        InputError, match=r"holidays of US are known for windows that end from .* to 2026-01-01T03:00:00Z"
    ):
        model.predict(steps[-spec.context :], timestamps=at(2026, 1, 1) + HOUR * np.arange(spec.context))

    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    assert r"Knows the holidays of US (in America/New\_York) up to 2026-01-01T05:00:00Z" in card
    from pulsecast.stages.model_directory import read_model_directory

    source = sources(read_model_directory(tmp_path / "model"), "native")["model.c"]
    assert f"{{INT64_C({at(2015, 7, 3, 4)}), INT64_C({at(2015, 7, 5, 4)})}}" in source
