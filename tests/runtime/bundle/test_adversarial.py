"""A hundred thousand damaged bundles: each is refused with a PulsecastError, or still forecasts its golden.

Seeded, so that a failure names a case that can be repeated. Every case is opened, loaded and asked for forecasts in
this process, in some ten minutes together: a crash of the interpreter or a hang would end the run.
"""

import copy
import functools
import json
import random
import shutil
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pulsecast.bundle.bundle
from pulsecast import load
from pulsecast.bundle.archive import read_archive
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.packing import pack
from pulsecast.errors import IntegrityError, PulsecastError
from pulsecast.model.windows import Windows

DATA = Path(__file__).parents[2] / "data"
GOLDEN = DATA / "golden_v2"  # of the format that is written
GOLDENS = {"format 1": DATA / "golden_v1", "format 2": GOLDEN, "several series": DATA / "golden_v2_series"}
# of each golden: a hundred thousand together
CASES = {"bytes of a folder": 7000, "bytes of a file": 13_000, "the manifest": 8500, "headers": 7000}

Mutation = Callable[[random.Random, bytes], bytes]
HUGE = (2**31, 2**32, 2**53 + 1, 2**63, 2**64, 10**18, 10**400, -1, -(2**63), 1e308, 1e-308, 5e-324, 0, 1.5)
ODD = (None, True, False, "", "x" * 10_000, "\u202e", "../..", "/etc/passwd", "NaN", [], {}, [[]], {"a": {}}, *HUGE)


@functools.cache
def known(golden: Path) -> tuple[Windows, np.ndarray, np.ndarray]:
    """Return windows, their forecasts, and what those may be off by the manifest's tolerance of the numpy artifact."""
    bundle = Bundle.open(golden)
    found, manifest = bundle.golden().take(slice(4)), bundle.manifest
    return found.windows, found.reference, manifest.artifact("numpy").tolerance.max_abs * found.unit[:, np.newaxis]


def outcome(path: Path, golden: Path) -> str:
    """Return the kind of error from loading a bundle and forecasting, or `golden`; fail on anything else."""
    windows, expected, allowed = known(golden)
    try:
        forecasts = load(path, backend="numpy").predict(windows)
    except PulsecastError as error:
        return type(error).__name__
    assert forecasts.shape == expected.shape
    assert (np.abs(forecasts - expected) <= allowed).all()
    return "golden"


def flip(draw: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 8))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def truncate(draw: random.Random, data: bytes) -> bytes:
    return data[: draw.randrange(len(data))]


def extend(draw: random.Random, data: bytes) -> bytes:
    more = draw.randbytes(draw.randrange(1, 64))
    at = draw.choice((0, len(data), draw.randrange(len(data))))
    return data[:at] + more + data[at:]


def overwrite(draw: random.Random, data: bytes) -> bytes:
    at = draw.randrange(len(data))
    fill = draw.choice((b"\x00", b"\xff", b"PK\x01\x02", b"PK\x05\x06", b"[", b'"')) * draw.randrange(1, 64)
    return (data[:at] + fill + data[at + len(fill) :])[: len(data)]


def move(draw: random.Random, data: bytes) -> bytes:
    first, last = sorted(draw.randrange(len(data)) for _ in range(2))
    block, rest = data[first:last], data[:first] + data[last:]
    at = draw.randrange(len(rest) + 1)
    return rest[:at] + block + rest[at:]


BYTES: tuple[Mutation, ...] = (flip, flip, flip, truncate, extend, overwrite, move)


def folder_cases(draw: random.Random, base: Path, golden: Path, count: int) -> Iterator[Path]:
    """Damage one file of a folder, or swap two, and restore it."""
    files = sorted(path for path in base.rglob("*") if path.is_file())
    for _ in range(count):
        one, other = draw.sample(files, 2)
        before = one.read_bytes(), other.read_bytes()
        if draw.random() < 0.1:
            one.write_bytes(before[1])
            other.write_bytes(before[0])
        else:
            one.write_bytes(draw.choice(BYTES)(draw, before[0]))
        yield base
        one.write_bytes(before[0])
        other.write_bytes(before[1])


def file_cases(draw: random.Random, base: Path, golden: Path, count: int) -> Iterator[Path]:
    """Damage a `.pulse` file, stored or deflated, anywhere."""
    originals = [golden.with_suffix(".pulse").read_bytes()]
    pack(golden, base.parent / "stored.pulse")
    originals.append((base.parent / "stored.pulse").read_bytes())
    target = base.parent / "case.pulse"
    for _ in range(count):
        target.write_bytes(draw.choice(BYTES)(draw, draw.choice(originals)))
        yield target


def header_cases(draw: random.Random, base: Path, golden: Path, count: int) -> Iterator[Path]:
    """Put odd numbers into the headers of a `.pulse` file, in one copy or in both."""
    pack(golden, base.parent / "stored.pulse", force=True)
    data = (base.parent / "stored.pulse").read_bytes()
    members = list(read_archive(base.parent / "stored.pulse").members.values())
    central = data.index(members[0].central)
    places = [member.offset + i for member in members for i in range(30)] + list(range(central, len(data)))
    target = base.parent / "case.pulse"
    for _ in range(count):
        changed = bytearray(data)
        for at in draw.sample(places, draw.choice((1, 2, 4))):
            value = draw.choice((0, 1, 0xFFFF, 0x7FFF, 0xFFFFFFFF, 0xFFFFFFFE, len(data), draw.getrandbits(32)))
            packed = struct.pack("<L", value & 0xFFFFFFFF)[: draw.choice((2, 4))]
            changed[at : at + len(packed)] = packed
        target.write_bytes(changed[: len(data)])
        yield target


def manifest_cases(draw: random.Random, base: Path, golden: Path, count: int) -> Iterator[Path]:
    """Edit the manifest's values, keys and text; the files stay as they are."""
    path = base / "manifest.json"
    text = path.read_text()
    for _ in range(count):
        document = json.loads(text)
        for _ in range(draw.choice((1, 1, 1, 2, 5))):
            edit_somewhere(draw, document)
        edited = json.dumps(document)
        if draw.random() < 0.05:
            depth = draw.choice((60, 70, 500, 5000, 100_000))
            edited = edited.replace('"training": {', '"training": {"x": ' + "[" * depth + "]" * depth + ", ", 1)
        path.write_text(edited)
        yield base
    path.write_text(text)


def edit_somewhere(draw: random.Random, document: Any) -> None:
    """Go to a random place and change, drop, repeat or swap its value."""
    place: Any = document
    key = draw.choice(list(place))
    while isinstance(place[key], dict | list) and place[key] and draw.random() < 0.85:
        place = place[key]
        key = draw.choice(list(place)) if isinstance(place, dict) else draw.randrange(len(place))
    value = copy.deepcopy(place[key])
    action = draw.randrange(6)
    if action == 0:
        del place[key]
    elif action == 1:
        place[key] = copy.deepcopy(draw.choice(ODD))
    elif action == 2 and isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 10**300:
        place[key] = draw.choice((value + 1, value - 1, -value, value * 1.001, value * 10, value / 3))
    elif action == 3 and isinstance(place, dict):
        place[draw.choice(("more", "format", "files", key.upper()))] = value
    elif action == 4 and isinstance(value, list) and value:
        place[key] = draw.choice((value * 2, value[::-1], value[:-1], [value]))
    else:
        place[key] = copy.deepcopy(draw.choice(list(document.values())))


MAKERS = {
    "bytes of a folder": folder_cases,
    "bytes of a file": file_cases,
    "the manifest": manifest_cases,
    "headers": header_cases,
}


def test_there_are_a_hundred_thousand_cases() -> None:
    assert sum(CASES.values()) * len(GOLDENS) >= 100_000


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("number", GOLDENS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy, on scalers of absurd numbers
def test_a_damaged_bundle_is_refused_or_forecasts_its_golden(number: str, kind: str, tmp_path: Path) -> None:
    golden = GOLDENS[number]
    base = shutil.copytree(golden, tmp_path / "bundle")
    draw = random.Random(f"pulsecast {number} {kind}")
    seen: Counter[str] = Counter()
    for case, path in enumerate(MAKERS[kind](draw, base, golden, CASES[kind])):
        try:
            seen[outcome(path, golden)] += 1
        except BaseException as error:
            kept = tmp_path / f"failed-{case}"
            shutil.copytree(path, kept) if path.is_dir() else shutil.copyfile(path, kept)
            pytest.fail(f"case {case} of {kind!r}, {number}, kept in {kept.name}: {type(error).__name__}: {error}")
    assert seen.total() == CASES[kind]
    refused = seen.total() - seen["golden"]
    # most edits of provenance and of measured figures change no forecast; hardly any byte of a file is without meaning
    assert refused > seen.total() * (0.3 if kind == "the manifest" else 0.97), seen


class Held:
    """A bundle's files in memory, one of them with a flipped bit."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def listing(self) -> dict[str, int | str]:
        return {name: len(data) for name, data in self.files.items()}

    def read(self, relative: str, at_most: int) -> bytes:
        assert len(self.files[relative]) <= at_most
        return self.files[relative]


@pytest.mark.soak
@pytest.mark.slow
def test_a_flip_in_any_byte_of_any_artifact_is_caught_at_open(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {path.relative_to(GOLDEN).as_posix(): path.read_bytes() for path in GOLDEN.rglob("*") if path.is_file()}
    held = Held(dict(files))
    monkeypatch.setattr("pulsecast.bundle.bundle.open_source", lambda _: held)
    for name in ("check_format", "parse_manifest"):  # the manifest is the same each time, but the bytes read differ
        monkeypatch.setattr(f"pulsecast.bundle.bundle.{name}", functools.cache(getattr(pulsecast.bundle.bundle, name)))
    assert Bundle.open(GOLDEN).manifest.name
    flips = 0
    for relative in [entry.path for entry in Bundle.open(GOLDEN).manifest.files]:
        for place in range(len(files[relative])):
            changed = bytearray(files[relative])
            changed[place] ^= 1 << place % 8
            held.files[relative] = bytes(changed)
            with pytest.raises(IntegrityError, match=f"{relative} has another SHA-256"):
                Bundle.open(GOLDEN)
            flips += 1
        held.files[relative] = files[relative]
    assert flips == sum(entry.size_bytes for entry in Bundle.open(GOLDEN).manifest.files) > 40_000


@pytest.mark.parametrize("at", [0, 0.25, 0.5, 0.75, 1])
def test_a_flip_in_a_file_on_the_disk_is_caught_at_open(at: float, tmp_path: Path) -> None:
    base = shutil.copytree(GOLDEN, tmp_path / "bundle")
    for relative in [entry.path for entry in Bundle.open(base).manifest.files]:
        path = base / relative
        data = path.read_bytes()
        place = int(at * (len(data) - 1))
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(IntegrityError, match=f"{relative} has another SHA-256"):
            Bundle.open(base)
        path.write_bytes(data)
    assert Bundle.open(base).manifest.name
