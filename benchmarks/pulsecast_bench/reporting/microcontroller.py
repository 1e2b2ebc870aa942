"""The report's section on a microcontroller."""

from __future__ import annotations

from ..results.footprints import Footprints
from .section import Section


def microcontroller_section(found: Footprints) -> Section:
    """Return the report's section."""
    head = ("artifact", "call", "flash kB", "still in RAM kB", "stack kB")
    rows = []
    for x in found.programs:
        sizes = (x.flash, x.data + x.bss, x.stack)
        rows.append([x.artifact, x.use, *(f"{size / 1e3:.1f}" for size in sizes)])
    text = (
        f"Built for the device, not run: one program for each way to call the model, {found.compiler}. Flash is "
        "code, weights and initial values; stack is the deepest chain of calls. `step` takes a window from a reset "
        "on, one step per call; `stream` forecasts after every step and keeps all unfinished windows."
    )
    return Section(title="On a microcontroller (Cortex-M4)", text=(text,), grids=((head, rows),))
