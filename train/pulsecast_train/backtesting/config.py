"""What a user may choose about an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field

from pulsecast.foundation.arguments import invalid, require_types
from pulsecast.foundation.strict_json import OMITTED

from ..recipes.train_config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """How to evaluate.

    train      how the network is trained in every fold; its horizon, seed and held-out fraction are not used, and
               without its `pool` each series has a network of its own
    origins    number of folds: the series' second half is tested in as many parts
    seeds      trainings of the network per fold, from seeds 1, 2, ...
    horizons   steps ahead, each with a network and a table of its own
    baselines  rows of `baselines.BASELINES`; None means all installed ones. `last_value` is always included
    interval   nominal coverage of the judged intervals
    smearing   also score the network's forecasts corrected to means
    adapting   also score what a stream that adapts makes of them
    """

    train: TrainConfig = field(default_factory=TrainConfig)
    origins: int = 5
    seeds: int = 3
    horizons: tuple[int, ...] = (1,)
    baselines: tuple[str, ...] | None = None
    interval: float = 0.9
    smearing: bool = field(default=False, metadata=OMITTED)
    adapting: bool = field(default=False, metadata=OMITTED)

    def __post_init__(self) -> None:
        require_types(self)
        problems = [
            f"{name} is {value}; expected at least 1"
            for name, value in (("origins", self.origins), ("seeds", self.seeds))
            if value < 1
        ]
        if not self.horizons or min(self.horizons) < 1 or len(set(self.horizons)) != len(self.horizons):
            problems.append(f"horizon is {self.horizons}; expected different numbers of at least 1, such as 1,24")
        if not 0 < self.interval < 1:
            problems.append(f"interval is {self.interval}; expected a number between 0 and 1, such as 0.9")
        if problems:
            raise invalid(problems)
