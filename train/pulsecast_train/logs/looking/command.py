"""A configuration as the options of a command line, and as TOML."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...series import Series
from ..config import LogConfig

_DAY_S = 86_400
_ENOUGH_STEPS = 250

# field of LogConfig -> option; flags have the word for True
OPTIONS = {
    "columns": "--column",
    "time": "--time",
    "time_of_day": "--time-of-day",
    "metrics": "--metric",
    "parts": "--part",
    "series": "--series-column",
    "id": "--id",
    "user": "--user",
    "user_cap": "--user-cap",
    "events": "--events",
    "kind": "--kind",
    "allow_reset": "--allow-reset",
    "maturity": "--maturity",
    "step": "--step",
    "timezone": "--timezone",
    "repeated_hour": "--repeated-hour",
    "time_format": "--time-format",
    "missing": "--missing",
    "on_conflict": "--on-conflict",
    "max_gap": "--max-gap",
    "category": "--category",
    "separator": "--separator",
    "skip_lines": "--skip-lines",
    "decimal": "--decimal",
    "sheet": "--sheet",
    "phase_s": "--phase",
}


def command_line(files: Sequence[Path], config: LogConfig, *, recipe: str = "") -> str:
    """Return the command that trains on `files`, read by `config`; `recipe` is "" for the default one."""
    words = ["pulsecast", "train", *map(str, files)]
    for name, value in changed(config).items():
        if name == "categories":
            continue
        words += _words(OPTIONS[name], value, config)
    return shlex.join([*words, *(["--recipe", recipe] if recipe else []), "--out", "model"])


def suited_recipe(series: Sequence[Series]) -> str:
    """Return "textbook" if no stretch holds windows and the day to which the default recipe looks back, else ""."""
    longest = max((stop - start for one in series for start, stop in one.segments), default=0)
    return "textbook" if longest < _DAY_S / series[0].step_s + _ENOUGH_STEPS else ""


def _words(option: str, value: object, config: LogConfig) -> list[str]:
    if value is True:
        return [option]
    if isinstance(value, Mapping):
        return [word for new, old in value.items() for word in (option, f"{new}={old}")]
    if isinstance(value, tuple):
        return [word for one in value for word in _words(option, one, config)]
    if option == "--category":
        return [option, f"{value}={','.join(config.categories)}"]
    text = str(value)
    return [f"{option}={text}"] if text.startswith("-") else [option, text]


def toml_text(config: LogConfig, *, recipe: str = "") -> str:
    """Return `config` as the content of train.toml."""
    lines = [f"{name} = {_toml(value)}" for name, value in changed(config).items()]
    training = ["", "[train]", f"recipe = {_toml(recipe)}"] if recipe else []
    return "\n".join(["[log]", *lines, *training]) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{json.dumps(str(new))} = {_toml(old)}" for new, old in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)  # strings, numbers, true and false are alike in JSON and TOML


def changed(config: LogConfig) -> dict[str, object]:
    """Return the fields of `config` that are not the default, by name."""
    usual = LogConfig()
    return {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if getattr(config, field.name) != getattr(usual, field.name)
    }
