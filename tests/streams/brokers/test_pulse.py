"""Whether a broker is there: its answer, or a message of it, says so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from helpers.engines import require
from pulsecast import Forecaster
from pulsecast_streams import BrokerConfig
from pulsecast_streams.brokers import pulse
from pulsecast_streams.brokers.pulse import Pulse
from pulsecast_streams.brokers.store import StateStore
from pulsecast_streams.brokers.taking import Taking
from pulsecast_streams.policies import USUAL

require("faststream")
CONFIG = BrokerConfig(kind="mqtt", source="in/+", forecasts="out")


class Deaf:
    """A broker whose answers wait behind its messages, and which is gone after some of these."""

    def __init__(self, taking: Taking, now: list[float], messages: int) -> None:
        self.taking, self.now, self.messages, self.asked = taking, now, messages, 0

    async def ping(self, timeout: float) -> bool:
        self.asked += 1
        self.now[0] += 10.0
        if self.asked <= self.messages:
            self.taking.taken_at = self.now[0]
        return False


def test_a_broker_whose_messages_come_is_not_given_up_though_its_answers_wait_behind_them(
    model: Forecaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seconds pass as the broker is asked, ten at a time; it is given up after thirty without a sign."""
    taking = Taking(model, CONFIG, USUAL, store=StateStore(tmp_path / "a.db", "mqtt in/+"))
    now = [0.0]
    monkeypatch.setattr(pulse, "ASK_S", 0.001)
    monkeypatch.setattr(pulse, "monotonic", lambda: now[0])
    broker = Deaf(taking, now, messages=20)

    async def watched() -> None:
        await Pulse(broker, taking)._run()

    taking.taken_at = 0.0
    asyncio.run(asyncio.wait_for(watched(), 30))
    assert broker.asked == 20 + 3
    assert "the mqtt broker has not answered for 30 s; start it again" in str(taking.fault)
    taking.store.close()
