"""What every request is answered with: the models, the options, and where forecasts are computed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pulsecast.model.windows import Windows

from .batching import Batches
from .config import ServerConfig
from .live.hub import Hub
from .models.served import Models, Served
from .refusal import TOO_LARGE, RefusedError
from .streams.streams import Streams
from .threads import Threads

T = TypeVar("T")
# Windows that are forecast in the event loop: they take less than the way to a thread and back, about 0.1 ms.
AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What a server has.

    batches  join the windows of several requests
    streams  are kept between pushes; None where none are
    hub      has the last steps of streams, for those who watch
    watched  a stream elsewhere fills the hub, and this server only shows it
    threads  compute what would keep other requests waiting
    """

    models: Models
    config: ServerConfig
    batches: Batches = field(default_factory=Batches)
    streams: Streams | None = None
    hub: Hub = field(default_factory=lambda: Hub(ServerConfig.listeners))
    watched: bool = False
    threads: Threads = field(default_factory=lambda: Threads(2, "pulsecast-forecast"))

    async def predict(self, served: Served, windows: Windows) -> NDArray[np.float32]:
        """Return forecasts (batch, horizon), NaN for a window that cannot be forecast.

        Raises RefusedError (413), and what `Forecaster.predict` raises.
        """
        if len(windows) <= AT_ONCE:
            self.refuse_more(len(windows))
            return await self.batches.predict(served, windows)
        return await self.run(len(windows), lambda: served.model.predict(windows, bad="nan"))

    async def run(self, windows: int, compute: Callable[[], T]) -> T:
        """Return what `compute` gives for so many windows; raises RefusedError (413) if they are too many."""
        self.refuse_more(windows)
        if windows <= AT_ONCE:
            return compute()
        return await asyncio.get_running_loop().run_in_executor(self.threads, compute)

    def refuse_more(self, windows: int) -> None:
        """Raise RefusedError (413) if a request has too many windows."""
        if windows > self.config.windows:
            raise RefusedError(
                TOO_LARGE, f"{windows:,} windows in one request; this server takes {self.config.windows:,}: split them"
            )
