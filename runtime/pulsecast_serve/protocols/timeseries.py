"""KServe's time-series API: named series and their frequency in, forecasts and quantiles out.

Source: kserve/kserve, `POST /v1/timeseries/forecast` and `GET /v1/timeseries/models`. Ours are additional fields of a
forecast: `statistic` (its numbers are medians, also those called `mean_forecast`), `interval` (the bounds at the level
of the manifest) and `outside_training_range`.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from ..models.served import Served, Shelf
from ..refusal import BAD_REQUEST, RefusedError
from ..serving import Serving
from .bodies import written
from .inflating import json_body
from .protocol import Address, Protocol
from .timeseries_request import Asked, read_request, split_name
from .timeseries_schema import FORECAST_REQUEST, FORECAST_RESPONSE, MODELS_RESPONSE
from .timeseries_words import Output, prepare, worded

_FEW = 20  # names of series that are listed
_PARTIAL, _COMPLETED = "partial", "completed"


def error_body(refused: RefusedError) -> Mapping[str, object]:
    """Return an error as the protocol words it."""
    kind = "invalid_request_error" if refused.status < 500 else "server_error"
    return {"error": {"message": str(refused), "type": kind, "param": refused.param, "code": str(refused.status)}}


async def forecast(serving: Serving, request: Request) -> Response:
    """Answer the forecasts of some series. One that cannot be forecast does not keep the others from an answer."""
    asked = read_request(await json_body(serving, request))
    name, version, label = split_name(asked.model)
    served = serving.models.find(name, version=version, label=label)
    prepared = prepare(served, asked)
    found = await serving.predict(served, prepared.windows) if prepared.windows is not None else None
    outputs = worded(served, prepared, found)
    failed = [one.error for one in outputs if one.error is not None]
    if len(failed) == len(outputs):
        more = f" (and {len(failed) - 1} more inputs)" if len(failed) > 1 else ""
        raise RefusedError(BAD_REQUEST, f"{failed[0]}{more}", param=failed[0].param)
    return written(_document(asked, served.version, outputs, partial=bool(failed)))


def _document(asked: Asked, version: int, outputs: list[Output], *, partial: bool) -> dict[str, object]:
    return {
        "id": f"forecast-{uuid.uuid4().hex}",
        "created_at": int(time.time()),
        "status": _PARTIAL if partial else _COMPLETED,
        "error": None,
        "model": asked.model,
        "model_version": str(version),
        **({"ignored": asked.ignored} if asked.ignored else {}),
        "outputs": [one.document for one in outputs],
    }


async def models(serving: Serving, request: Request) -> Response:
    """Answer which models forecast, and what each takes."""
    del request
    shelves = sorted(serving.models.shelves.items())
    described = [_described(name, shelf, shelf.stable) for name, shelf in shelves if shelf.stable]
    return written({"models": described, "streams": serving.streams is not None or serving.watched})


def _described(name: str, shelf: Shelf, served: Served) -> dict[str, object]:
    """Return what a model takes and gives, how good it is, and which version of it answers."""
    manifest, table = served.model.manifest, served.model.series
    spec, first = manifest.spec, manifest.scaler.features[0]
    return {
        "name": name,
        "version": str(served.version),
        "labels": {label: str(version) for label, version in sorted(shelf.labels.items())},
        "artifact": served.model.artifact.id,
        "engine": served.model.backend.engine,
        "horizon": spec.horizon,
        "context": spec.context,
        "step_seconds": spec.step_s,
        "columns": list(spec.measured_names),
        "training_range": [first.low, first.high],
        "takes_start_timestamp": spec.timed,
        "interval_level": manifest.level,
        "series": None if table is None else {"count": len(table.names), "first": list(table.names.names[:_FEW])},
        "heldout": {
            "windows": manifest.heldout.windows,
            "mae": {whose: one.mae for whose, one in manifest.heldout.forecasts.items()},
        },
    }


PROTOCOL = Protocol(
    name="timeseries",
    paths=re.compile(r"/v1/timeseries(?:/|$)"),
    error=error_body,
    addresses=(
        Address(
            method="POST",
            path="/v1/timeseries/forecast",
            name="timeseries.forecast",
            answer=forecast,
            request=FORECAST_REQUEST,
            response=FORECAST_RESPONSE,
        ),
        Address(
            method="GET",
            path="/v1/timeseries/models",
            name="timeseries.models",
            answer=models,
            response=MODELS_RESPONSE,
        ),
    ),
)
