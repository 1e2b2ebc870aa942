"""The state of a detector: its sections, those that are damaged, and those that the first pulsecast wrote."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from helpers import plain
from pulsecast import Forecaster, load
from pulsecast.errors import FormatError, UsageError
from pulsecast.forecasting.anomalies import AnomalyDetector
from pulsecast.forecasting.stream_state import read_state
from pulsecast.forecasting.streaming import Stream

DATA = Path(__file__).parents[2] / "data"
START = 1_736_121_600


@pytest.fixture(scope="module")
def golden() -> Forecaster:
    return load(DATA / "golden_v2", backend="numpy")


@pytest.fixture(scope="module")
def kept(golden: Forecaster) -> bytes:
    detector = golden.detector(false_alarm_rate=0.05)
    for n, value in enumerate(np.random.default_rng(3).integers(20, 60, 200).tolist()):
        detector.push(float(value), timestamp=START + 3600 * n)
    return detector.to_bytes()


def sealed(body: bytes) -> bytes:
    return body + struct.pack("<I", zlib.crc32(body))


def section_at(state: bytes) -> int:
    return state.rindex(b"JUDG")


def test_a_state_of_version_1_goes_on_and_is_written_in_version_2(golden: Forecaster) -> None:
    """Written by the first pulsecast: seventy steps at a rate of 0.1, and a burst at the last but one."""
    old = (DATA / "states" / "detector.v1").read_bytes()
    detector = AnomalyDetector.from_bytes(golden, old)
    assert detector.judged is not None
    assert (detector.judged.value, detector.judged.anomalous, detector.judged.reason) == (28.0, True, "step")
    assert detector.due == START + 3600 * 70
    for n, value in ((70, 41.0), (71, 35.0), (72, 45.0)):
        detector.push(value, timestamp=START + 3600 * n)
    found = detector.push(5000.0, timestamp=START + 3600 * 73)
    assert (found.reason, found.alarm) == ("step", True)
    assert found.forecast < found.upper < 5000
    new = detector.to_bytes()
    assert (old[4], new[4]) == (1, 2)
    assert AnomalyDetector.from_bytes(golden, new).to_bytes() == new
    assert Stream.from_bytes(golden, old).due == START + 3600 * 70


def test_a_state_holds_the_level_so_that_it_goes_on_as_if_nothing_had_been(golden: Forecaster, kept: bytes) -> None:
    one, other = (AnomalyDetector.from_bytes(golden, kept) for _ in range(2))
    values = np.random.default_rng(4).integers(20, 60, 60).astype(float)
    values[30:48], values[50] = 33.0, 2000.0
    reasons = set()
    for n, value in enumerate(values.tolist(), start=200):
        found = one.push(value, timestamp=START + 3600 * n)
        assert repr(other.push(value, timestamp=START + 3600 * n)) == repr(found)
        assert other.to_bytes() == one.to_bytes()
        other = AnomalyDetector.from_bytes(golden, other.to_bytes())
        assert repr(other.judged) == repr(found)
        reasons.add(found.reason)
    assert reasons >= {None, "level", "stuck"}


def test_a_state_that_is_carried_over_keeps_its_level(golden: Forecaster, kept: bytes) -> None:
    before = read_state(kept).sections
    other = load(DATA / "golden_v1", backend="numpy")
    carried = AnomalyDetector.from_bytes(other, kept, carry_over=True)
    assert read_state(carried.to_bytes()).sections == before


def test_of_hourly_steps_at_the_default_rate_a_state_has_about_nine_kilobytes(calendar_bundle: Path) -> None:
    model = load(calendar_bundle, backend="numpy")
    detector = model.detector()
    for n, value in enumerate(plain.series().tolist()):
        detector.push(value, timestamp=plain.START_S + plain.STEP_S * n)
    # 670 residuals of 8 bytes; 336 values and as many distances of 4
    assert len(detector.to_bytes()) == pytest.approx(
        670 * 8 + 2 * 336 * 4 + 4 * model.manifest.spec.context + 450, abs=90
    )


DAMAGED = {
    "unknown": (lambda body, at: body[:at] + b"WHAT" + body[at + 4 :], "does not know"),
    "twice": (lambda body, at: body + body[at:], "twice"),
    "cut": (lambda body, at: body[: at + 20], "too short"),
    "nothing in it": (lambda body, at: body[: at + 4] + bytes(4), "part of the judge is too short"),
    "more than it says": (lambda body, at: body[: at + 16] + b"\x09" + body[at + 17 :], "does not hold what it says"),
    "an unknown reason": (lambda body, at: body[: at + 8] + b"\x63" + body[at + 9 :], "does not hold what it says"),
    "no number": (lambda body, at: body[:-4] + b"\x00\x00\xf8\x7f", "not a finite number"),
    "nothing at all": (lambda body, at: body + b"\x00", "too short"),
}


@pytest.mark.parametrize(("damage", "sentence"), DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_section_is_refused(damage, sentence: str, golden: Forecaster, kept: bytes) -> None:
    with pytest.raises(FormatError, match=sentence):
        AnomalyDetector.from_bytes(golden, sealed(damage(kept[:-4], section_at(kept))))


@pytest.mark.parametrize("rate", [0.0, float("nan"), -1.0, 2.0, float("inf")])
def test_a_rate_that_is_none_is_refused(rate: float, golden: Forecaster) -> None:
    kept = golden.detector(false_alarm_rate=0.0625).to_bytes()
    with pytest.raises(UsageError, match="false-alarm rate is"):
        AnomalyDetector.from_bytes(
            golden, sealed(kept[:-4].replace(struct.pack("<d", 0.0625), struct.pack("<d", rate)))
        )


def test_sections_do_not_belong_to_version_1(golden: Forecaster, kept: bytes) -> None:
    with pytest.raises(FormatError, match="bytes too many"):
        AnomalyDetector.from_bytes(golden, sealed(kept[:4] + b"\x01" + kept[5:-4]))


def test_a_stream_writes_version_1_which_every_pulsecast_reads(golden: Forecaster) -> None:
    assert golden.stream().to_bytes()[4] == 1
