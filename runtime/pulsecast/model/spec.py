"""What a model takes and gives: `ModelSpec`, its input `Feature`s and the network `Channel`s computed from them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import field
from functools import cached_property
from typing import Literal

from .. import limits
from ..foundation import strict_json
from ..foundation.quick_dataclass import dataclass
from ..plain_text import listed
from .layer_graph import LayerGraph
from .linear import Linear
from .network import Network, Recurrent, plain_stack

DAY_S = 86_400
WEEK_S = 7 * DAY_S
YEAR_1, YEAR_10000 = -62_135_596_800, 253_402_300_800  # unix seconds of 1 January: no time of a step lies outside


CalendarFunction = Literal["sin", "cos", "weekend", "holiday"]


@dataclass(frozen=True, kw_only=True)
class Holidays:
    """The holidays of one region as unix seconds (UTC), so that a reader needs no library of holidays.

    region  the name given by the user: a country, such as US, or a part of it, such as DE-BY
    zone    time zone whose midnights bound the days
    known   (first, stop) of the years that were looked up: outside them holidays are unknown
    spans   (first, stop) of every stretch of holidays, ascending
    """

    region: str
    zone: str
    known: tuple[int, ...] = field(metadata=strict_json.most(2))
    spans: tuple[tuple[int, ...], ...] = field(metadata=strict_json.most(limits.HOLIDAY_SPANS, 2))

    def __post_init__(self) -> None:
        pairs = (self.known, *self.spans)
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError("known and every span must hold two times: the first second, and the one after the last")
        edges = [self.known[0], *itertools.chain.from_iterable(self.spans), self.known[1]]
        if not (edges == sorted(edges) and all(first < stop for first, stop in pairs)):
            raise ValueError("spans must be ascending and lie within what is known")
        if not (self.known[0] >= YEAR_1 and self.known[1] < YEAR_10000):
            raise ValueError("known reaches beyond the years 1 to 9999")


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """How a calendar feature follows from a step's timestamp; any language can compute it.

    With t = unix seconds of the step (UTC) + ahead_steps * step_s:

        sin, cos:  sin or cos of 2*pi * (t mod period_s) / period_s
        weekend:   1 if floor(t / 86400 + 3) mod 7 is 5 or 6 (Saturday, Sunday), else 0; period_s is a week
        holiday:   the part of [t, t + step_s) that lies in the spans of `holidays`, 0 to 1; period_s is a day
    """

    function: CalendarFunction
    period_s: int
    ahead_steps: int = 1
    holidays: Holidays | None = field(default=None, metadata=strict_json.OMITTED)

    def __post_init__(self) -> None:
        if problem := _beyond("period_s", self.period_s, limits.SECONDS):
            raise ValueError(problem)
        if not 0 <= self.ahead_steps <= limits.SECONDS:
            raise ValueError(f"ahead_steps is {self.ahead_steps}; expected 0 to {limits.SECONDS}")
        if (self.function == "holiday") != (self.holidays is not None):
            raise ValueError("holidays are given if and only if the function is holiday")


def _beyond(name: str, value: int, most: int) -> str | None:
    """Return what is wrong with a number of steps or seconds, which must be 1 to `most`."""
    if 1 <= value <= most:
        return None
    return f"{name} is {value}; expected at {f'most {most}' if value > 1 else 'least 1'}"


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One column of a window, in raw units; `calendar` is None for measured columns."""

    name: str
    calendar: Calendar | None = None


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One network input per step t, from the scaled feature s: s[t] if lag is 0, else s[t] - s[t - lag].

    A channel looks back only, and never at the window's last step, so a sliding window can be advanced step by step.
    """

    feature: int
    lag: int = 0

    def __post_init__(self) -> None:
        if self.lag < 0:
            raise ValueError(f"lag is {self.lag}; a channel may only look back")
        if self.lag > limits.WINDOW_STEPS:
            raise ValueError(f"lag is {self.lag}; expected at most {limits.WINDOW_STEPS}")


# `units` describes a plain stack without a linear path fully, and there is no network beside a graph
_IMPLIED = strict_json.null_if(lambda network: network is None or (network.is_plain and network.linear is None))


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """The contract of a model: raw values (batch, context, measured) and a time in, raw forecasts (batch, horizon) out.

    window    steps that the network runs over
    features  columns of a step in order: measured first (the first one is forecast), then those that follow from time
    channels  network inputs per step; those of lag 0 first
    units     LSTM units per layer; () of a graph
    horizon   steps forecast ahead
    step_s    seconds between two steps
    target    the network's output is a scaled `level`, or a `change` from the window's last scaled value
    floor     forecasts below it are raised to it (counts do not go under 0); None changes none
    network   its layers; left out, the plain stack of `units`. JSON holds null for a plain stack without a linear path
    graph     in place of a network: layers that only engines compute. Then there is no `network`
    """

    window: int
    features: tuple[Feature, ...] = field(metadata=strict_json.most(limits.FEATURES))
    channels: tuple[Channel, ...] = field(metadata=strict_json.most(limits.CHANNELS))
    units: tuple[int, ...] = field(metadata=strict_json.most(limits.LAYERS))
    horizon: int
    step_s: int
    target: Literal["level", "change"]
    floor: float | None = None
    # None beside a graph, and only there: code that computes with a network asks for `graph` first
    network: Network = field(default=None, metadata=_IMPLIED)  # type: ignore[assignment]
    graph: LayerGraph | None = field(default=None, metadata=strict_json.OMITTED)

    def __post_init__(self) -> None:
        problems = [*self._beyond_limits(), *self._out_of_order(), *self._unfit_for_linear()]
        alone = self.network is not None and not self.network.recurrent  # a linear path needs no layer
        if self.graph is not None:
            if self.units or self.network:
                problems.append("beside a graph there are no units and no network")
        elif min(self.units, default=int(alone)) < 1:
            problems.append("units must hold at least one layer of at least one unit")
        elif self.network is None:  # it was left out
            object.__setattr__(self, "network", plain_stack(self.units))  # type: ignore[unreachable]
        elif tuple(layer.units for layer in self.network.recurrent) != self.units:
            problems.append("units must be those of the network's recurrent layers")
        if problems:
            raise ValueError(listed(problems))

    def _beyond_limits(self) -> Iterator[str]:
        """Yield which numbers are not of a size that a reader can compute with."""
        bounds = (
            ("window", self.window, limits.WINDOW_STEPS),
            ("horizon", self.horizon, limits.HORIZON_STEPS),
            ("step_s", self.step_s, limits.SECONDS),
        )
        yield from (problem for name, value, most in bounds if (problem := _beyond(name, value, most)))
        if any(units > limits.UNITS for units in self.units):
            yield f"units are {max(self.units)}; expected at most {limits.UNITS}"
        columns = max(len(self.features), len(self.channels))
        steps = self.window + max((channel.lag for channel in self.channels), default=0)
        if steps * columns > limits.WINDOW_VALUES:
            yield f"a window has {steps} steps of {columns} numbers; expected at most {limits.WINDOW_VALUES} together"

    def _out_of_order(self) -> Iterator[str]:
        """Yield what is missing, named twice or not where it must stand."""
        if not self.features or self.features[0].calendar is not None:
            yield "features must start with the measured column that is forecast"
        if len({f.name for f in self.features}) != len(self.features):
            yield "feature names repeat"
        calendars = [f.calendar is not None for f in self.features]
        if calendars != sorted(calendars):
            yield "measured features must stand before calendar features"
        if not self.channels or any(not 0 <= c.feature < len(self.features) for c in self.channels):
            yield f"every channel must name a feature from 0 to {len(self.features) - 1}"
        if [c.lag > 0 for c in self.channels] != sorted(c.lag > 0 for c in self.channels):
            yield "channels of lag 0 must stand first"

    def _unfit_for_linear(self) -> Iterator[str]:
        """Yield why a window cannot feed the linear path."""
        linear = self.linear
        if linear is None or not self.channels:
            return
        if linear.steps > self.context:
            yield f"the linear path looks back {linear.steps} steps; a window has {self.context}"
        if self.target != "change":
            yield "a linear path forecasts a change; target must be change"
        if linear.timed and not self.timed:
            yield "the linear path has waves or the weekend, which follow from time; no feature of the model does"

    @property
    def linear(self) -> Linear | None:
        """The linear path of the network; None where there is none."""
        return None if self.network is None else self.network.linear

    @property
    def recurrent(self) -> tuple[Recurrent, ...]:
        """The recurrent layers of the network; a graph has none here."""
        return () if self.network is None else self.network.recurrent

    @property
    def layered(self) -> bool:
        """Whether there are layers: the model is not a linear path alone."""
        return self.graph is not None or bool(self.recurrent)

    @property
    def is_plain(self) -> bool:
        """Whether the network is a plain stack: `Network.is_plain`."""
        return self.graph is None and self.network.is_plain

    # those of every request are kept: a frozen record's do not change
    @cached_property
    def context(self) -> int:
        """Steps of an input window: the network's window plus the longest lag it looks back."""
        return self.window + max(channel.lag for channel in self.channels)

    @cached_property
    def measured(self) -> int:
        """How many leading features are measured; the rest follow from timestamps."""
        return sum(feature.calendar is None for feature in self.features)

    @property
    def measured_names(self) -> tuple[str, ...]:
        """The names of the measured features, in order: the columns of a window."""
        return tuple(feature.name for feature in self.features[: self.measured])

    @cached_property
    def timed(self) -> bool:
        """Whether a forecast needs the time of the window's last step: some feature follows from it."""
        return self.measured < len(self.features)
