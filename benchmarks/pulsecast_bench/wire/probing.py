"""What is settled with a server before it is measured: how it names series, and that it serves this bundle at all."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import EngineError, ToleranceError, UsageError
from pulsecast.model.windows import SERIES

from .http_connection import HttpConnection, http_request
from .protocols import WIRES, Asking
from .server import Server, authorization

_BY_NAME = "BYTES"  # datatype of names in Open Inference


def asking_of(bundle: Bundle, server: Server, protocol: str) -> Asking:
    """Return what requests say of the model; a model of several series is asked for its inputs, over REST.

    Raises UsageError (a bundle of format 1), EngineError (the server).
    """
    manifest = bundle.manifest
    if manifest.format == 1:
        raise UsageError("a server is asked for raw windows, and this bundle is of format 1: export it again")
    model = server.model or manifest.name
    names = None if bundle.series is None else bundle.series.names
    asking = Asking(model=model, spec=manifest.spec, names=names)
    if names is None or protocol != "inference" or _takes_names(server, asking):
        return asking
    return replace(asking, named=False)


def _takes_names(server: Server, asking: Asking) -> bool:
    """Return whether a model of Open Inference takes series by name, as ours does, or by row, as an artifact does."""
    key = authorization(server)
    with contextlib.closing(HttpConnection(server)) as connection:
        headers = {} if key is None else {"Authorization": key}
        answer = connection.ask(http_request(server, "GET", f"/v2/models/{asking.path}", b"", headers))
    try:
        inputs: list[dict[str, Any]] = json.loads(answer)["inputs"]
        return next(str(one["datatype"]) for one in inputs if one["name"] == SERIES) == _BY_NAME
    except (KeyError, TypeError, ValueError, StopIteration):
        raise EngineError(
            f"the server does not say how model {asking.model} takes its series; is it this bundle?"
        ) from None


def probe(bundle: Bundle, against: str, server: Server, protocol: str) -> None:
    """Ask for the forecasts of two golden windows.

    against  artifact that later answers are compared with

    Raises ToleranceError if they are not the bundle's, EngineError if there is no answer, UsageError.
    """
    golden = bundle.golden().take([0, len(bundle.golden().windows) - 1])
    wire, asking = WIRES[protocol], asking_of(bundle, server, protocol)
    tolerance = bundle.manifest.artifact(against).tolerance.max_abs
    with contextlib.closing(wire.connect(server)) as connection:
        answer = connection.ask(wire.request(server, asking, golden.windows))
    found = wire.forecasts(answer, len(golden.windows), bundle.manifest.spec.horizon)
    error = golden.largest_error(found)
    if not error <= tolerance:
        raise ToleranceError(
            f"the server's forecast of a held-out window differs by {error:.1e} of the range from the bundle's; "
            f"expected {tolerance:.1e} at most: it serves another model, or another artifact than {against} "
            "(name the one that it serves: --artifact ID)"
        )


def deviations(
    found: NDArray[np.float32], expected: NDArray[np.float32], unit: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the largest |found - expected| of each window over its unit, (windows,); infinite where one is NaN.

    found, expected  (windows, horizon); `unit` is (windows,)
    """
    error = np.abs(found.astype(np.float64) - expected).max(axis=1) / unit
    return np.where(np.isnan(error), np.inf, error)
