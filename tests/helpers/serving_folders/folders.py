"""Serving folders in tests: what their README says, and whether what stands on the disk is what their marker says."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

from helpers import plain
from pulsecast.foundation import strict_json
from pulsecast_export.serving.folder.marker import MARKER, Marker

STAGED = re.compile(r"\.[^/]+\.pulsecast-[0-9a-f]{12}\.(lock|partial|old)(/.*)?")


def write_bundle(folder: Path, model: plain.PlainModel) -> Path:
    """Write a bundle whose SavedModel and ONNX file are stand-ins; return its folder."""
    savedmodel = replace(plain.numpy_artifact(), id="savedmodel", backend="savedmodel", path="savedmodel/1")
    onnx = replace(plain.numpy_artifact(), id="onnx", backend="onnx", path="onnx/model.onnx")
    plain.write_bundle(folder, model, savedmodel, onnx)
    return folder


def curl_line(folder: Path) -> str:
    """Return the one request in README.md."""
    lines = (folder / "README.md").read_text("utf-8").splitlines()
    (line,) = [line for line in lines if line.startswith("curl ")]
    return line


def answer_said(folder: Path) -> dict[str, list[float]]:
    """Return the answer in README.md: output -> numbers."""
    lines = [line.split() for line in (folder / "README.md").read_text("utf-8").splitlines() if line.startswith("    ")]
    return {words[0]: [float(word) for word in words[1:]] for words in lines}


def tensors_asked(folder: Path) -> dict[str, dict[str, object]]:
    """Return the inputs in request.json by name."""
    return {one["name"]: one for one in json.loads((folder / "request.json").read_text("utf-8"))["inputs"]}


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below `folder` by relative path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def untruths(folder: Path) -> list[str]:
    """Return in what a serving folder is not as its marker says; what a dead writer staged is not looked at."""
    found = {path: hashlib.sha256(data).hexdigest() for path, data in contents(folder).items()}
    found = {path: digest for path, digest in found.items() if not STAGED.fullmatch(path)}
    if found.pop(MARKER, None) is None:
        return sorted(found)
    marker = strict_json.loads(Marker, (folder / MARKER).read_bytes(), where=MARKER)
    wrong = [
        path for path, digest in found.items() if digest not in (marker.files.get(path), marker.changing.get(path))
    ]
    return sorted([*wrong, *({*marker.files} - {*found} - {*marker.changing})])
