"""The peers: other ways to run the same network, without pulsecast, measured in the same run.

A peer answers raw windows and their times with raw forecasts, as every artifact does. If its model takes the network's
own inputs, the recipe in numpy stands around it, as in an app. Only the table belongs here, so that it can be read
without any engine; `peer_files.py` makes what a peer loads, `peer_engines.py` runs it.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from pulsecast.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class PeerRow:
    """One peer.

    about     the called function, in a few words
    engine    its engine
    imports   the module that an app imports for it, in its import phase
    packages  further imports needed to make its file
    needs     distributions that run it, besides numpy
    made_by   function of `peer_files` that makes its file, or takes it from the bundle
    opened_by function of `peer_engines`
    """

    about: str
    engine: str
    imports: str
    packages: tuple[str, ...]
    needs: tuple[str, ...]
    made_by: str
    opened_by: str


PEERS = {
    "keras.predict": PeerRow(
        about="keras.Model.predict, recipe in numpy",
        engine="keras",
        imports="keras",
        packages=("tensorflow",),
        needs=("keras", "tensorflow"),
        made_by="keras_file",
        opened_by="open_keras_predict",
    ),
    "keras.call": PeerRow(
        about="the Keras model called directly, recipe in numpy",
        engine="keras",
        imports="keras",
        packages=("tensorflow",),
        needs=("keras", "tensorflow"),
        made_by="keras_file",
        opened_by="open_keras_call",
    ),
    "tf2onnx.raw": PeerRow(
        about="tf2onnx's graph unchanged, recipe inside, in ONNX Runtime",
        engine="onnxruntime",
        imports="onnxruntime",
        packages=("tensorflow", "tf2onnx"),
        needs=("onnxruntime", "onnxruntime-gpu"),
        made_by="raw_onnx",
        opened_by="open_onnx",
    ),
    "keras.litert": PeerRow(
        about="Model.export(format='litert'), recipe in numpy, in LiteRT",
        engine="ai_edge_litert",
        imports="ai_edge_litert.interpreter",
        packages=("keras", "tensorflow"),
        needs=("ai-edge-litert",),
        made_by="keras_litert",
        opened_by="open_litert",
    ),
    "openvino": PeerRow(
        about="OpenVINO reading the bundle's ONNX file, float32",
        engine="openvino",
        imports="openvino",
        packages=(),
        needs=("openvino",),
        made_by="bundle_onnx",
        opened_by="open_openvino",
    ),
    "numpy.loop": PeerRow(
        about="a plain loop over time in numpy, float32",
        engine="numpy",
        imports="numpy",
        packages=(),
        needs=(),
        made_by="bundle_weights",
        opened_by="open_numpy_loop",
    ),
    "c.loop": PeerRow(
        about="a plain loop over time in C for this processor, recipe in numpy, float32",
        engine="the C compiler",
        imports="ctypes",
        packages=(),
        needs=(),
        made_by="compiled_loop",
        opened_by="open_c_loop",
    ),
}


@dataclass(frozen=True, kw_only=True)
class PeerFile:
    """What a peer loads: `path` (absolute), its windows per call, and a note on how it was made."""

    path: str
    max_batch: int | None = None
    note: str | None = None


def find_peers(names: tuple[str, ...]) -> dict[str, PeerRow]:
    """Return rows of PEERS by name; raises UsageError that lists them."""
    if unknown := [name for name in names if name not in PEERS]:
        raise UsageError(f"no peer {', '.join(unknown)}; known: all, {', '.join(PEERS)}")
    return {name: PEERS[name] for name in names}


def missing_package(row: PeerRow) -> str | None:
    """Return the first missing package of the peer, without an import."""
    packages = (row.imports.partition(".")[0], *row.packages)
    return next((name for name in packages if importlib.util.find_spec(name) is None), None)
