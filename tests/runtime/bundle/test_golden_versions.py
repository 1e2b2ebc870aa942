"""Bundles that earlier versions made: every later version must open them and forecast the same.

`tests/data/golden_v1` and the signed `golden_v1.pulse` were made by version 0.1.0 and are never made again. A new
format number gets new files beside them.
"""

from pathlib import Path

import numpy as np
import pytest

from helpers.engines import require
from pulsecast import load, verify
from pulsecast.bundle.bundle import Bundle

DATA = Path(__file__).parents[2] / "data"
KNOWN = [[41.183975, 32.89188]]  # of the first golden window
FORMS = ("golden_v1", "golden_v1.pulse")


@pytest.mark.parametrize("form", FORMS)
def test_a_bundle_of_format_1_opens_and_forecasts_its_golden(form: str) -> None:
    golden = Bundle.open(DATA / form).golden()
    forecasts = load(DATA / form, backend="numpy").predict(golden.windows)
    # float64 reference rounded once to float32
    np.testing.assert_allclose(forecasts, golden.reference, rtol=1e-7)


@pytest.mark.parametrize("form", FORMS)
def test_every_artifact_of_a_bundle_of_format_1_verifies(form: str) -> None:
    assert [report.artifact for report in verify(DATA / form) if report.passed] == ["numpy", "onnx-w8", "tflite-w8"]


def test_the_signature_of_a_bundle_of_format_1_verifies() -> None:
    require("cryptography")
    signature = Bundle.open(DATA / "golden_v1.pulse", key=DATA / "golden_v1.pub").signature
    assert signature.state == "verified"


def test_one_known_forecast_is_still_that_number() -> None:
    golden = Bundle.open(DATA / "golden_v1").golden()
    forecast = load(DATA / "golden_v1", backend="numpy").predict(golden.windows.take(slice(1)))
    np.testing.assert_allclose(forecast, KNOWN, rtol=1e-6)  # float32 output
