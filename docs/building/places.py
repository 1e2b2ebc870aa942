"""The table of places where a bundle runs: figures are read from the tables that were measured, and stand once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_REPOSITORY = Path(__file__).parents[2]
_MODEL_SIZE = 9  # columns of the table in README.md
_LATENCY = 1


class Place(NamedTuple):
    """A row: `artifacts` are ids of README's table of artifacts, whose time and size are shown."""

    where: str
    artifacts: tuple[str, ...]
    needs: str
    before: str


PLACES = (
    Place(
        "a Python app",
        ("onnx", "onnx-w8", "numpy"),
        "numpy; one engine makes it faster",
        "`load` takes the first of onnx, tflite, numpy that is there ([in an app](reference/running.md#in-an-app))",
    ),
    Place(
        "a server", ("onnx",), "the extra `serve`", "HTTP and gRPC, with [figures below](#servers) ([serve](serve.md))"
    ),
    Place(
        "a model server that you have",
        ("savedmodel", "onnx"),
        "TensorFlow Serving, Triton, KServe or OpenVINO",
        "they run the file without pulsecast's checks: what cannot be forecast is NaN "
        "([model servers](reference/artifacts.md#model-servers))",
    ),
    Place(
        "a broker",
        ("onnx",),
        "the extra `kafka`, `mqtt`, `redis` or `nats`",
        "one step at a time ([failure by failure](streams.md))",
    ),
    Place("a phone, a board", ("tflite", "tflite-fp16", "tflite-w8"), "LiteRT", "builtin operators only"),
    Place(
        "a microcontroller",
        ("tflite-int8",),
        "TFLite Micro, and `micro_io.c` from the bundle",
        "the time is of a desktop; the file keeps its state: reset it before every window "
        "([how](reference/artifacts.md#on-a-microcontroller))",
    ),
)


def table() -> str:
    """Return the table as Markdown; raises KeyError for an artifact that README's table does not have."""
    head = ["| where | file | us | kB | needs | know before |", "|---|---|--:|--:|---|---|"]
    return "\n".join([*head, *map(_row, PLACES), _browser(), _native()])


def _row(place: Place) -> str:
    measured = [_artifacts()[id_] for id_ in place.artifacts]
    columns = ([f"`{id_}`" for id_ in place.artifacts], [us for us, _ in measured], [kb for _, kb in measured])
    return f"| {place.where} | {' | '.join(map('<br>'.join, columns))} | {place.needs} | {place.before} |"


def _artifacts() -> dict[str, tuple[str, str]]:
    """Return (us of one window, kB) of each artifact in README's table."""
    rows = [line.split() for line in re.findall(r"^[a-z0-9-]+ +\d+ .*$", _text("README.md"), re.MULTILINE)]
    return {row[0]: (row[_LATENCY], row[_MODEL_SIZE]) for row in rows}


def _browser() -> str:
    size_kb = re.findall(r"`model\.wasm` \(about (\d+) kB", _text("runtime/README.md"))[0]
    return (
        f"| a browser, Node | `model.wasm`<br>`pulsecast.js` | | {size_kb}<br>5 | WebAssembly SIMD: browsers of 2023, "
        "Node 16.4 | `export --native-for wasm32` ([in a browser](in-a-browser.md)) |"
    )


def _native() -> str:
    text = _text("benchmarks/README.md")
    us = [re.findall(rf"\| avx512, {kind} \| ([\d.]+) \|", text)[0] for kind in ("float32", "8 bits, integers")]
    kb = re.findall(r"\| native(?:-w8)? \| predict \| ([\d.]+) \|", text)
    return (
        f"| C: a daemon, a plug-in, a Cortex-M | `native`<br>`native-w8` | {us[0]}<br>{us[1]} | {kb[0]}<br>{kb[1]} "
        "| a C compiler, or a library that the bundle brings "
        "| the time is with AVX-512 ([how](reference/measuring.md#the-native-engine)), the size on a Cortex-M4 "
        "([how](reference/measuring.md#microcontroller)); it runs from a bundle that you trust "
        "([portable C](reference/artifacts.md#portable-c)) |"
    )


def _text(path: str) -> str:
    return (_REPOSITORY / path).read_text("utf-8")
