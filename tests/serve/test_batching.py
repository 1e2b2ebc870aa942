"""Forecasts of requests that come together are those of each alone, and one at fault harms no other."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import pulsecast
from helpers.serving import running, series_body
from pulsecast import Windows
from pulsecast_serve import ServerConfig
from pulsecast_serve.batching import FULL, Batches
from pulsecast_serve.models.alike import MOST, alike
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


def together(
    served: Served, parts: list[Windows], wait_s: float = 0.001, sizes: list[int] | None = None
) -> list[object]:
    """Return what is answered to requests that arrive at once; `sizes` gets the windows of each call of the engine."""
    predict = served.model.backend.predict

    def counted(values: NDArray[np.float32], *more: Any) -> NDArray[np.float32]:
        if sizes is not None:
            sizes.append(len(values))
        return predict(values, *more)

    async def ask() -> list[object]:
        batches = Batches(wait_s)
        batches._turns = 7  # the next one looks for others
        return list(await asyncio.gather(*(batches.predict(served, one) for one in parts), return_exceptions=True))

    served.model._backend_predict = counted
    try:
        return asyncio.run(ask())
    finally:
        served.model._backend_predict = predict


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


def test_what_has_arrived_is_forecast_together_to_the_last_bit(served: Served) -> None:
    proven = replace(served, alike=alike(served.model))
    parts = [windows(served, count, 200.0 + 20 * i) for i, count in enumerate((1, 2, 1, 8, 3, 1, 5, 1))]
    for one, answer in zip(parts, together(proven, parts, 0.0), strict=True):
        np.testing.assert_array_equal(answer, served.model.predict(one))
    sizes: list[int] = []
    together(replace(served, alike=MOST), parts, 0.0, sizes)
    assert sizes == [16, 6]


def test_an_engine_that_was_not_proven_forecasts_each_request_alone(served: Served) -> None:
    sizes: list[int] = []
    together(served, [windows(served, 1)] * 5, 0.0, sizes)
    assert sizes == [1] * 5


def test_a_request_that_finds_no_other_looks_for_one_now_and_then_only(served: Served) -> None:
    batches, one = Batches(), replace(served, alike=MOST)
    begun: list[object] = []

    async def ask(count: int) -> None:
        before = batches._begun
        batches._begun = lambda *given: begun.append(1) or before(*given)  # type: ignore[method-assign,func-returns-value]
        for _ in range(count):
            await batches.predict(one, windows(served, 1))
        batches._begun = before  # type: ignore[method-assign]

    asyncio.run(ask(80))
    assert len(begun) == 10


class Unlike:
    """An engine whose sums are in another order from a size of batch on."""

    device = "CPU"

    def __init__(self, model: pulsecast.Forecaster, size: int) -> None:
        self._inner, self._size = model.backend, size

    def predict(self, values: NDArray[np.float32], *more: Any) -> NDArray[np.float32]:
        found = self._inner.predict(values, *more)
        return np.nextafter(found, np.float32(np.inf)) if len(values) >= self._size else found


def test_an_engine_is_trusted_below_the_first_size_that_changes_a_bit(bundle: Path) -> None:
    for size, expected in ((2, 1), (5, 4), (MOST, MOST - 1), (MOST + 1, MOST)):
        model = pulsecast.load(bundle, backend="numpy")
        model.backend = Unlike(model, size)  # type: ignore[assignment]
        assert alike(model) == expected
    model.backend.device = "GPU"  # type: ignore[misc]
    assert alike(model) == 1


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
