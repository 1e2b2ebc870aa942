"""A batch of windows, in the form that every artifact takes, and the names of an artifact's inputs and outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..foundation.quick_dataclass import dataclass

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INPUTS = VALUES, TIME, SERIES = "values", "time", "series"  # in the order of `Windows.inputs`
LARGEST_FLOAT32 = 3.4028234663852886e38  # of what an artifact takes and gives
OUTPUTS = FORECAST, LOWER, UPPER = "forecast", "lower", "upper"


def position(name: str) -> int:
    """Return the place in INPUTS of an artifact's input; the one input of another name is that of a file of format 1.

    >>> position("time"), position("window")
    (1, 0)
    """
    return INPUTS.index(name) if name in INPUTS else 0


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Raw windows of regular steps, with the time of their last step and the series that they are of.

    values  (batch, context, measured) float, raw units, oldest step first
    time    (batch,) int64, unix seconds (UTC) of each window's last step; None where the model has no calendar
    series  (batch,) int64, rows of the bundle's series table; None where the bundle is of one series

    A bundle of format 1 takes its calendar columns ready-made: there `values` may be (batch, context, features), and
    `time` is None.
    """

    values: NDArray[np.floating]
    time: NDArray[np.int64] | None = None
    series: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def inputs(self) -> tuple[NDArray[np.floating], NDArray[np.int64] | None, NDArray[np.int64] | None]:
        """Return (values, time, series): `backend.predict(*windows.inputs)`."""
        return self.values, self.time, self.series

    def take(self, rows: slice | list[int] | NDArray[np.integer]) -> Windows:
        """Return the windows at `rows`, C-contiguous."""
        import numpy as np

        return Windows(
            values=np.ascontiguousarray(self.values[rows]),
            time=None if self.time is None else np.ascontiguousarray(self.time[rows]),
            series=None if self.series is None else np.ascontiguousarray(self.series[rows]),
        )

    def changed(self, values: NDArray[np.floating]) -> Windows:
        """Return these windows with other `values` of the same shape."""
        return Windows(values=values, time=self.time, series=self.series)
