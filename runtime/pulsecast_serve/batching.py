"""Windows of requests that are at work at the same time, forecast as one batch: more a second."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pulsecast.model.windows import Windows

from .models.served import Served

FULL = 64  # windows; more of them take as long as two batches
_LOOK = 8  # one request of so many looks for others, where none were lately: it takes 1 % of an answer
_COMPANY = 64  # requests that look for others, once one has found some


@dataclass
class _Batch:
    """What waits for one version of a model: the windows of each request, and where its forecasts are expected."""

    served: Served
    windows: list[Windows] = field(default_factory=list)
    answers: list[asyncio.Future[NDArray[np.float32]]] = field(default_factory=list)
    count: int = 0
    timer: asyncio.Handle | None = None


class Batches:
    """Batches that fill. It lives in one event loop.

    wait_s  how long the first request of a batch waits for others, whose forecasts may then differ by the rounding that
            another size of batch makes; 0 joins only what has arrived already, and only as many windows as were proven
            to be forecast to the last bit as each alone (`Served.alike`)
    """

    def __init__(self, wait_s: float = 0.0) -> None:
        self.wait_s = wait_s
        self._turns = 0
        self._in_company = 0  # of the next requests are expected to find others
        self._filling: dict[tuple[str, int, int], _Batch] = {}

    async def predict(self, served: Served, windows: Windows) -> NDArray[np.float32]:
        """Return forecasts (batch, horizon), NaN for a window without one; raises what `Forecaster.predict` raises."""
        place = (served.name, served.version, id(served))
        batch = self._filling.get(place)
        full = FULL if self.wait_s else served.alike
        if len(windows) >= full or (batch is None and self._goes_alone()):
            return served.model.predict(windows, bad="nan")
        if batch is not None and batch.count + len(windows) > full:
            self._forecast(place)
            batch = None
        if batch is None:
            batch = self._begun(served, place)
        answer: asyncio.Future[NDArray[np.float32]] = asyncio.get_running_loop().create_future()
        batch.windows.append(windows)
        batch.answers.append(answer)
        batch.count += len(windows)
        if batch.count >= full:
            self._forecast(place)
        return await answer

    def _goes_alone(self) -> bool:
        """Return whether a request is forecast at once: lately none found another, and it is not its turn to look."""
        if self.wait_s or self._in_company:
            return False
        self._turns += 1
        return self._turns % _LOOK != 0

    def _begun(self, served: Served, place: tuple[str, int, int]) -> _Batch:
        """Return a new batch, which is forecast after `wait_s`, or once what has arrived was read."""
        loop = asyncio.get_running_loop()
        batch = self._filling[place] = _Batch(served)
        if self.wait_s:
            batch.timer = loop.call_later(self.wait_s, self._forecast, place)
        else:
            batch.timer = loop.call_soon(self._forecast, place)
        return batch

    def _forecast(self, place: tuple[str, int, int]) -> None:
        """Forecast what has come, and give each request its own."""
        batch = self._filling.pop(place, None)
        if batch is None:  # it was full before its time
            return
        if batch.timer is not None:
            batch.timer.cancel()
        self._in_company = _COMPANY if len(batch.answers) > 1 else max(0, self._in_company - 1)
        try:
            found = batch.served.model.predict(joined(batch.windows), bad="nan")
        except Exception:  # one of them is at fault
            for windows, answer in zip(batch.windows, batch.answers, strict=True):
                _forecast_alone(batch.served, windows, answer)
            return
        first = 0
        for windows, answer in zip(batch.windows, batch.answers, strict=True):
            _give(answer, found[first : first + len(windows)])
            first += len(windows)


def _forecast_alone(served: Served, windows: Windows, answer: asyncio.Future[NDArray[np.float32]]) -> None:
    try:
        _give(answer, served.model.predict(windows, bad="nan"))
    except Exception as error:
        _give(answer, error)


def _give(answer: asyncio.Future[NDArray[np.float32]], result: NDArray[np.float32] | Exception) -> None:
    """Give a request what it waits for, unless it has gone."""
    if answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)


def joined(parts: list[Windows]) -> Windows:
    """Return windows of one model as one batch, in their order."""
    if len(parts) == 1:
        return parts[0]
    times = [part.time for part in parts if part.time is not None]
    rows = [part.series for part in parts if part.series is not None]
    return Windows(
        values=np.concatenate([part.values for part in parts]),
        time=np.concatenate(times) if times else None,
        series=np.concatenate(rows) if rows else None,
    )
