"""A package that stands in for onnxruntime-web, and the model that it reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from pulsecast.bundle.golden import Golden
from pulsecast_bench.native.web.engines import PEER

_DOORS = {".": {"node": {"import": "./dist/ort.mjs"}}, "./wasm": {"import": {"default": "./dist/ort.mjs"}}}


def write_peer(modules: Path) -> None:
    """Put the package into `modules`, a folder node_modules."""
    (modules / PEER / "dist").mkdir(parents=True)
    said = {"version": "0.0.1", "exports": _DOORS}
    (modules / PEER / "package.json").write_text(json.dumps(said), "ascii")
    shutil.copy(Path(__file__).with_name("onnxruntime_stand_in.mjs"), modules / PEER / "dist" / "ort.mjs")


def known_forecasts(golden: Golden, error: float = 0.0) -> str:
    """Return the model that knows the windows of `golden`; `error` is added to the forecast of the second one."""
    values, time, _ = golden.windows.inputs
    forecasts = golden.reference.copy()
    forecasts[1] += error
    return json.dumps(
        [
            {"values": one.ravel().tolist(), "at": None if time is None else int(time[i]), "forecast": found.tolist()}
            for i, (one, found) in enumerate(zip(values, forecasts, strict=True))
        ]
    )
