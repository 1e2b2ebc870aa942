"""What a push makes of a stream: pure, from what is kept to what is kept next."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from pulsecast.errors import FormatError, PulsecastError, UsageError
from pulsecast.forecasting.living.kept_alive import KeptAlive
from pulsecast.forecasting.living.live_series import Begun, LiveSeries, Taken
from pulsecast.forecasting.stream_state import read_state
from pulsecast.forecasting.watching.promises import Promises
from pulsecast.model.series import POOL_ROW

from ...models.served import Served
from ...refusal import BAD_REQUEST, CONFLICT, RefusedError, refusal
from ...streams.kept import Change, Kept, Key
from ...streams.streams import Blocks, Outcome
from ..grid import refuse_off_grid
from .names import series_of
from .request import Push, Step
from .watching import Observations
from .words import answer, repeated, values

Answers = list[dict[str, object]]
TAKEN = ("next", "gap")  # arrivals that change a stream
_ANEW = 'begin anew with DELETE, or with "restart": true in the request'


class Past(NamedTuple):
    """What is known of a stream before a push.

    kept    None if it begins
    blocks  reads its observations
    alive   the series of this process that went on from what is kept of them
    """

    kept: Kept | None
    blocks: Blocks
    alive: KeptAlive


class _Last(NamedTuple):
    """The last step that was taken, and what it was answered."""

    time: int
    answer: Mapping[str, Any]


def pushed(served: Served, name: str, push: Push, past: Past) -> Outcome[Answers]:
    """Return what becomes of the stream of series `name`, and the answer to each step.

    All steps are taken, or none. Raises RefusedError.
    """
    digest = served.model.manifest.model_digest
    series, kept = series_of(served.model, name), past.kept
    anew = kept is None or _restarts(served, push, kept)
    kept = None if anew else kept
    same_model = kept is not None and kept.digest == digest
    if kept is not None and not same_model:
        _require_carried(served, kept)
    observations = Observations(promises_of(served, series), kept, same_model=same_model)
    last = None if kept is None else _Last(kept.time, json.loads(kept.answer))
    live: LiveSeries | None = None
    answers: Answers = []
    for place, one in enumerate(push.steps):
        if last is not None and one.time == last.time:
            answers.append(repeated(last.answer, one))
            continue
        try:
            live = live or _live(served, Key(served.name, name), push, past, kept)
            taken = live.take(one.values if len(one.values) > 1 else one.values[0], one.time)
            _require_on_grid(served, push, taken, last)
        except PulsecastError as error:
            _refuse(error, f"steps[{place}]" if push.several else None)
        said = answer(served, one, taken, live.window, outside=_observed(observations, one, taken))
        answers.append(said)
        if taken.forecast.arrival in TAKEN:
            last = _Last(one.time, said)
    if last is None or live is None or (kept is not None and last.time == kept.time):
        return Outcome(None, answers)
    state = live.to_bytes()
    past.alive.keep(Key(served.name, name), state, live)
    next_ = Kept(
        began=push.steps[0].time if kept is None else kept.began, time=last.time, digest=digest, state=state,
        answer=json.dumps(last.answer, separators=(",", ":"), allow_nan=False).encode(),
        newest=observations.newest, seen=observations.seen,
    )  # fmt: skip
    change = Change(
        kept=next_, anew=anew, blocks=observations.blocks, first=observations.first,
        judged=observations.judged([] if anew or not observations.blocks else past.blocks()),
    )  # fmt: skip
    return Outcome(change, answers)


def promises_of(served: Served, series: object) -> Promises:
    """Return what the model promised of a series, as `series_of` returned it."""
    table = served.model.series
    row = None if table is None else table.names.row(series) if isinstance(series, str) else POOL_ROW
    return Promises(served.model, row)


def _restarts(served: Served, push: Push, kept: Kept) -> bool:
    """Return whether the stream begins anew.

    A client that sends a request again, since it heard no answer, must not undo what was pushed meanwhile: a stream
    that began at the time of the first step, and has gone on since, has been begun anew already. If nothing came after
    the steps of this request, the same steps give the same answers, and corrected ones must not be left out. Of a
    single step the value says which of the two it is. A stream whose last step lies in the future was pushed there by a
    clock that is wrong: it is begun anew in any case.
    """
    if kept.time > time.time() + served.model.manifest.spec.step_s:
        return push.restart
    first, last = push.steps[0], push.steps[-1]
    if not push.restart or kept.began != first.time or kept.digest != served.model.manifest.model_digest:
        return push.restart
    if len(push.steps) > 1:
        return kept.time <= last.time
    return kept.time == first.time and json.loads(kept.answer)["values"] != values(first)


def _require_on_grid(served: Served, push: Push, taken: Taken, last: _Last | None) -> None:
    """Raise RefusedError (400) unless a step is on the grid of its stream.

    That of a new one is training's, where the request states no other.
    """
    at, step_s = taken.forecast.time, served.model.manifest.spec.step_s
    if last is None:
        refuse_off_grid("time", at, step_s, stated=push.phase_s, trained=served.model.phase_s)
    if last is not None and taken.forecast.arrival == "between":
        raise RefusedError(
            BAD_REQUEST,
            f"time is {at % step_s:,} s after a whole step of {step_s:,} s, and the steps of this series come "
            f"{last.time % step_s:,} s after one: correct the time; or {_ANEW}",
            param="time",
        )


def _require_carried(served: Served, kept: Kept) -> None:
    """Raise RefusedError (409) unless the steps of another model's state can be replayed."""
    try:
        read_state(kept.state).stream.require(served.model.manifest, carry_over=True)
    except (UsageError, FormatError) as error:
        raise RefusedError(CONFLICT, f"{error}: {_ANEW}") from None


def _live(served: Served, key: Key, push: Push, past: Past, kept: Kept | None) -> LiveSeries:
    """Return the series as it was left; raises RefusedError (409) if what is kept cannot be read."""
    begun = Begun(series_of(served.model, key.series), push.false_alarm_rate, True, push.adapt)
    try:
        return past.alive.take(key, served.model, None if kept is None else kept.state, begun)
    except FormatError as error:
        raise RefusedError(CONFLICT, f"what is kept of this series cannot be read ({error}): {_ANEW}") from None


def _observed(observations: Observations, one: Step, stepped: Taken) -> bool:
    """Note a step that was taken; return whether a value lies outside what training saw."""
    if stepped.forecast.arrival not in TAKEN or stepped.anomaly is None:
        return False
    observations.miss(stepped.forecast.missing)
    return observations.add(one.values, stepped.anomaly.forecast)


def _refuse(error: PulsecastError, where: str | None) -> NoReturn:
    """Raise what a client is told of an error of a step; of several it names the step, and that none was taken."""
    refused = refusal(error)
    if refused.status >= 500:
        raise error
    text = str(refused).replace("state=None", '"restart": true')
    if where is not None:
        text = f"{where}: {text}; none of the steps was taken"
    raise RefusedError(refused.status, text, param=where or refused.param) from None
