"""Which stream an address names, and which series of the model it is."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from starlette.requests import Request

from pulsecast import limits
from pulsecast.forecasting.forecaster import Forecaster
from pulsecast.foundation.arguments import shown
from pulsecast.model.series import POOL

from ...refusal import BAD_REQUEST, NOT_FOUND, RefusedError
from ...streams.kept import Key
from ..series_names import POOL_NAME

ROOT = "/v1/streams/"
OF_POOL = f"{POOL_NAME}:"  # begins the name of a series that training never saw
PARTS = ("drift", "live")  # of a series, after its name


class Place(NamedTuple):
    """What an address names; `part` is one of PARTS, or None for the stream itself."""

    key: Key
    part: str | None


def place_of(request: Request) -> Place:
    """Return what the address of `request` names; raises RefusedError.

    The path is read as it was sent: `%2F` is part of a name, and `/` is not.
    """
    sent = request.scope.get("raw_path") or quote(request.scope["path"]).encode("ascii")
    _, root, rest = sent.partition(b"?")[0].partition(ROOT.encode("ascii"))
    parts = rest.split(b"/")
    part = parts[2].decode("latin-1") if len(parts) == 3 else None
    if not root or not (len(parts) == 2 or part in PARTS):
        raise RefusedError(NOT_FOUND, f"no such address; expected {ROOT}MODEL/SERIES, with each / of a name as %2F")
    return Place(Key(_decoded(parts[0], "model"), _decoded(parts[1], "series")), part)


def _decoded(part: bytes, what: str) -> str:
    try:
        name = unquote_to_bytes(part).decode("utf-8")
    except UnicodeDecodeError:
        raise RefusedError(BAD_REQUEST, f"the {what} in the address is not UTF-8, %-encoded", param=what) from None
    if not name or len(name) > limits.TEXT_CHARACTERS or not name.isprintable():
        raise RefusedError(
            BAD_REQUEST,
            f"the {what} in the address is {shown(name)}; expected printable text of 1 to {limits.TEXT_CHARACTERS} "
            "characters",
            param=what,
        )
    return name


def series_of(model: Forecaster, name: str) -> object:
    """Return what `pulsecast.step` takes as the series of a stream of this name; raises RefusedError (400)."""
    table = model.series
    if table is None:
        return None
    if name.startswith(OF_POOL) and name != OF_POOL:
        return POOL
    if table.names.knows(name):
        return name
    raise RefusedError(
        BAD_REQUEST,
        f"no series {shown(name)}: this model has {len(table.names):,} series, such as {shown(table.names.names[0])}; "
        f"a series that training never saw is called {OF_POOL}NAME",
        param="series",
    )
