"""How raw values become network values and back: one frozen transform per feature, fitted on the training part only."""

from __future__ import annotations

import struct
from dataclasses import field
from typing import TYPE_CHECKING, Literal

from .. import limits
from ..foundation import strict_json
from ..foundation.quick_dataclass import dataclass

if TYPE_CHECKING:  # a manifest is read without numpy
    import numpy as np
    from numpy.typing import NDArray

    from .windows import Windows

Transform = Literal["identity", "log1p"]


@dataclass(frozen=True, kw_only=True)
class FeatureScale:
    """scaled = (f(raw) - offset) / scale, with f the transform; low and high are the training part's raw extremes.

    `offset` and `scale` must be float32 numbers, so that float64 reference and float32 graph use the same constants.
    """

    transform: Transform = "identity"
    offset: float = 0.0
    scale: float = 1.0
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError(f"scale is {self.scale}; expected a positive number")
        for name, value in (("offset", self.offset), ("scale", self.scale)):
            if not _is_float32(value):
                raise ValueError(f"{name} {value!r} is not a float32 number")
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")

    @property
    def is_identity(self) -> bool:
        """True if raw and scaled values are the same."""
        return self.transform == "identity" and self.offset == 0 and self.scale == 1


@dataclass(frozen=True, kw_only=True)
class Scaler:
    """One `FeatureScale` per feature, in the order of the features."""

    features: tuple[FeatureScale, ...] = field(metadata=strict_json.most(limits.FEATURES))

    @property
    def range(self) -> float:
        """Raw range of the forecast feature in the training part: the unit of every parity error.

        A constant training part has no range; its absolute value (at least 1) stands in.
        """
        first = self.features[0]
        return (first.high - first.low) or max(abs(first.high), 1.0)

    def of(self, windows: Windows) -> Scaler:
        """Return the scaler of `windows`: this one, whatever they hold. A `SeriesTable` has one for each."""
        del windows
        return self

    def transform(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return scaled values for raw `values` (..., features); dtype is kept.

        A value below -1 under log1p gives NaN, -1 gives -infinity, both without a warning: the caller checks.
        """
        import numpy as np

        scaled = np.empty_like(values)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            for i, feature in enumerate(self.features):
                level = level_of(feature, values[..., i])
                scaled[..., i] = (level - values.dtype.type(feature.offset)) / values.dtype.type(feature.scale)
        return scaled

    def inverse(self, scaled: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return raw values of the forecast feature for scaled ones of any shape; dtype is kept."""
        import numpy as np

        first = self.features[0]
        with np.errstate(over="ignore", invalid="ignore"):
            return raw_of(first, scaled * scaled.dtype.type(first.scale) + scaled.dtype.type(first.offset))


def level_of(feature: FeatureScale, raw: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return f(raw): the transform without offset and scale; dtype is kept."""
    import numpy as np

    level: NDArray[np.floating] = np.log1p(raw) if feature.transform == "log1p" else raw
    return level


def raw_of(feature: FeatureScale, level: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the inverse of `level_of`."""
    import numpy as np

    raw: NDArray[np.floating] = np.expm1(level) if feature.transform == "log1p" else level
    return raw


def _is_float32(value: float) -> bool:
    try:
        return bool(struct.unpack("<f", struct.pack("<f", value))[0] == value)
    except OverflowError:  # beyond the largest float32
        return False
