"""The engines that are compared: the bundle's WebAssembly, and onnxruntime-web on the bundle's ONNX files.

Both are opened as a page of an app would: the module in JavaScript, given the address of the model. onnxruntime-web
takes one thread, and its own choice of instructions (SIMD).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import UsageError
from pulsecast_export.libraries.wasm import MODULE, WRAPPER

from ..sources import require_artifacts

NODE, CHROMIUM = "node", "chromium"
PEER = "onnxruntime-web"
PEER_VERSION = "1.30.0"  # what was measured; another one is measured as it is
PAIRS = (("native", "onnx"), ("native-w8", "onnx-w8"))  # ours, theirs; the second one if the bundle has both
_EXPORT = (
    "pulsecast export MODEL --target native --target native-w8 --target onnx --target onnx-w8 --native-for wasm32 "
    "--out BUNDLE"
)
_INSTALL = f"npm install --no-package-lock --prefix FOLDER {PEER}@{PEER_VERSION}"


@dataclass(frozen=True, kw_only=True)
class Package:
    """An installed onnxruntime-web: its version, and what Node and a page import, in `modules`/onnxruntime-web."""

    modules: Path
    version: str
    node: str
    page: str


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine of one artifact. `opened` says for each place what `engine.mjs` opens.

    tolerance  of the largest error, in parts of the training range: the artifact's own
    """

    name: str
    opened: Mapping[str, Mapping[str, Any]]
    tolerance: float


def find_package(modules: Path) -> Package:
    """Return the onnxruntime-web in the folder `modules`; raises UsageError with the command that installs it."""
    folder = modules.resolve()
    try:
        said = json.loads((folder / PEER / "package.json").read_text("utf-8"))
        doors = said["exports"]
        node, page = doors["."]["node"]["import"], doors["./wasm"]["import"]["default"]
        return Package(modules=folder, version=said["version"], node=node, page=page)
    except OSError:
        what = f"there is no {PEER} in {modules}"
    except (ValueError, KeyError, TypeError):
        what = f"the {PEER} in {modules} does not say what Node and a page import"
    raise UsageError(f"{what}; install it by {_INSTALL}, and say --modules FOLDER/node_modules")


def engines_of(bundle: Bundle, package: Package, folder: Path) -> tuple[Engine, ...]:
    """Return the engines of `bundle`, whose files are put into `folder`, each pair ours before theirs.

    Raises UsageError if the bundle is of several series, or lacks an artifact or its module.
    """
    require_artifacts(bundle, bundle.path.name, ())
    listed = {entry.path for entry in bundle.manifest.files}
    artifacts = {one.id: one for one in bundle.manifest.artifacts}
    pairs = [pair for pair in PAIRS if pair == PAIRS[0] or set(pair) <= set(artifacts)]
    missing = [name for name in PAIRS[0] if name not in artifacts]
    for ours, _ in pairs:
        if ours in artifacts and f"{artifacts[ours].path}/{MODULE}" not in listed:
            missing.append(f"{artifacts[ours].path}/{MODULE}")
    if missing:
        raise UsageError(f"bundle {bundle.path.name} has no {', '.join(missing)}; export it by {_EXPORT}")
    opened = {}
    for ours, theirs in pairs:
        opened[ours] = _wrapper(bundle, ours, folder)
        opened[theirs] = _peer(bundle, theirs, package, folder)
    return tuple(
        Engine(name=name, opened=places, tolerance=artifacts[name].tolerance.max_abs) for name, places in opened.items()
    )


def _wrapper(bundle: Bundle, name: str, folder: Path) -> dict[str, dict[str, Any]]:
    (folder / name).mkdir()
    for path in (MODULE, WRAPPER):
        data = bundle.read(f"{bundle.manifest.artifact(name).path}/{path}")
        (folder / name / Path(path).name).write_bytes(data)
    (folder / name / "package.json").write_text('{"type": "module"}', "ascii")  # for Node
    module, model = Path(WRAPPER).name, Path(MODULE).name
    return {
        place: {"kind": "pulsecast", "module": f"{at}/{module}", "model": f"{at}/{model}"}
        for place, at in ((NODE, (folder / name).as_uri()), (CHROMIUM, f"/files/{name}"))
    }


def _peer(bundle: Bundle, name: str, package: Package, folder: Path) -> dict[str, dict[str, Any]]:
    spec, file = bundle.manifest.spec, folder / f"{name}.onnx"
    file.write_bytes(bundle.read(bundle.manifest.artifact(name).path))
    every = {"kind": PEER, "shape": [spec.context, spec.measured], "timed": spec.timed}
    node = (package.modules / PEER / package.node).resolve().as_uri()
    page = f"/modules/{PEER}/{package.page.removeprefix('./')}"
    return {
        NODE: {**every, "module": node, "model": str(file)},
        CHROMIUM: {**every, "module": page, "model": f"/files/{file.name}"},
    }
