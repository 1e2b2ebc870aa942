"""Joules come from a counter that can be read, and otherwise there is a reason; the counters here are folders."""

from pathlib import Path

from pulsecast_bench.measuring.energy import describe_energy, find_counter


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def rapl(root: Path, name: str, microjoules: int) -> None:
    folder = root / "powercap" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text("1000\n")


def test_packages_are_added_their_parts_are_not_and_a_counter_wraps(tmp_path: Path) -> None:
    for name, value in (("intel-rapl:0", 900), ("intel-rapl:0:0", 5), ("intel-rapl:1", 10)):
        rapl(tmp_path, name, value)
    counter, reason = find_counter(tmp_path)
    assert counter is not None
    assert reason is None
    before = counter.read()
    rapl(tmp_path, "intel-rapl:0", 100)
    rapl(tmp_path, "intel-rapl:1", 30)
    assert counter.spent_uj(before, counter.read()) == 200 + 20
    assert describe_energy(tmp_path).source == "RAPL, 2 package(s)"


def test_a_battery_counts_only_while_it_is_emptied(tmp_path: Path) -> None:
    write(tmp_path, power_supply__BAT0__energy_now="50000", power_supply__BAT0__status="Charging")
    assert "not being discharged" in (describe_energy(tmp_path).reason or "")
    write(tmp_path, power_supply__BAT0__status="Discharging")
    counter, _ = find_counter(tmp_path)
    assert counter is not None
    before = counter.read()
    assert counter.spent_uj(before, counter.read()) is None  # too coarse to move
    write(tmp_path, power_supply__BAT0__energy_now="49990")
    assert counter.spent_uj(before, counter.read()) == 10 * 3600


def test_without_a_counter_there_is_a_reason(tmp_path: Path) -> None:
    assert "no RAPL counter" in (describe_energy(tmp_path).reason or "")
    rapl(tmp_path, "intel-rapl:0", 1)
    (tmp_path / "powercap/intel-rapl:0/energy_uj").write_text("")
    assert "not readable" in (describe_energy(tmp_path).reason or "")
