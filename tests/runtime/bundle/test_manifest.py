"""The manifest checks itself: every named part exists in it, once, with a path inside the bundle."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pulsecast.bundle.manifest import check_format, check_relative, parse_manifest
from pulsecast.errors import FormatError, UsageError
from pulsecast.foundation import strict_json

Document = dict[str, Any]


@pytest.fixture
def document(plain_bundle: Path) -> Document:
    return json.loads((plain_bundle / "manifest.json").read_text())  # type: ignore[no-any-return]


def parse(document: Document) -> object:
    return parse_manifest(json.dumps(document).encode())


def test_a_manifest_comes_back_as_written(plain_bundle: Path) -> None:
    data = (plain_bundle / "manifest.json").read_bytes()
    assert strict_json.dumps(parse_manifest(data)).encode() == data


@pytest.mark.parametrize("path", ["a", "a/b.c", "savedmodel/1/variables/variables.data-00000-of-00001", "_x"])
def test_plain_relative_paths_are_accepted(path: str) -> None:
    check_relative(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/a",
        "../a",
        "a/../b",
        "a//b",
        "a/",
        ".",
        "./a",
        ".hidden",
        "a/.b",
        "a\\b",
        "C:/a",
        "a b",
        "a\n",
        "\u00e9",
        "a\0",
    ],
)
def test_paths_that_might_leave_the_bundle_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is not a relative path of plain names"):
        check_relative(path)


def artifact(**change: Any) -> Callable[[Document], object]:
    return lambda document: document["artifacts"][0].update(change)


BAD: dict[str, tuple[Callable[[Document], object], str]] = {
    "an artifact twice": (lambda d: d["artifacts"].append(d["artifacts"][0]), "artifact numpy appears twice"),
    "a file twice": (lambda d: d["files"].append(d["files"][0]), "file golden.npz appears twice"),
    "itself": (lambda d: d["files"].append(d["files"][0] | {"path": "manifest.json"}), "manifest.json cannot list it"),
    "an artifact that is no file": (artifact(path="onnx/model.onnx"), "onnx/model.onnx is not among the files"),
    "weights that are no file": (lambda d: d["weights"].update(path="w.npz"), "w.npz is not among the files"),
    "a golden that is no file": (lambda d: d["golden"].update(path="g.npz"), "g.npz is not among the files"),
    "a path out of the bundle": (artifact(path="../secret"), r"artifacts\[0\]: path '../secret' is not a relative"),
    "a file out of the bundle": (lambda d: d["files"][0].update(path="/etc/passwd"), "path '/etc/passwd' is not a"),
    "a short hash": (lambda d: d["files"][0].update(sha256="ab"), "golden.npz: size_bytes or sha256 is malformed"),
    "a hash in capitals": (lambda d: d["files"][0].update(sha256="A" * 64), "size_bytes or sha256 is malformed"),
    "a negative size": (lambda d: d["files"][0].update(size_bytes=-1), "size_bytes or sha256 is malformed"),
    "a backend that does not exist": (artifact(backend="torch"), "backend is 'torch'; expected one of 'numpy', 'onnx'"),
    "a precision that does not exist": (artifact(precision="int4"), "precision is 'int4'; expected one of 'float32'"),
    "another gate order": (lambda d: d["weights"].update(gate_order="i,o,f,c"), "gate_order and dtype must be 'i,f,c"),
    "a scaler too short": (lambda d: d["scaler"].update(features=[]), "scaler has 0 features; spec has 1"),
    "a spec that refuses itself": (lambda d: d["spec"].update(window=0), "spec: window is 0; expected at least 1"),
    "an unknown key": (lambda d: d.update(comment="x"), "unknown key comment"),
}


@pytest.mark.parametrize(("damage", "sentence"), BAD.values(), ids=BAD.keys())
def test_a_manifest_that_contradicts_itself_is_refused(
    document: Document, damage: Callable[[Document], object], sentence: str
) -> None:
    damage(document)
    with pytest.raises(FormatError, match=f"^manifest.json: .*{sentence}"):
        parse(document)


def test_all_problems_of_a_manifest_are_listed_at_once(document: Document) -> None:
    document["comment"] = "x"
    document["spec"]["units"] = []
    document["files"][0]["sha256"] = "?"
    del document["recipe"]
    with pytest.raises(FormatError) as raised:
        parse(document)
    for problem in ("unknown key comment", "spec: units must hold", "files[0]: golden.npz: size", "missing key recipe"):
        assert problem in str(raised.value)


@pytest.mark.parametrize("number", [0, 3, "1", "2", None, 1.5])
def test_another_format_number_is_said_apart(document: Document, number: object) -> None:
    document["format"] = number
    document["from the future"] = {}
    with pytest.raises(FormatError, match=f"format is {number!r}; this version of pulsecast reads formats 1 and 2"):
        check_format(json.dumps(document).encode())


def test_an_unknown_artifact_lists_the_known_ones(plain_bundle: Path) -> None:
    manifest = parse_manifest((plain_bundle / "manifest.json").read_bytes())
    with pytest.raises(UsageError, match="no artifact 'onnx' in this bundle; it has numpy"):
        manifest.artifact("onnx")
