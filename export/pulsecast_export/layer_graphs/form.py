"""How the twins of a graph's layers run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True, eq=False)
class Twins:
    """How the twins of layers run, and what they leave behind while a graph is traced.

    form    `loop`: one loop over time for each cell. `marked`: one operator that stands for a recurrent layer, until
            the fused one of ONNX replaces it; with a mask, which that does not have, one copy of the cell for each step
    marks   recurrent layers that stand in the graph as one operator each
    guards  (batch, 1): 0, or NaN for windows with an index that an embedding does not have
    """

    form: Literal["loop", "marked"]
    marks: list[Any] = field(default_factory=list)
    guards: list[Any] = field(default_factory=list)
