"""How a stream ends that is told to while it begins, and one that fails then."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pulsecast_streams.brokers.running import _run


class App:
    """As FastStream 0.7: a signal calls `exit`, which closes the connection below those who are still connecting."""

    def __init__(self, *, told: bool, begins: bool) -> None:
        self._told, self._begins = told, begins
        self._begun: Callable[[], Coroutine[Any, Any, None]] | None = None
        self.ended = False

    def after_startup(self, begun: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._begun = begun

    def exit(self) -> None:
        self.ended = True

    async def run(self) -> None:
        if self._begins and self._begun is not None:
            await self._begun()
        if self._told:
            self.exit()
        raise ConnectionError("Connection closed by server.")


def test_a_stream_that_is_told_to_end_while_it_connects_ends_in_peace() -> None:
    app = App(told=True, begins=False)
    assert not _run(app, pytest.fail)
    assert app.ended


@pytest.mark.parametrize(("told", "begins"), [(False, False), (False, True), (True, True)])
def test_a_connection_that_breaks_otherwise_is_a_failure(told: bool, begins: bool) -> None:
    with pytest.raises(ConnectionError):
        _run(App(told=told, begins=begins), lambda: None)
