"""Engines in turns: every engine's forecasts are right, or nothing is timed; then rounds, then cold starts.

Each engine has a process of Node and a page of Chromium, which live through all rounds. In a round each one forecasts,
one window a call, for the seconds of a turn, while the others wait for a message; their order is new in every round.
After that each is started anew, in rounds too, for its first forecast.
"""

from __future__ import annotations

import gzip
import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pulsecast.bundle.golden import Golden

from ..rounds import INPUTS
from .asking import Asking
from .children import Child, node_child, page_child
from .engines import CHROMIUM, Engine

Case = tuple[str, Engine]  # a place and an engine
Figures = dict[str, dict[str, list[float]]]  # by place and engine: a number of each round


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long: `rounds` of `round_s` seconds for each engine in each place, and `starts` of each."""

    rounds: int
    round_s: float
    starts: int
    seed: int = 7


@dataclass(frozen=True, kw_only=True)
class Download:
    """What a page asks its server for before it forecasts: bytes of all files, and of all compressed by gzip."""

    size_bytes: int
    gzip_bytes: int


@dataclass(frozen=True, kw_only=True)
class Found:
    """The figures by place and engine: a round's median, a start's first forecast, the largest error / range.

    downloads  of each engine; empty without a page
    """

    turns_us: Figures
    starts_ms: Figures
    errors: dict[str, dict[str, float]]
    downloads: dict[str, Download]


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where engines run: the program of each place, the folders that a page may ask for, and one for profiles."""

    programs: Mapping[str, str]
    folders: Mapping[str, Path]
    room: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @contextmanager
    def child(self, case: Case) -> Iterator[tuple[Child, Sequence[Path]]]:
        """Yield a new child for a place and an engine, and the files that it has asked for until now."""
        (place, engine), room = case, self.room / str(next(self._numbers))
        program, what = self.programs[place], f"{engine.name} in {place}"
        if place == CHROMIUM:
            with page_child(program, what, self.folders, room) as (child, asked):
                yield child, asked
        else:
            with node_child(program, what, self.folders["page"] / "in_node.mjs", room) as child:
                yield child, ()


def measure(
    engines: Sequence[Engine], golden: Golden, plan: Plan, places: Places, tell: Callable[[str], None]
) -> Found:
    """Return the figures of `engines` in `places`, on windows of `golden`.

    Raises ToleranceError if an engine forecasts badly, whenever it does; EngineError if one fails, ends or hangs.
    """
    asking, rng = Asking(golden=golden.take(slice(INPUTS))), random.Random(plan.seed)  # noqa: S311  # an order, no secret
    cases = [(place, engine) for place in places.programs for engine in engines]
    found = Found(
        turns_us=_empty(cases), starts_ms=_empty(cases), errors={p: {} for p in places.programs}, downloads={}
    )
    with ExitStack() as stack:
        up = []
        for place, engine in cases:
            tell(f"opening {engine.name} in {place}")
            child, asked = stack.enter_context(places.child((place, engine)))
            asking.first(child, place, engine)
            if asked:
                found.downloads[engine.name] = _download(asked, places.folders["page"])
            found.errors[place][engine.name] = asking.check(child, place, engine)
            up.append((child, place, engine))
        for child, place, engine in up:
            tell(f"warming up {engine.name} in {place}")
            asking.warm(child, place, engine, plan.round_s)
        for turn in range(plan.rounds):
            tell(f"round {turn + 1} of {plan.rounds}")
            for child, place, engine in rng.sample(up, len(up)):
                took_us = asking.turn(child, place, engine, plan.round_s)
                found.turns_us[place][engine.name].append(took_us)
    for turn in range(plan.starts):
        tell(f"start {turn + 1} of {plan.starts}")
        for place, engine in rng.sample(cases, len(cases)):
            with places.child((place, engine)) as (child, _):
                found.starts_ms[place][engine.name].append(asking.first(child, place, engine))
    return found


def _empty(cases: Sequence[Case]) -> Figures:
    found: Figures = {place: {} for place, _ in cases}
    for place, engine in cases:
        found[place][engine.name] = []
    return found


def _download(asked: Sequence[Path], own: Path) -> Download:
    """Return the bytes of the files that were `asked` for, without those of this program's `own` page."""
    every = [path.read_bytes() for path in asked if path.parent != own]
    return Download(
        size_bytes=sum(map(len, every)), gzip_bytes=sum(len(gzip.compress(one, 9, mtime=0)) for one in every)
    )
