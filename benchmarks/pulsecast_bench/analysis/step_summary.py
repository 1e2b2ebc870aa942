"""What a step costs where an app pushes values one after the other, computed from `Result.steps` on reading."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from ..results.case import STEP_CALLS, Call
from ..results.result import Result
from .cells import Cell, cell_of
from .run_figures import over_bare
from .statistics import Estimate, median_of_runs


@dataclass(frozen=True, kw_only=True)
class StepRow:
    """One call of STEP_CALLS on one artifact.

    cell         its latencies are of a call, which takes a step of each of `cell.batch` streams
    over_engine  a call's time over that of the engine's own call for as many whole windows, in alternation in one
                 process; 1.05 is 5 % more
    """

    artifact: str
    call: Call
    cell: Cell
    over_engine: Estimate

    @property
    def name(self) -> str:
        """Its name in a sentence, e.g. `onnx push`."""
        return f"{self.artifact} {self.call}"


def step_rows(result: Result) -> tuple[StepRow, ...]:
    """Return one row for each artifact and step call that was measured, in the order of the subjects."""
    rows = []
    for artifact, call in itertools.product([subject.artifact for subject in result.subjects], STEP_CALLS):
        runs = [run for run in result.steps if (run.case.artifact, run.case.call) == (artifact, call)]
        if not runs:
            continue
        over = [value for run in runs if (value := over_bare(run)) is not None]
        over_engine = median_of_runs(over, seed=result.config.seed)
        rows.append(StepRow(artifact=artifact, call=call, cell=cell_of(result, runs), over_engine=over_engine))
    return tuple(rows)
