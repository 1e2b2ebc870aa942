"""How events are counted for a model: as the log that it was trained with was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pulsecast.errors import UsageError
from pulsecast.forecasting.stream_state import require_loaded
from pulsecast.forecasting.streaming import Loaded
from pulsecast.foundation.arguments import instance, shown
from pulsecast.plain_text import Problems

from .policies import EventPolicies, Of

# what live events cannot repeat of a log -> why
_ONLY_IN_LOGS = {
    "maturity": "its values are totals that went on growing, and a live event has its first one",
    "user_cap": "events of one user beyond a limit were left out",
    "parts": "parts of its value were columns",
}


def event_policies(
    model: Loaded, *, of: Of | None = None, lateness_s: int = 60, silent_steps: int = 2000
) -> EventPolicies:
    """Return how events are counted for `model`: with its step, and as its log was, where the bundle says that.

    of   needed where the bundle does not say how its log was counted; it must not contradict what the bundle says

    Raises UsageError.

        events = event_policies(load("bundle"), lateness_s=300)
    """
    require_loaded(model)
    if of is not None and not (isinstance(of, str) and of in get_args(Of)):
        raise UsageError(f"of is {shown(of)}; expected {', '.join(get_args(Of)[:-1])} or {get_args(Of)[-1]}")
    spec, log = model.manifest.spec, _log(model)
    if problems := Problems(_problems(model, log)):
        raise UsageError(str(problems))
    counted = _counted(log)
    if of is None and counted is None:
        raise UsageError(
            "the bundle does not say that its log held events, so that their count may not be what it forecasts; say "
            "what a step is: --events --of events counts them, --of sum adds up their values, --of mean averages these"
        )
    if of is not None and counted not in (None, of):
        raise UsageError(f"of is {of}, and this model was trained on {counted} (train --events); leave --of out")
    try:
        return EventPolicies(
            step_s=spec.step_s, of=of or counted or "events", lateness_s=lateness_s, silent_steps=silent_steps
        )
    except ValueError as error:
        raise UsageError(str(error)) from None


def require_fits(model: Loaded, events: EventPolicies) -> None:
    """Raise UsageError unless the steps that `events` makes are steps of `model`."""
    instance("events", events, EventPolicies)
    problems = [*_problems(model, {})]
    if events.step_s != model.manifest.spec.step_s:
        problems.append(f"events makes steps of {events.step_s} s; this model takes {model.manifest.spec.step_s}")
    if found := Problems(problems):
        raise UsageError(str(found))


def _log(model: Loaded) -> Mapping[str, Any]:
    """Return how the model's log was read; empty where the bundle does not say it."""
    log = model.manifest.provenance.training.get("log")
    return log if isinstance(log, Mapping) else {}


def _counted(log: Mapping[str, Any]) -> Of | None:
    if log.get("events") is not True:
        return None
    return "mean" if log.get("kind") == "gauge" else "sum" if log.get("metrics") else "events"


def _problems(model: Loaded, log: Mapping[str, Any]) -> Iterator[str]:
    spec = model.manifest.spec
    if spec.measured != 1:
        yield f"this model takes {spec.measured} columns ({', '.join(spec.measured_names)}); events make one"
    for name, why in _ONLY_IN_LOGS.items():
        if log.get("events") is True and log.get(name) not in (None, [], "0"):
            yield f"this model was trained with {name} {shown(log[name])}: {why}; send steps that were counted so"
