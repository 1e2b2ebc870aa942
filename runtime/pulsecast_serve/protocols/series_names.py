"""The series that a request names: one of the model's table, or the pool."""

from __future__ import annotations

from pulsecast.foundation.arguments import shown
from pulsecast.model.series import POOL_ROW, SeriesTable

from ..refusal import BAD_REQUEST, RefusedError

POOL_NAME = "pulsecast.POOL"  # asks for the pool, of a series that training never saw


def row_named(table: SeriesTable, name: str | None, *, param: str) -> int:
    """Return the row of a series in the table, by its name; raises RefusedError (400)."""
    if name == POOL_NAME:
        return POOL_ROW
    if name is None or not table.names.knows(name):
        said = f"{param} is missing" if name is None else f"no series {shown(name)}"
        raise RefusedError(
            BAD_REQUEST,
            f"{said}: this model has {len(table.names):,} series, such as {shown(table.names.names[0])}; the name "
            f"{POOL_NAME} forecasts a series that training never saw",
            param=param,
        )
    return table.names.row(name)
