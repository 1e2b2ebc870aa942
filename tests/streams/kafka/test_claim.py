"""The measurement of streams, at a size that only shows that it measures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from helpers.streaming.kafka import Broker
from pulsecast_bench.claims import streams

pytestmark = [pytest.mark.slow, pytest.mark.soak]


def test_the_claim_is_measured_on_a_broker(
    broker: Broker, calendar_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(calendar_bundle), "--kafka", broker.address, "--backend", "numpy", "--messages", "60", "--rounds", "1"]
    assert streams.main(words) in (0, 1)
    said = capsys.readouterr()
    assert said.err == ""
    rates = re.search(
        r"on one core: ([\d,]+) with the model, ([\d,]+) with the identity: [\d.]+x\n"
        r"of one that is stateful and reads JSON: ([\d,]+): [\d.]+x", said.out,
    )  # fmt: skip
    assert rates is not None
    assert all(int(rate.replace(",", "")) > 0 for rate in rates.groups())
    assert re.search(r"of 60 at 50 a second: p50 [\d.]+ ms, p99 [\d.]+ ms", said.out)
