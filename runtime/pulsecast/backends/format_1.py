"""Bundles of format 1: their artifacts take every column of a window, so the calendar is computed around them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..computing.calendars import complete
from ..model.spec import ModelSpec
from ..model.windows import Windows


class WholeColumns(Protocol):
    """A loaded file of format 1: all columns (batch, context, features) in, forecasts (batch, horizon) out."""

    engine: str
    device: str

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the forecasts."""


class Format1Backend:
    """A backend of a file of format 1 behind the protocol of today. It gives no bounds."""

    def __init__(self, inner: WholeColumns, spec: ModelSpec) -> None:
        self.engine = inner.engine
        self.device = inner.device
        self.inner = inner
        self._spec = spec

    def predict(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """See `Backend.predict`; without a time `values` hold the calendar columns, too."""
        del series
        columns = complete(self._spec, Windows(values=values, time=time))
        return self.inner.predict(np.ascontiguousarray(columns, np.float32))

    def outputs(
        self,
        values: NDArray[np.float32],
        time: NDArray[np.int64] | None = None,
        series: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float32], ...]:
        """See `Backend.outputs`."""
        return (self.predict(values, time, series),)
