"""What a stranger can write too much of is refused by a number, before the rest of it is looked at.

Each of these inputs once took seconds to minutes, or gigabytes. None of them is heavy for a reader that counts first.
"""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pulsecast import limits, load
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.manifest import check_format, check_relative, parse_manifest
from pulsecast.errors import BundleError, FormatError, IntegrityError

GOLDEN = Path(__file__).parents[2] / "data" / "golden_v1"
Copied = Callable[[Path], Path]
Document = dict[str, Any]

HUGE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a key that repeats after 40,000 others": (
        lambda: b"{%s}" % b",".join(b'"%d":1' % (i % 40_000) for i in range(40_001)),
        "manifest.json is not valid JSON: key '0' appears twice",
    ),
    "ten million units": (lambda: b'{"spec":{"units":[%s1]}}' % (b"1," * 10_000_000), "at most 1000000 are read"),
    "30 million numbers": (lambda: b"[%s1]" % (b"1," * 30_000_000), "at most 1000000 are read"),
    "a million brackets": (lambda: b"[" * limits.MANIFEST_BYTES, "nested too deeply, more than 64 levels"),
    "escaped quotes without an end": (lambda: b'{"' + b'\\"' * 400_000, "is not valid JSON: Unterminated string"),
}


@pytest.mark.parametrize("name", HUGE)
@pytest.mark.parametrize("read", [check_format, parse_manifest])
def test_a_text_that_is_large_or_odd_is_refused(name: str, read: Callable[[bytes], object]) -> None:
    make, sentence = HUGE[name]
    with pytest.raises(FormatError) as raised:
        read(make())
    assert sentence in str(raised.value)


@pytest.fixture
def document() -> Document:
    return json.loads((GOLDEN / "manifest.json").read_text())  # type: ignore[no-any-return]


def refusal(document: Document) -> str:
    with pytest.raises(FormatError) as raised:
        parse_manifest(json.dumps(document, separators=(",", ":")).encode())
    return str(raised.value)


def many(value: object, count: int) -> list[object]:
    return [value] * count


COUNTS: dict[str, tuple[Callable[[Document], object], str]] = {
    "artifacts": (lambda d: d.update(artifacts=many({}, 30_000)), "artifacts has 30000 items; at most 100 are read"),
    "files": (lambda d: d.update(files=many({}, 999)), "files has 999 items; at most 998 are read"),
    "libraries": (lambda d: d.update(libraries=many({}, 101)), "libraries has 101 items; at most 100 are read"),
    "features": (lambda d: d["spec"].update(features=many({}, 1001)), "spec.features has 1001 items; at most 1000"),
    "channels": (lambda d: d["spec"].update(channels=many({}, 4001)), "spec.channels has 4001 items; at most 4000"),
    "units": (lambda d: d["spec"].update(units=many(1, 400_000)), "spec.units has 400000 items; at most 64"),
    "layers": (
        lambda d: d["spec"].update(network={"recurrent": many({"kind": "lstm", "units": 1}, 65)}),
        "spec.network.recurrent has 65 items; at most 64",
    ),
    "scales": (lambda d: d["scaler"].update(features=many({}, 1001)), "scaler.features has 1001 items; at most 1000"),
    "levels": (lambda d: d.update(intervals=intervals(101, 1)), "intervals.levels has 101 items; at most 100"),
    "radii": (lambda d: d.update(intervals=intervals(1, 10_001)), r"intervals.radii[0] has 10001 items; at most 10000"),
    "forecasts": (
        lambda d: d["heldout"].update(forecasts={str(i): {} for i in range(101)}),
        "heldout.forecasts has 101 items; at most 100",
    ),
    "versions": (
        lambda d: d["provenance"].update(versions={str(i): "1" for i in range(201)}),
        "provenance.versions has 201 items; at most 200",
    ),
    "commands": (
        lambda d: d["provenance"].update(commands=many([], 101)),
        "provenance.commands has 101 items; at most 100",
    ),
    "words": (
        lambda d: d["provenance"].update(commands=[many("a", 1001)]),
        "provenance.commands[0] has 1001 items; at most 1000",
    ),
    "spans": (
        lambda d: d["spec"]["features"].append(holidays(many([0, 1], 10_001))),
        "calendar.holidays.spans has 10001 items; at most 10000",
    ),
    "characters": (lambda d: d.update(name="x" * 501), "has 501 characters; at most 500 are read"),
    "bytes of a path": (lambda d: d["golden"].update(path="g" * 241), "has 241 characters and 1 parts; expected at"),
    "parts of a path": (
        lambda d: d["golden"].update(path="/".join("a" * 60_000)),
        "has 119999 characters and 60000 parts; expected at most 240 and 16",
    ),
}


def intervals(levels: int, steps: int) -> Document:
    radii = many(many(1.0, steps), levels)
    return {"scale": "identity", "counts": False, "levels": many(0.5, levels), "radii": radii, "windows": 1}


def holidays(spans: list[object]) -> Document:
    found = {"region": "US", "zone": "UTC", "known": [0, 1], "spans": spans}
    return {"name": "free", "calendar": {"function": "holiday", "period_s": 86_400, "holidays": found}}


@pytest.mark.parametrize("name", COUNTS)
def test_a_manifest_with_too_many_parts_is_refused(name: str, document: Document) -> None:
    edit, sentence = COUNTS[name]
    edit(document)
    assert sentence in refusal(document)


def test_a_path_of_as_many_parts_as_are_read_is_a_path() -> None:
    check_relative("/".join("a" * limits.PATH_PARTS))
    with pytest.raises(ValueError, match="has 33 characters and 17 parts"):
        check_relative("/".join("a" * (limits.PATH_PARTS + 1)))


def test_a_message_names_twenty_problems_and_the_number_of_the_others(document: Document) -> None:
    said = refusal(document | {f"more{i}": 1 for i in range(50_000)})
    assert said.startswith("manifest.json: unknown key more0; known: format, name")
    assert said.endswith("; and 49,980 more")
    assert len(said.encode()) <= limits.MESSAGE_BYTES


def test_a_bundle_with_many_strange_files_is_refused_in_a_short_message(copied: Copied) -> None:
    bundle = copied(GOLDEN)
    for i in range(500):
        (bundle / f"{i:03d}-{'x' * 200}").touch()
    with pytest.raises(IntegrityError, match=r"and 480 more$") as raised:
        Bundle.open(bundle)
    assert len(str(raised.value).encode()) <= limits.MESSAGE_BYTES


def test_a_folder_of_more_entries_than_a_bundle_holds_is_not_looked_at_to_its_end(
    copied: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = copied(GOLDEN)
    monkeypatch.setattr(limits, "ENTRIES", 50)
    for i in range(60):
        (bundle / f"folder{i}").mkdir()
    with pytest.raises(FormatError, match="copy-golden_v1 is not a bundle: it holds more than 50 files and folders"):
        Bundle.open(bundle)


@pytest.mark.parametrize("opening", [Bundle.open, load])
def test_folders_nested_three_thousand_deep_are_refused_in_one_sentence(
    copied: Copied, opening: Callable[[Path], object]
) -> None:
    bundle = copied(GOLDEN)
    nest(bundle, 3000)
    try:
        with pytest.raises(BundleError, match="its folders are nested 16 deep or more"):
            opening(bundle)
    finally:
        unnest(bundle, 3000)


def nest(folder: Path, depth: int) -> None:
    """Make `depth` folders inside one another; their path is longer than the system takes, so step by step."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


def unnest(folder: Path, depth: int) -> None:
    """Remove them: pytest's own cleaning would call itself for each."""
    top = os.open(folder, os.O_RDONLY)
    for _ in range(depth):  # the outermost gives way to what is in it
        os.rename("d", "old", src_dir_fd=top, dst_dir_fd=top)
        with contextlib.suppress(FileNotFoundError):
            os.rename("old/d", "d", src_dir_fd=top, dst_dir_fd=top)
        os.rmdir("old", dir_fd=top)
    os.close(top)
