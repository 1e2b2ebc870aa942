"""Whether a model still fits its series: shares that were promised, and whether what was seen can be chance."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...foundation.quick_dataclass import dataclass

Verdict = Literal["unknown", "steady", "train again"]
Sign = Literal["coverage", "size", "bias", "inputs"]
# what is looked at -> what it says; `share` and `limit` in percent
SIGNS: dict[Sign, str] = {
    "coverage": "{share} of the steps lie outside the interval that {promised} should leave; up to {limit} is let pass",
    "size": "{share} of the errors are larger than {promised} were on held-out data; up to {limit} is let pass",
    "bias": "{share} of the larger errors are on one side, where {promised} should be; up to {limit} is let pass",
    "inputs": "{share} of the values lie outside what training saw; up to {limit} is let pass",
}
FALSE_ALARM_RATE = 0.01  # of a report: all signs together


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One sign of drift over the steps that a monitor keeps.

    sign      what was looked at, a key of `SIGNS`
    steps     that it was looked at in
    share     of them that count against the model, 0 to 1
    promised  the share that held-out data promised
    limit     the share that is let pass: no model keeps its promise exactly
    chance    the probability of a share as large as this one, or larger, if the true one is the limit
    beyond    that is too improbable to be chance: train again
    """

    sign: Sign
    steps: int
    share: float
    promised: float
    limit: float
    chance: float
    beyond: bool

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        shares = {name: f"{getattr(self, name):.1%}" for name in ("share", "promised", "limit")}
        end = f"chance makes it so in {self.chance:.2g} of cases" if self.beyond else "this may be chance"
        within = "" if self.share > self.limit else "as it should be"
        return f"{SIGNS[self.sign].format(**shares)} ({self.steps:,} steps): {within or end}"


@dataclass(frozen=True, kw_only=True)
class Drift:
    """What a monitor found.

    verdict   `train again` if one of the findings is beyond chance, `unknown` if too few steps were seen
    steps     judged ones among the last that are kept
    needed    steps that a verdict takes
    findings  one for each sign that could be looked at
    """

    verdict: Verdict
    steps: int
    needed: int
    findings: tuple[Finding, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """The verdict and its reasons, in words."""
        if self.verdict == "unknown":
            return (f"unknown: {self.steps:,} steps were judged; a verdict takes {self.needed:,}",)
        reasons = [one.sentence for one in self.findings if one.beyond or self.verdict == "steady"]
        return (f"{self.verdict}: {self.steps:,} steps were judged", *reasons)

    def __str__(self) -> str:
        return "\n".join(self.sentences)


def finding(
    sign: Sign, against: NDArray[np.bool_], *, promised: float, limit: float, lags: int, heldout: float = math.inf
) -> Finding:
    """Return whether more of the steps `against` (n,) count against a model than `limit` and chance allow.

    lags     steps over which one may follow from another
    heldout  windows that the promise was measured on

    The share of n steps has variance limit (1 - limit) (1 / n + 1 / heldout) t, where t = 1 + 2 sum of (1 - k / (lags +
    1)) r_k is how many steps count as one, with r_k the autocorrelation at lag k (Newey and West, 1987), at least 1.
    The normal distribution gives the chance. A quarter of the rate of false alarms is its bound: there are four signs.
    """
    steps = len(against)
    share = float(against.mean()) if steps else 0.0
    spread = math.sqrt(limit * (1 - limit) * (1 / max(steps, 1) + 1 / heldout) * _together(against, lags))
    chance = 0.5 * math.erfc((share - limit) / spread / math.sqrt(2))
    beyond = steps > 0 and chance < FALSE_ALARM_RATE / len(SIGNS)
    return Finding(sign=sign, steps=steps, share=share, promised=promised, limit=limit, chance=chance, beyond=beyond)


def _together(against: NDArray[np.bool_], lags: int) -> float:
    """Return how many steps of `against` (n,) count as one independent step, at least 1."""
    off = against - against.mean() if len(against) else np.zeros(0)
    power = float(off @ off)
    if not power:
        return 1.0
    lags = max(1, min(lags, len(off) // 8))
    weights = [(1 - k / (lags + 1)) * float(off[k:] @ off[:-k]) for k in range(1, lags + 1)]
    return max(1.0, 1.0 + 2.0 * sum(weights) / power)
