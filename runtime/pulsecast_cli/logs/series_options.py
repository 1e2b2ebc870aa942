"""The options that say which series of a bundle a log is of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pulsecast.errors import UsageError
from pulsecast.forecasting.forecaster import Forecaster
from pulsecast.model.series import POOL, Pool

from ..terminal.options import under
from ..terminal.output import tell
from .options import LogOptions

if TYPE_CHECKING:
    from pulsecast_train.series import Series

_option = under("Several series in one bundle")
SHOWN = 5  # names in a line of progress

Asked = str | Pool | None  # as `Forecaster.predict` takes it


@dataclass(frozen=True, kw_only=True)
class SeriesOptions:
    """Which series of a bundle of several forecasts a log."""

    known_as: Annotated[
        str | None,
        _option("--series", "Name of the series in the bundle; a log with a series column names them itself."),
    ] = None
    pool: Annotated[bool, _option("--pool", "Forecast what training never saw by the bundle's pool.")] = False

    def of(self, model: Forecaster, series: Sequence[Series], log: LogOptions) -> list[Asked]:
        """Return what each of `series`, read from a log, is forecast as; None where the bundle is of one series.

        Raises UsageError where that is not said, or not known.
        """
        if model.series is None:
            if self.known_as is not None or self.pool:
                raise UsageError(
                    "this bundle is of one series and has no table of names: leave --series and --pool out"
                )
            return [None] * len(series)
        from pulsecast_train.logs.as_trained import asked_for, names_its_series

        named = names_its_series(model.manifest, log.changes())
        found = asked_for(model.series.names, series, named=named, name=self.known_as, pool=self.pool)
        pooled = [one.name for one, asked in zip(series, found, strict=True) if asked is POOL]
        if pooled:
            more = f" and {len(pooled) - SHOWN:,} more" if len(pooled) > SHOWN else ""
            tell(f"by the pool, as series that training never saw: {', '.join(pooled[:SHOWN])}{more}")
        return [*found]


def asked_document(series: Sequence[Series], asked: Sequence[Asked]) -> dict[str, object]:
    """Return what a JSON result says about it: series of the log -> name in the bundle, null for the pool."""
    if None in asked:
        return {}
    return {"forecast_as": {one.name: None if a is POOL else a for one, a in zip(series, asked, strict=True)}}


OF_ONE_SERIES = SeriesOptions()
