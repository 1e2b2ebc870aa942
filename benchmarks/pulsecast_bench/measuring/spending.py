"""Resources used by a block of code: processor time, other processes' share, and joules if they are counted."""

from __future__ import annotations

import time
from types import TracebackType

from .energy import find_counter
from .machine import cpu_times, foreign_share


class Spending:
    """`with Spending() as spent`: after the block the three fields hold its use.

    cpu_ns       processor time of all threads of this process
    foreign_cpu  share of the machine's processor time that other processes took; None if unreadable
    energy_uj    microjoules of the whole machine; None if no counter can be read, or if it is too coarse and did not
                 move
    """

    def __init__(self) -> None:
        self.cpu_ns = 0
        self.foreign_cpu: float | None = None
        self.energy_uj: int | None = None
        self._counter = find_counter()[0]

    def __enter__(self) -> Spending:
        self._energy = self._counter.read() if self._counter else ()
        self._machine, self._own = cpu_times(), time.process_time_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cpu_ns = time.process_time_ns() - self._own
        self.foreign_cpu = foreign_share(self._machine, cpu_times())
        if self._counter:
            self.energy_uj = self._counter.spent_uj(self._energy, self._counter.read())
