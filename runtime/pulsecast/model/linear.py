"""The linear path: what it takes of a window, and in which order the rows of its kernel stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import field

from .. import limits
from ..foundation import strict_json
from ..foundation.quick_dataclass import dataclass

BENDS, SEASON_BENDS = 3, 3  # inputs that bend: of the last change, and of the season


@dataclass(frozen=True, kw_only=True)
class Wave:
    """Sine and cosine of 2*pi * (multiple * (t mod period_s) mod period_s) / period_s, of unix seconds t."""

    period_s: int
    multiple: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.period_s <= limits.SECONDS:
            raise ValueError(f"period_s is {self.period_s}; expected 1 to {limits.SECONDS}")
        if not 1 <= self.multiple <= limits.WAVES:
            raise ValueError(f"multiple is {self.multiple}; expected 1 to {limits.WAVES}")


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A weighted sum of a window's numbers beside the recurrent layers, added to the outputs of their head.

    With z the scaled values of the forecast column, z[-1] the last one, t the first step that is forecast, and k = 0 ..
    horizon - 1, the inputs are in this order:

        z[-1];  z[-j] - z[-1] for j = 2 .. lags
        z[-1] and z[-1] - z[-2] of each further measured column
        tanh d, tanh 3d, d tanh 3d                   with d = z[-1] - z[-2]
        tanh g, tanh 3g, tanh 3e                     with a season: g = z[-1] - mean(z[-season ..]),
                                                     e = z[-season] - z[-season - 1]
        sine and cosine of each of `waves` at t
        weekend of t + k, and its product with the first 2 * weekend_waves of the sines and cosines at t
        1

    lags           steps back from the window's end, itself counted
    season         steps of a season; 0 without
    waves          of the time of day, of the week
    weekend_waves  how many of the first waves the weekend multiplies; None where the weekend is not an input
    """

    lags: int
    season: int = 0
    waves: tuple[Wave, ...] = field(default=(), metadata=strict_json.most(limits.WAVES))
    weekend_waves: int | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.lags <= limits.WINDOW_STEPS:
            raise ValueError(f"lags is {self.lags}; expected 2 to {limits.WINDOW_STEPS}")
        if self.season < 0 or self.season == 1 or self.season > limits.WINDOW_STEPS:
            raise ValueError(f"season is {self.season}; expected 0, or 2 to {limits.WINDOW_STEPS}")
        if self.weekend_waves is not None and not 0 <= self.weekend_waves <= len(self.waves):
            raise ValueError(f"weekend_waves is {self.weekend_waves}; expected 0 to {len(self.waves)}, its waves")

    @property
    def timed(self) -> bool:
        """Whether it needs the time of the window's last step."""
        return bool(self.waves) or self.weekend_waves is not None

    @property
    def steps(self) -> int:
        """Steps of a window that it looks at, from the end."""
        return max(self.lags, self.season + 1)

    def parts(self, measured: int) -> dict[str, slice]:
        """Return the rows of the kernel that belong to each part of the inputs, by the part's name, in order."""
        counts = {
            "lags": self.lags,
            "others": 2 * (measured - 1),
            "bends": BENDS + (SEASON_BENDS if self.season else 0),
            "waves": 2 * len(self.waves),
            "weekend": 0 if self.weekend_waves is None else 1 + 2 * self.weekend_waves,
            "bias": 1,
        }
        return dict(zip(counts, _slices(counts.values()), strict=True))

    def inputs(self, measured: int) -> int:
        """Return how many inputs there are: rows of the kernel."""
        return int(self.parts(measured)["bias"].stop)


def _slices(counts: Iterable[int]) -> Iterator[slice]:
    first = 0
    for count in counts:
        yield slice(first, first + count)
        first += count
