"""The shipped JSON Schema says what the strict reader reads."""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.engines import load
from pulsecast.bundle.manifest import parse_manifest
from pulsecast.bundle.schema import SCHEMA_PATH, schema_text
from pulsecast.errors import FormatError

jsonschema = load("jsonschema")

GOLDEN = Path(__file__).parents[2] / "data" / "golden_v1"
MANIFEST = json.loads((GOLDEN / "manifest.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA_PATH.read_text()))


def test_the_shipped_schema_is_the_generated_one() -> None:
    assert SCHEMA_PATH.read_text() == schema_text(), (
        "run: python -m pulsecast.bundle.schema > runtime/pulsecast/bundle/manifest.schema.json"
    )


def test_the_shipped_schema_is_a_valid_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA_PATH.read_text()))


def test_the_golden_manifest_is_valid() -> None:
    assert not list(VALIDATOR.iter_errors(MANIFEST))


EDITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "no name": lambda m: m.pop("name"),
    "an unknown key": lambda m: m.update(more=1),
    "an unknown key deep inside": lambda m: m["artifacts"][0]["parity"].update(more=1),
    "a format of the future": lambda m: m.update(format=3),
    "a window that is text": lambda m: m["spec"].update(window="50"),
    "a window that is a fraction": lambda m: m["spec"].update(window=50.5),
    "files that are no list": lambda m: m.update(files={}),
    "an artifact of an unknown backend": lambda m: m["artifacts"][0].update(backend="torch"),
    "a scaler of an unknown transform": lambda m: m["scaler"]["features"][0].update(transform="exec"),
    "a null where none may be": lambda m: m.update(recipe=None),
    "versions that are numbers": lambda m: m["provenance"]["versions"].update(python=3.11),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_the_schema_refuses_the_reader_refuses(name: str) -> None:
    edited = copy.deepcopy(MANIFEST)
    EDITS[name](edited)
    assert list(VALIDATOR.iter_errors(edited))
    with pytest.raises(FormatError):
        parse_manifest(json.dumps(edited).encode())


def test_the_reader_reports_all_problems_at_once() -> None:
    edited = copy.deepcopy(MANIFEST)
    edited["name"] = 7
    edited["more"] = 1
    edited["spec"]["window"] = "x"
    del edited["golden"]["windows"]
    with pytest.raises(FormatError) as caught:
        parse_manifest(json.dumps(edited).encode())
    for part in ("name is the number 7", "unknown key more", "spec.window is the string 'x'", "golden.windows"):
        assert part in str(caught.value)


RAW: dict[str, tuple[Callable[[str], str], str]] = {
    "deep nesting": (
        lambda t: t.replace('"training": {', '"training": {"x": ' + "[" * 500 + "]" * 500 + ",", 1),
        "deep",
    ),
    "very deep nesting": (lambda t: "[" * 200_000, "deep"),
    "a number beyond a double": (lambda t: t.replace('"seed": 7', '"seed": 1e999', 1), "too large for a 64-bit float"),
    "a number of many digits": (lambda t: t.replace('"seed": 7', '"seed": ' + "9" * 5000, 1), "not valid JSON"),
    "half a surrogate pair": (lambda t: t.replace('"platform": "', '"platform": "\\ud800', 1), "not valid JSON"),
    "a key twice": (lambda t: t.replace('"seed": 7', '"seed": 7, "seed": 7', 1), "appears twice"),
    "an escape sequence in the name": (lambda t: t.replace('"name": "', '"name": "\\u001b[2J', 1), "cannot be printed"),
    "two files that differ by case": (
        lambda t: t.replace('"path": "golden.npz",\n      "size', '"path": "WEIGHTS.npz",\n      "size', 1),
        "differ by case only",
    ),
    "a manifest that lists itself": (
        lambda t: t.replace('"path": "golden.npz",\n      "size', '"path": "manifest.json",\n      "size', 1),
        "manifest.json cannot list itself",
    ),
}


@pytest.mark.parametrize("name", RAW)
def test_text_that_no_schema_sees_is_refused(name: str) -> None:
    edit, sentence = RAW[name]
    text = (GOLDEN / "manifest.json").read_text()
    edited = edit(text)
    assert edited != text
    with pytest.raises(FormatError, match=sentence) as caught:
        parse_manifest(edited.encode())
    assert len(str(caught.value)) < 2000
    assert re.fullmatch(r"[^\x00-\x1f]*", str(caught.value))
