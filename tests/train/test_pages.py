"""The pictures of the pages: powers of ten are plain text, not the markup of mathematics."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from helpers.engines import require

require("matplotlib")

from pulsecast_train.pages.pictures import forecast_picture, png, power_text, svg  # noqa: E402


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
    found = svg(log_axes(scale), width=4, height=3, label="x")
    assert [text for text in texts(found) if "$" in text or "\\" in text] == []
    assert any("10" in text and text.endswith(("²", "³", "⁶", "⁷")) for text in texts(found))
    assert png(log_axes(scale), width=4, height=3).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "10⁰"), (1e-3, "10⁻³"), (-1e12, "-10¹²"), (0.0, "0"), (37.5, "37.5"), (float(np.float32(1e-5)), "1e-05")],
)
def test_a_tick_is_a_power_or_the_number_itself(value: float, text: str) -> None:
    assert power_text(value) == text
