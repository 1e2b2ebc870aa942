"""The pictures of the pages: powers of ten are plain text, not the markup of mathematics."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from helpers.engines import require

require("matplotlib")

from pulsecast_train.pages.pictures import (  # noqa: E402
    WIDTH,
    bars_picture,
    factors_within,
    forecast_picture,
    lines_picture,
    png,
    power_text,
    svg,
    week_picture,
)


def texts(picture: str) -> list[str]:
    return [text.strip() for text in re.findall(r"<text[^>]*>([^<]*)</text>", picture)]


def test_an_axis_with_a_spike_says_powers_of_ten() -> None:
    truth = np.full(200, 30.0)
    truth[50] = 25_000.0
    seconds = 1_736_121_600 + 3600 * np.arange(200)
    picture = forecast_picture("$PFE", seconds, truth, truth, (truth - 5, truth + 5), 0.9)
    assert {"0", "10²", "10³", "10⁴"} <= set(texts(picture))
    assert "$PFE" in texts(picture)
    assert "mathdefault" not in picture


def log_axes(scale: str) -> Callable[[Any], None]:
    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.plot([0.002, 5000.0], [3e-7, 4e8])
        axes.set_xscale(scale)
        axes.set_yscale(scale)

    return draw


@pytest.mark.parametrize("scale", ["log", "symlog"])
def test_no_logarithmic_axis_of_a_picture_has_markup(scale: str) -> None:
    found = svg(log_axes(scale), height=3, label="x")
    assert [text for text in texts(found) if "$" in text or "\\" in text] == []
    assert any("10" in text and text.endswith(("²", "³", "⁶", "⁷")) for text in texts(found))
    assert png(log_axes(scale), height=3).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "10⁰"), (1e-3, "10⁻³"), (-1e12, "-10¹²"), (0.0, "0"), (37.5, "37.5"), (float(np.float32(1e-5)), "1e-05")],
)
def test_a_tick_is_a_power_or_the_number_itself(value: float, text: str) -> None:
    assert power_text(value) == text


def pictures_of_a_report() -> dict[str, str]:
    seconds = 1_736_121_600 + 3600 * np.arange(200)
    truth = 30.0 + np.arange(200) % 24
    lines = {f"forecast {i}": [1.0, 0.9, 0.8] for i in range(5)}
    return {
        "forecast": forecast_picture("series", seconds, truth, truth, (truth - 5, truth + 5), 0.9),
        "week": week_picture("Where it errs", truth[:168].reshape(7, 24), "error"),
        "lines": lines_picture("Folds", "MAE", ["1", "2", "3"], lines, xlabel="fold", level=1.0),
        "bars": bars_picture("Coverage", "covered", [0.9] * 24, xlabel="hour", level=0.9),
    }


def test_every_picture_is_as_wide_as_a_phone_so_that_its_text_keeps_its_size() -> None:
    for name, picture in pictures_of_a_report().items():
        width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', picture).groups()
        assert float(width) == pytest.approx(72 * WIDTH), name  # points
        sizes = [float(size) for size in re.findall(r"font-size: ([\d.]+)px", picture)]
        assert sizes, name
        assert min(sizes) >= 9, name
        assert 360 / (72 * WIDTH) > 0.99
        assert float(height) > 100, name


def test_the_dates_of_a_forecast_are_few_enough_for_a_phone() -> None:
    dates = [text for text in texts(pictures_of_a_report()["forecast"]) if re.fullmatch(r"\d\d|[A-Z][a-z]{2}", text)]
    assert 3 <= len(dates) <= 8


@pytest.mark.parametrize(
    ("reach", "marked"),
    [
        (2.2, ["0.25", "0.5", "1", "2", "4"]),
        (1.0, ["0.5", "0.7", "1", "1.5", "2"]),
        (0.4, ["0.8", "0.9", "1", "1.1", "1.25"]),
        (0.08, ["0.95", "1", "1.05"]),
        (1e-9, ["1"]),
        (5.0, ["0.125", "0.25", "0.5", "1", "2", "4", "8"]),
        (9.0, ["0.125", "0.25", "0.5", "1", "2", "4", "8"]),
    ],
)
def test_a_scale_of_factors_has_numbers_that_people_say(reach: float, marked: list[str]) -> None:
    assert [f"{factor:g}" for factor in factors_within(reach)] == marked
