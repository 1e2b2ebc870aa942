"""A server of two bundles, the same bundles in process, and windows to ask about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import pulsecast
from helpers import plain
from helpers.engines import require
from helpers.serving.rpc import Both, running_both
from pulsecast.model.windows import Windows

require("grpc", "grpc_health", "grpc_reflection", "google.protobuf")


@dataclass(frozen=True)
class Asked:
    """Windows, and what `Forecaster.predict` answers to them."""

    model: pulsecast.Forecaster
    windows: Windows

    @property
    def values(self) -> NDArray[np.float32]:
        """(batch, context, measured)."""
        return self.windows.values.astype(np.float32)

    @property
    def time(self) -> NDArray[np.int64]:
        """(batch,)."""
        assert self.windows.time is not None
        return self.windows.time

    def expected(self) -> dict[str, NDArray[np.float32]]:
        """Return forecast, lower and upper, (batch, horizon) each, as computed in this process."""
        level = self.model.manifest.level
        assert level is not None
        found = self.model.predict(self.windows, interval=level)
        return {name: one.astype(np.float32) for name, one in found._asdict().items()}

    def document(self, **changes: Any) -> dict[str, Any]:
        """Return the request in JSON, with `changes` of its fields."""
        values, time = self.values, self.time
        inputs = [
            {"name": "values", "datatype": "FP32", "shape": list(values.shape), "data": values.ravel().tolist()},
            {"name": "time", "datatype": "INT64", "shape": list(time.shape), "data": time.tolist()},
        ]
        return {"inputs": inputs, **changes}


@pytest.fixture(scope="session")
def server(bundle: Path, table_bundle: Path) -> Iterator[Both]:
    """A server of both bundles, as `plain` and `table`."""
    with running_both(bundle, f"table={table_bundle}") as found:
        yield found


@pytest.fixture(scope="session")
def asked(bundle: Path, change_model: plain.PlainModel) -> Asked:
    """Three windows for `plain`."""
    return Asked(pulsecast.load(bundle, backend="numpy"), change_model.windows.take([0, 5, 9]))


@pytest.fixture(scope="session")
def table_asked(table_bundle: Path) -> Asked:
    """Four windows for `table`: of the pool, of a, b and c."""
    model = pulsecast.load(table_bundle, backend="numpy")
    golden = pulsecast.Bundle.open(table_bundle).golden()
    return Asked(model, golden.windows.take([0, 1, 2, 3]))
