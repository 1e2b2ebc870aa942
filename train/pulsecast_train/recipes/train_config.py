"""A user's choices for training; None means the recipe's own value."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field

from pulsecast import limits
from pulsecast.errors import FormatError, UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.arguments import StrPath, invalid, one_path, require_types
from pulsecast.foundation.plain_file import read_plain

from ..logs.config import LogConfig

MOST_UNITS = 4096  # of a layer; its recurrent weights then take 268 MB
# names for units. tiny: 3,857 weights, small enough for a microcontroller, with about 1 % more MAE
PRESETS = {"default": (50, 50), "tiny": (16, 16)}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train. `recipe` names a row of `pulsecast_train.recipes.recipes.RECIPES`, whose values fill the Nones.

    window               steps the network runs over
    units                LSTM units per layer
    horizon              steps forecast ahead
    pool                 several series train one network, each with a scaler of its own, not with one common scaler
    linear               a linear path stands beside the network; for recipes whose target is a change
    heldout_fraction     the chronologically last part of every series, never trained on
    validation_fraction  the last part, in time, of the training windows, watched for early stopping; 0 is none
    patience             epochs without a better validation loss before stopping; 0 never stops early
    dropout              fraction dropped after each LSTM layer in training
    averaging            epochs that the kept weights are an exponential average over; 0 keeps those of one epoch
    level_noise          in training every window's measured levels are shifted by a random normal number with this
                         standard deviation, in scaled units; for recipes whose target is a change
    seed                 of initial weights, shuffling and dropout
    devices              GPUs of this machine that share every batch
    holidays             regions whose holidays are inputs of the network, such as US or DE-BY; for recipes with a
                         calendar
    holiday_zone         time zone in which a holiday begins and ends
    """

    recipe: str = "recommended"
    window: int = 50
    units: tuple[int, ...] = (50, 50)
    horizon: int = 1
    epochs: int | None = None
    batch_size: int = 64
    learning_rate: float = 1e-3
    loss: str | None = None
    pool: bool | None = None
    linear: bool | None = None
    dropout: float = 0.0
    heldout_fraction: float = 0.2
    validation_fraction: float | None = None
    patience: int | None = None
    averaging: float | None = None
    level_noise: float | None = None
    seed: int = 7
    devices: int = field(default=1, metadata=strict_json.OMITTED)
    holidays: tuple[str, ...] = field(default=(), metadata=strict_json.OMITTED)
    holiday_zone: str = field(default="UTC", metadata=strict_json.OMITTED)

    def __post_init__(self) -> None:
        require_types(self)
        problems = [
            f"{name} is {value}; expected at least 1"
            for name in ("window", "horizon", "epochs", "batch_size", "devices")
            if (value := getattr(self, name)) is not None and value < 1
        ]
        if not self.units or min(self.units) < 1:
            problems.append("units must name at least one layer of at least one unit, e.g. 50,50")
        elif max(self.units) > MOST_UNITS:
            problems.append(f"units name a layer of {max(self.units)}; expected at most {MOST_UNITS}")
        if not self.learning_rate > 0:
            problems.append(f"learning_rate is {self.learning_rate}; expected a positive number")
        if not 0 <= self.dropout < 1:
            problems.append(f"dropout is {self.dropout}; expected 0 or more and under 1")
        if not 0 < self.heldout_fraction < 1:
            problems.append(f"heldout_fraction is {self.heldout_fraction}; expected between 0 and 1")
        if self.validation_fraction is not None and not 0 <= self.validation_fraction < 1:
            problems.append(f"validation_fraction is {self.validation_fraction}; expected 0 or more and under 1")
        problems += [
            f"{name} is {value}; expected 0 or more"
            for name in ("patience", "averaging", "level_noise", "seed")
            if (value := getattr(self, name)) is not None and not value >= 0
        ]
        if len(set(self.holidays)) < len(self.holidays):
            problems.append(f"holidays are {', '.join(self.holidays)}; name each region once")
        if problems:
            raise invalid(problems)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """A whole TOML file: the tables `[log]` and `[train]`."""

    log: LogConfig = field(default_factory=LogConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


def read_config(path: StrPath) -> RunConfig:
    """Return a TOML file's configuration; raises UsageError, with all problems, if it cannot be used."""
    file = one_path("configuration", path)
    try:
        document = tomllib.loads(read_plain(file, limits.MANIFEST_BYTES).decode("utf-8"))
    except OSError as error:
        raise UsageError(f"configuration {file} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"configuration {file} is not TOML: {error}") from error
    try:
        return strict_json.parse(RunConfig, document, where=file.name)
    except FormatError as error:
        raise UsageError(str(error)) from error


def parse_units(text: str) -> tuple[int, ...]:
    """Return the units per layer in `text`: numbers with commas, or a name in PRESETS.

    >>> parse_units("64,32"), parse_units("tiny")
    ((64, 32), (16, 16))

    Raises UsageError for anything else.
    """
    if text in PRESETS:
        return PRESETS[text]
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(
            f"units are {text!r}; expected numbers with commas, such as 50,50, or one of {', '.join(PRESETS)}"
        ) from error
