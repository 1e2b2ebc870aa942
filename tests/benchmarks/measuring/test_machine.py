"""What the environment record holds, and what it must not hold."""

import getpass
import os
import socket
import sys

import pytest

from pulsecast.foundation import strict_json
from pulsecast_bench.measuring import machine
from pulsecast_bench.measuring.machine import (
    CpuTimes,
    describe_machine,
    foreign_share,
    peak_resident_bytes,
    resident_bytes,
)


def test_the_share_of_others_is_what_is_busy_and_not_ours() -> None:
    before = CpuTimes(busy_s=10.0, total_s=100.0, own_s=1.0)
    after = CpuTimes(busy_s=13.0, total_s=104.0, own_s=3.0)
    assert foreign_share(before, after) == pytest.approx(0.25)  # 3 s busy, 2 of them ours, of 4 s
    assert foreign_share(before, CpuTimes(busy_s=11.0, total_s=104.0, own_s=3.0)) == 0.0
    assert foreign_share(before, before) is None
    assert foreign_share(None, after) is None


def test_the_machine_is_described_without_host_user_or_paths() -> None:
    text = strict_json.dumps(describe_machine())
    for secret in (socket.gethostname(), getpass.getuser(), os.getcwd(), sys.prefix):  # noqa: PTH109
        assert secret not in text or len(secret) < 5
    assert describe_machine().versions["python"] == sys.version.split()[0]


def test_the_peak_is_at_least_what_is_resident_now() -> None:
    now = resident_bytes()
    assert now is None or peak_resident_bytes() >= now * 0.9  # the kernel's counters are updated in batches


def test_if_the_processor_has_no_name_the_board_identifies_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"/proc/cpuinfo": "CPU part\t: 0xd08", "/proc/device-tree/model": "Raspberry Pi 4 Model B\0"}
    monkeypatch.setattr(machine, "_text", lambda path: files.get(str(path)))
    assert describe_machine().cpu_model == "Raspberry Pi 4 Model B"
