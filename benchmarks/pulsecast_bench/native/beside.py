"""What forecasts windows beside pulsecast's artifacts: OpenVINO, if it is installed, and a loop in C."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pulsecast.bundle.bundle import Bundle
from pulsecast.computing.calendars import complete
from pulsecast.computing.reference import channels
from pulsecast.model.windows import Windows

from ..subjects.c_loop import Array, compile_loop, open_loop
from ..subjects.peer_engines import open_openvino
from ..subjects.peers import PEERS, PeerFile, missing_package
from .sources import is_lstm_stack


@dataclass(frozen=True, kw_only=True)
class Beside:
    """An engine: `given` makes of windows what `call` takes, outside the time."""

    engine: str
    given: Callable[[Windows], Any]
    call: Callable[[Any], object]


def engines_beside(bundle: Bundle, folder: Path) -> dict[str, Beside]:
    """Return the engines that can be had for this model here, by name; files are written into the new `folder`."""
    folder.mkdir()
    found = {}
    if missing_package(PEERS["openvino"]) is None:
        found["openvino"] = _openvino(bundle, folder)
    if is_lstm_stack(bundle):
        found["c.loop"] = loop_in_c(bundle, folder)
    return found


def loop_in_c(bundle: Bundle, folder: Path) -> Beside:
    """Return the loop, compiled in `folder`; raises EngineError."""
    spec = bundle.manifest.spec
    loop = open_loop(compile_loop(spec, bundle.weights(), folder), spec)
    return Beside(
        engine="a loop in C, the network alone", given=lambda windows: channels_of(bundle, windows), call=loop
    )


def _openvino(bundle: Bundle, folder: Path) -> Beside:
    path = folder / "bundle.onnx"
    path.write_bytes(bundle.read(bundle.manifest.artifact("onnx").path))
    opened = open_openvino(bundle, PeerFile(path=str(path)), 1)
    return Beside(engine=opened.engine, given=lambda windows: windows, call=opened.forecast)


def channels_of(bundle: Bundle, windows: Windows) -> Array:
    """Return what the network takes of raw windows, (batch, window, channels) float32."""
    spec = bundle.manifest.spec
    scaled = bundle.scaling.of(windows).transform(complete(spec, windows))
    return np.ascontiguousarray(channels(spec, scaled), np.float32)
