"""What a server must outlive: versions that change while it answers, and clients that mean no good."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from helpers import plain
from helpers.serving import Served, series_body, started
from helpers.serving.hostile import sent
from helpers.serving.swaps import PATH, SERIES, Asking, install

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def other_bundle(change_model: plain.PlainModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle like `bundle`, with other weights."""
    folder = tmp_path_factory.mktemp("other") / "bundle"
    weights = replace(change_model.weights, head_bias=change_model.weights.head_bias + np.float32(0.3))
    plain.write_bundle(folder, replace(change_model, weights=weights))
    return folder


def swapped(bundles: tuple[Path, Path], folder: Path, swaps: int, requests: int) -> list[float]:
    """Swap versions under two clients, the last one broken, and return the seconds of each request."""
    folder.mkdir(parents=True)
    for version in (1, 2):  # first both, to learn what each must answer
        install(bundles[version % 2], folder, version)
    (folder / "labels.json").write_text('{"stable": 1, "canary": 2}')
    with started("--models", folder.parent, "--poll", "0.1") as served:
        wait_ready(served)
        right = {v % 2: forecast(served, f"mentions/{v}") for v in (1, 2)}
        assert right[0] != right[1]
        (folder / "labels.json").unlink()
        with Asking(served.client, "mentions", right) as asking:
            asking.until(2)
            for version in range(3, 3 + swaps):
                asking.until_asked(requests // (swaps + 1))
                install(bundles[version % 2], folder, version)
                asking.until(version)
            broken = 3 + swaps
            install(bundles[broken % 2], folder, broken)
            (folder / str(broken) / "weights.npz").write_bytes(b"broken")
            asking.until_asked(requests // (swaps + 1))
            while f'version="{broken}"}} 0.0' not in served.client.get("/metrics").body.decode():
                asking.until_asked(1)
        assert asking.found.wrong == []
        assert broken not in asking.found.versions
        return asking.found.seconds


def wait_ready(served: Served) -> None:
    for _ in range(3000):
        if served.client.get("/v2/health/ready").status == 200:
            return
    pytest.fail("it never became ready")


def forecast(served: Served, model: str) -> list[float]:
    reply = served.client.post(PATH, series_body(model, SERIES))
    assert reply.status == 200, reply.body
    found: list[float] = reply.json["outputs"][0]["content"][0]["mean_forecast"]
    return found


def test_no_request_fails_while_versions_are_swapped(bundle: Path, other_bundle: Path, tmp_path: Path) -> None:
    swapped((bundle, other_bundle), tmp_path / "models" / "mentions", swaps=2, requests=60)


@pytest.mark.soak
def test_ten_thousand_requests_during_ten_swaps(bundle: Path, other_bundle: Path, tmp_path: Path) -> None:
    seconds = swapped((bundle, other_bundle), tmp_path / "models" / "mentions", swaps=10, requests=10_000)
    ordered = sorted(seconds)
    p50, p99 = (1000 * ordered[int(share * len(ordered))] for share in (0.5, 0.99))
    sys.stdout.write(
        f"{len(ordered)} requests: p50 {p50:.2f} ms, p99 {p99:.2f} ms, longest {1000 * ordered[-1]:.2f} ms\n"
    )


@pytest.fixture
def attacked(bundle: Path) -> Iterator[Served]:
    with started(bundle, "--body-bytes", "100000", "--store", "memory") as served:
        yield served


def attack(served: Served, count: int) -> None:
    before = psutil.Process(served.process.pid).memory_info().rss
    answered = sent(served.client, count, seed=7)
    assert {status for status in answered if status >= 500} == set(), answered
    assert {200, 400, 404, 413} <= set(answered), answered
    after = psutil.Process(served.process.pid).memory_info().rss
    assert after - before < 60e6, f"{(after - before) / 1e6:.0f} MB more"
    assert forecast(served, "plain")


def test_hostile_requests_are_answered_in_words(attacked: Served) -> None:
    attack(attacked, 700)


@pytest.mark.soak
def test_a_hundred_thousand_hostile_requests(attacked: Served) -> None:
    attack(attacked, 5_000)  # what is kept once is there
    attack(attacked, 95_000)
