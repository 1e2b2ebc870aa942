"""Forecasts of requests that come together are those of each alone, and one at fault harms no other."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import pulsecast
from helpers.serving import running, series_body
from pulsecast import Windows
from pulsecast_serve import ServerConfig
from pulsecast_serve.batching import FULL, Batches
from pulsecast_serve.models.served import Served

PATH = "/v1/timeseries/forecast"
SERIES = [float(200 + i % 24) for i in range(90)]
TIME = 1_767_571_200


@pytest.fixture(scope="module")
def served(bundle: Path) -> Served:
    return Served(name="plain", version=1, model=pulsecast.load(bundle))


def windows(served: Served, count: int, level: float = 250.0) -> Windows:
    context = served.model.manifest.spec.context
    values = level + np.arange(count * context, dtype=np.float32).reshape(count, context, 1) % 37
    return Windows(values=values.astype(np.float32), time=TIME + 3600 * np.arange(count))


def together(served: Served, parts: list[Windows], wait_s: float = 0.001) -> list[object]:
    async def ask() -> list[object]:
        batches = Batches(wait_s)
        return list(await asyncio.gather(*(batches.predict(served, one) for one in parts), return_exceptions=True))

    return asyncio.run(ask())


def test_each_request_has_its_own_forecasts(served: Served) -> None:
    parts = [windows(served, count, 200.0 + 20 * count) for count in (1, 3, 2)]
    for one, found in zip(parts, together(served, parts), strict=True):
        np.testing.assert_allclose(found, served.model.predict(one), rtol=2e-6)


def test_a_full_batch_does_not_wait(served: Served) -> None:
    parts = [windows(served, 8)] * (FULL // 8)
    assert all(isinstance(one, np.ndarray) for one in together(served, parts, wait_s=60.0))


def test_a_window_that_cannot_be_forecast_harms_no_other(served: Served) -> None:
    bad = windows(served, 2)
    bad.values[1, 5] = np.nan
    found = together(served, [windows(served, 1), bad])
    np.testing.assert_allclose(found[0], served.model.predict(windows(served, 1)), rtol=2e-6)
    assert np.isfinite(np.asarray(found[1])).tolist() == [[True, True], [False, False]]


def test_an_error_reaches_the_request_at_fault_alone(served: Served) -> None:
    wrong = Windows(values=windows(served, 2).values, time=np.full((2, 7), TIME))
    found = together(served, [windows(served, 1), wrong])
    assert isinstance(found[1], pulsecast.InputError)
    np.testing.assert_allclose(found[0], served.model.predict(windows(served, 1)), rtol=2e-6)


def test_a_server_that_waits_answers_what_one_that_does_not_answers(bundle: Path) -> None:
    bodies = [series_body("plain", [value + i for value in SERIES]) for i in range(12)]
    with running(bundle) as client:
        alone = [client.post(PATH, body).json["outputs"] for body in bodies]
    with running(bundle, config=ServerConfig(batch_wait_us=20_000)) as client, ThreadPoolExecutor(12) as asking:
        found = [one.json["outputs"] for one in asking.map(lambda body: client.post(PATH, body), bodies)]
    for one, other in zip(found, alone, strict=True):
        np.testing.assert_allclose(
            one[0]["content"][0]["mean_forecast"], other[0]["content"][0]["mean_forecast"], rtol=2e-6
        )
