"""Bundles that earlier versions made: every later version must open them and forecast the same.

`golden_v1`, `golden_v2`, `golden_v2_series` in `tests/data`, and their signed `.pulse` files, were made by version
0.1.0. Once their format is released they are never made again, and a new format number gets new files beside them.
`helpers.golden` made those of format 2.
"""

from pathlib import Path

import numpy as np
import pytest

from helpers.engines import require
from pulsecast import load, verify
from pulsecast.bundle.bundle import Bundle

DATA = Path(__file__).parents[2] / "data"
KNOWN = {  # of the first golden window
    "golden_v1": [[41.183975, 32.89188]],
    "golden_v2": [[39.010578, 29.919325]],
    "golden_v2_series": [[39.54847, 32.885]],
}
FORMS = tuple(f"{name}{end}" for name in KNOWN for end in ("", ".pulse"))


@pytest.mark.parametrize("form", FORMS)
def test_a_bundle_of_every_format_opens_and_forecasts_its_golden(form: str) -> None:
    golden = Bundle.open(DATA / form).golden()
    forecasts = load(DATA / form, backend="numpy").predict(golden.windows)
    # float64 reference rounded once to float32
    np.testing.assert_allclose(forecasts, golden.reference, rtol=1e-7)


@pytest.mark.parametrize("form", FORMS)
def test_every_artifact_of_a_bundle_of_every_format_verifies(form: str) -> None:
    assert [report.artifact for report in verify(DATA / form) if report.passed] == ["numpy", "onnx-w8", "tflite-w8"]


@pytest.mark.parametrize("name", KNOWN)
def test_the_signature_of_a_bundle_of_every_format_verifies(name: str) -> None:
    require("cryptography")
    signature = Bundle.open(DATA / f"{name}.pulse", key=DATA / f"{name}.pub").signature
    assert signature.state == "verified"


@pytest.mark.parametrize("name", KNOWN)
def test_one_known_forecast_is_still_that_number(name: str) -> None:
    golden = Bundle.open(DATA / name).golden()
    forecast = load(DATA / name, backend="numpy").predict(golden.windows.take(slice(1)))
    np.testing.assert_allclose(forecast, KNOWN[name], rtol=1e-6)  # float32 output


def test_a_bundle_of_format_1_is_given_a_time_or_its_calendar_columns() -> None:
    """Its golden holds the columns ready-made; with a time the runtime computes them."""
    model = load(DATA / "golden_v1", backend="onnx")
    columns = Bundle.open(DATA / "golden_v1").golden().windows.values
    first_hour = 1_736_121_600  # of the log that it was trained on, a Monday midnight
    spec = model.manifest.spec
    last = first_hour + 3600 * np.arange(60 * 24)
    phases = np.sin(2 * np.pi * ((last + 3600) % 604_800) / 604_800)
    row = next(r for r in range(len(columns)) if columns[r, -1, 0] != columns[r, -2, 0])
    week = [feature.name for feature in spec.features].index("week_sin")
    fits = last[np.isclose(phases, columns[row, -1, week], rtol=0, atol=1e-6)]
    found = [model.predict(columns[row : row + 1, :, :1], timestamps=fits[i : i + 1]) for i in range(len(fits))]
    expected = model.predict(columns[row : row + 1])
    assert any(np.allclose(one, expected, rtol=1e-5) for one in found)
