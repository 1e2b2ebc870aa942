"""The addresses of streams.

POST   /v1/streams/MODEL/SERIES         {"value": 12.0, "time": 1769846400}: push a step
GET    /v1/streams/MODEL/SERIES         the last answer, and what is due
GET    /v1/streams/MODEL/SERIES/drift   whether the model still fits the series
DELETE /v1/streams/MODEL/SERIES         forget the series
GET    /v1/streams/MODEL/SERIES/live    each step as it comes, by server-sent events
GET    /v1/streams/MODEL                the names of its series
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

from starlette.requests import Request
from starlette.responses import Response

from pulsecast.computing.calendars import utc_text
from pulsecast.forecasting.watching.drift import Verdict

from ...models.served import Served
from ...refusal import BAD_REQUEST, NOT_FOUND, NOT_READY, RefusedError
from ...serving import Serving
from ...streams.kept import Kept, Key
from ...streams.streams import Blocks, Outcome, Pushed, Streams
from ..bodies import written
from ..inflating import json_body
from ..operation import error_body
from ..protocol import Address, Protocol
from .live import live
from .names import place_of, series_of
from .pushing import TAKEN, Answers, Past, promises_of, pushed
from .request import read_push
from .schema import (
    DRIFT_RESPONSE,
    FORGET_RESPONSE,
    LAST_RESPONSE,
    NAMES_RESPONSE,
    PUSH_REQUEST,
    PUSH_RESPONSE,
)
from .watching import found, last_seen

MOST_NAMES = 1000  # of one answer


async def push(serving: Serving, request: Request) -> Response:
    """Push a step of a series, or several, and answer what follows from each."""
    streams, key, part = _streams(serving), *place_of(request)
    if part is not None:
        raise RefusedError(NOT_FOUND, f"{part} is read with GET; a step is pushed to /v1/streams/MODEL/SERIES")
    served = serving.models.find(key.model)
    asked = read_push(await json_body(serving, request), served.model.manifest.spec)

    def compute(kept: Kept | None, blocks: Blocks) -> Outcome[tuple[Answers, int | None]]:
        _refuse_to_go_back(serving, served, kept)
        change, answers = pushed(served, key.series, asked, Past(kept, blocks, streams.alive))
        after = kept if change is None else change.kept
        return Outcome(change, (answers, None if after is None else after.time))

    answers, now = await streams.change(key, compute, steps=len(asked.steps))
    streams.heard(_counted(key, answers))
    serving.hub.say(key, [one for one in answers if one["arrival"] in TAKEN])
    said: Mapping[str, object] = {"steps": answers} if asked.several else answers[0]
    return written({"model": key.model, "series": key.series, **said, **_due(served, now)})


def _refuse_to_go_back(serving: Serving, served: Served, kept: Kept | None) -> None:
    """Raise RefusedError (503) if another worker has given a series to the version that is to answer here, too.

    Workers swap some moments apart: this one would give the series back, and each swap of windows forgets a part.
    """
    if kept is None or kept.digest == served.model.manifest.model_digest:
        return
    other = str(json.loads(kept.answer)["model_version"])
    if other != str(served.version) and other == str(serving.models.wanted(served.name)):
        raise RefusedError(
            NOT_READY, f"version {other} has this series and is being loaded here: send the step again in a moment"
        )


def _counted(key: Key, answers: Sequence[Mapping[str, Any]]) -> Pushed:
    alarms = sum(bool(one["arrival"] in TAKEN and one["anomaly"] and one["anomaly"]["alarm"]) for one in answers)
    return Pushed(key.model, [str(one["arrival"]) for one in answers], alarms)


async def last(serving: Serving, request: Request) -> Response:
    """Answer what was last answered to a series, and when the next step is due."""
    return await _read(serving, request)


async def drift(serving: Serving, request: Request) -> Response:
    """Answer whether the model still fits a series, and why."""
    return await _read(serving, request)


async def _read(serving: Serving, request: Request) -> Response:
    """Answer what the path as it was sent asks for: a name may end in `%2Fdrift` or `%2Flive`."""
    key, part = place_of(request)
    if part == "live":
        return await live(serving, request, key)
    return await (_drift if part == "drift" else _last)(serving, key)


async def _last(serving: Serving, key: Key) -> Response:
    kept = _known(serving, key, await _streams(serving).read(lambda store: store.get(key)))
    shelf = serving.models.shelves.get(key.model)
    due = {} if shelf is None or shelf.stable is None else _due(shelf.stable, kept.time)
    return written(
        {"model": key.model, "series": key.series, "began": kept.began, "last": json.loads(kept.answer), **due}
    )


async def _drift(serving: Serving, key: Key) -> Response:
    streams, served = _streams(serving), serving.models.find(key.model)
    kept, blocks = await streams.read(lambda store: (store.get(key), store.blocks(key)))
    kept = _known(serving, key, kept)
    promises = promises_of(served, series_of(served.model, key.series))
    same_model = kept.digest == served.model.manifest.model_digest
    seen = last_seen(promises, blocks, kept.newest) if same_model else last_seen(promises, [], b"")
    said = found(promises, promises.report(seen), seen)
    return written({"model": key.model, "series": key.series, "model_version": str(served.version), **said})


async def follow(serving: Serving, request: Request) -> Response:
    """Answer each step of a series as it comes, by server-sent events."""
    return await _read(serving, request)


async def forget(serving: Serving, request: Request) -> Response:
    """Forget a series; a second request for it says that there was nothing."""
    key, part = place_of(request)
    if part is not None:
        raise RefusedError(NOT_FOUND, f"{part} is read with GET; DELETE /v1/streams/MODEL/SERIES forgets a series")
    forgotten = await _streams(serving).forget(key)
    serving.hub.forget(key)
    if not forgotten:
        serving.models.shelf(key.model)
    return written({"model": key.model, "series": key.series, "forgotten": forgotten})


async def names(serving: Serving, request: Request) -> Response:
    """Answer the names of a model's series in their order, some at a time: `?after=NAME` goes on.

    `?verdict=train%20again` asks for those alone that had it when they were last judged.
    """
    model, query = request.path_params["model"], request.query_params
    after, verdict = query.get("after", ""), query.get("verdict")
    if not query.keys() <= {"after", "verdict"} or verdict not in (None, *get_args(Verdict)):
        raise RefusedError(
            BAD_REQUEST,
            f"expected ?after=NAME, the last name of the answer before, and ?verdict= one of "
            f"{', '.join(get_args(Verdict))}, or nothing",
        )
    asked = cast("Verdict | None", verdict)
    if serving.streams is None and serving.watched:
        return written(
            {"model": model, "series": [one for one in serving.hub.names(model) if one > after], "after": None}
        )
    found_names = await _streams(serving).read(lambda store: store.names(model, after, MOST_NAMES + 1, asked))
    if not found_names:
        serving.models.shelf(model)  # streams of a model that is gone are still listed
    more = len(found_names) > MOST_NAMES
    shown = list(found_names[:MOST_NAMES])
    return written({"model": model, "series": shown, "after": shown[-1] if more else None})


def _streams(serving: Serving) -> Streams:
    if serving.streams is None:
        raise RefusedError(
            NOT_FOUND,
            "this server keeps no streams: start it with --store streams.sqlite, a file that survives it, or with "
            "--store memory",
        )
    return serving.streams


def _known(serving: Serving, key: Key, kept: Kept | None) -> Kept:
    """Return what is kept of a series; raises RefusedError (404) if that is nothing, or there is no such model."""
    if kept is None:
        serving.models.shelf(key.model)
        raise RefusedError(NOT_FOUND, f"nothing was pushed to this series of model {key.model} yet", param="series")
    return kept


def _due(served: Served, time: int | None) -> dict[str, object]:
    """Return when the next step is due; nothing before a step was taken."""
    if time is None:
        return {}
    due = time + served.model.manifest.spec.step_s
    try:
        return {"due": due, "due_time": utc_text(due)}
    except (ValueError, OverflowError):  # after the year 9999
        return {"due": due, "due_time": None}


_SERIES = "/v1/streams/{model}/{series:path}"
PROTOCOL = Protocol(
    name="streams",
    paths=re.compile(r"/v1/streams(?:/|$)"),
    error=error_body,
    addresses=(
        Address(
            method="GET", path=f"{_SERIES}/live", name="streams.live", answer=follow, listed=False
        ),  # it never ends
        Address(method="GET", path=f"{_SERIES}/drift", name="streams.drift", answer=drift, response=DRIFT_RESPONSE),
        Address(
            method="POST",
            path=_SERIES,
            name="streams.push",
            answer=push,
            request=PUSH_REQUEST,
            response=PUSH_RESPONSE,
        ),
        Address(method="GET", path=_SERIES, name="streams.last", answer=last, response=LAST_RESPONSE),
        Address(method="DELETE", path=_SERIES, name="streams.forget", answer=forget, response=FORGET_RESPONSE),
        Address(method="GET", path="/v1/streams/{model}", name="streams.names", answer=names, response=NAMES_RESPONSE),
    ),
)
