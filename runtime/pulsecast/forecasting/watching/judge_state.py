"""What a judge has learnt, beside residuals, as a section of a detector's state: FORMAT.md, "Stream state"."""

from __future__ import annotations

import struct
from dataclasses import field

import numpy as np

from ...errors import FormatError
from ...foundation.quick_dataclass import dataclass

CYCLES = 12  # steps of the longest cycle
_MOST = 2**32 - 1
# reason of the last step; phase, values and distances of the level; last values, age and steps known of repeats
_HEAD = struct.Struct("<BxxxIIIIII")
_RUNS = struct.Struct(f"<{3 * CYCLES}I")


@dataclass(frozen=True, kw_only=True)
class RepeatsState:
    """What `Repeats` knows; a row of the last three for each cycle, from that of one step on.

    recent   the last values, newest first
    age      steps of the present span
    known    steps that were seen, up to those that it takes to judge
    runs     values of the runs that go on, 0 if there is none
    longest  values of the longest run that ended in the present span
    before   the same of the span before
    """

    recent: tuple[float, ...] = ()
    age: int = 0
    known: int = 0
    runs: tuple[int, ...] = (0,) * CYCLES
    longest: tuple[int, ...] = (0,) * CYCLES
    before: tuple[int, ...] = (0,) * CYCLES


@dataclass(frozen=True, kw_only=True)
class LevelsState:
    """What `Levels` knows; numbers that float32 holds.

    values     raw, oldest first
    distances  of the last of them from the median before each, oldest first
    phase      values since one was kept
    """

    values: tuple[float, ...] = ()
    distances: tuple[float, ...] = ()
    phase: int = 0


@dataclass(frozen=True, kw_only=True)
class JudgeState:
    """What a judge has learnt.

    levels   the values of two weeks
    repeats  runs of repeated values
    """

    levels: LevelsState = field(default_factory=LevelsState)
    repeats: RepeatsState = field(default_factory=RepeatsState)


def pack_judge(state: JudgeState, reason: int) -> bytes:
    """Return the section.

    reason  why the last step was flagged: its place in `REASONS`, from 1 on, or 0
    """
    repeats, levels = state.repeats, state.levels
    sizes = (len(levels.values), len(levels.distances), len(repeats.recent))
    runs = [min(run, _MOST) for part in (repeats.runs, repeats.longest, repeats.before) for run in part]
    return b"".join(
        (
            _HEAD.pack(reason, levels.phase, *sizes, repeats.age, repeats.known),
            _RUNS.pack(*runs),
            np.array(levels.values + levels.distances, "<f4").tobytes(),
            np.array(repeats.recent, "<f8").tobytes(),
        )
    )


def unpack_judge(data: bytes, reasons: int) -> tuple[JudgeState, int]:
    """Return the state and the reason that the section holds; raises FormatError.

    reasons  how many there are
    """
    if len(data) < _HEAD.size + _RUNS.size:
        raise FormatError("the state's part of the judge is too short")
    reason, phase, values, distances, last, age, known = _HEAD.unpack_from(data)
    runs = _RUNS.unpack_from(data, _HEAD.size)
    at, numbers = _HEAD.size + _RUNS.size, values + distances
    if len(data) != at + 4 * numbers + 8 * last or last > CYCLES or reason > reasons:
        raise FormatError("the state's part of the judge does not hold what it says it holds")
    levels = np.frombuffer(data, "<f4", numbers, at).tolist()
    recent = np.frombuffer(data, "<f8", last, at + 4 * numbers).tolist()
    if not np.isfinite([*levels, *recent]).all() or min(levels[values:], default=0.0) < 0:
        raise FormatError("the state's part of the judge holds a value that is not a finite number, or below 0")
    state = JudgeState(
        levels=LevelsState(values=tuple(levels[:values]), distances=tuple(levels[values:]), phase=phase),
        repeats=RepeatsState(
            recent=tuple(recent),
            age=age,
            known=known,
            runs=runs[:CYCLES],
            longest=runs[CYCLES : 2 * CYCLES],
            before=runs[2 * CYCLES :],
        ),
    )
    return state, reason
