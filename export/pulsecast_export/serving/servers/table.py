"""The servers: one literal table. A new server is a row and a function."""

from __future__ import annotations

from typing import NamedTuple


class Server(NamedTuple):
    """A row of SERVERS.

    what    the server, in words
    needs   backend of the artifact that it serves; empty: the whole bundle
    writer  `module:function` below this package; it takes an `Order` and returns a `Layout`
    takes   fields of `ServeOptions` that not every server has a use for
    rows    a request names a series by its row in the bundle's table, not by its name
    labels  the server reads `labels.json` beside the versions, which is the user's own file
    """

    what: str
    needs: str
    writer: str
    takes: tuple[str, ...]
    rows: bool
    labels: bool = False


SERVERS = {
    "tfserving": Server("TensorFlow Serving", "savedmodel", "tfserving:layout", ("wait_us", "image"), rows=True),
    "triton": Server("Triton, ONNX Runtime", "onnx", "triton:layout", ("name", "wait_us", "image"), rows=True),
    "triton-python": Server(
        "Triton, pulsecast in its Python", "", "triton_python:layout", ("name", "image", "wheel"), rows=False
    ),
    "kserve": Server("KServe, its Triton runtime", "onnx", "kserve:layout", ("name", "storage_uri"), rows=True),
    "kserve-pulsecast": Server(
        what="KServe, the image of pulsecast",
        needs="",
        writer="kserve:own_layout",
        takes=("name", "image", "storage_uri"),
        rows=False,
        labels=True,
    ),
    "ovms": Server("OpenVINO Model Server", "onnx", "ovms:layout", ("name", "image"), rows=True),
    "pulsecast": Server("pulsecast serve", "", "own:layout", ("name", "image", "wheel"), rows=False, labels=True),
}
