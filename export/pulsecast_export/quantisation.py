"""How weight matrices become 8-bit integers, for every target that stores them so."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def quantise_rows(
    matrix: NDArray[np.float32], axis: int | tuple[int, ...]
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return symmetric int8 values and float32 scales, one scale per output; sums run over `axis`.

    >>> quantise_rows(np.array([[1.27, -0.635]], np.float32), axis=1)[0]
    array([[127, -64]], dtype=int8)
    """
    largest = np.abs(matrix).max(axis=axis, keepdims=True)
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return np.clip(np.rint(matrix / scale), -127, 127).astype(np.int8), scale
