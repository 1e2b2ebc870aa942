"""A watch over what every command says: a line end inside a line would be printed as an escape."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pulsecast.stages.progress import LineProgress


@pytest.fixture(autouse=True)
def _one_line_at_a_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail the test if a command tells several lines at once; `test_terminal` forges such ones."""
    told: list[str] = []
    tell = LineProgress.tell

    def watched(self: LineProgress, line: str) -> None:
        told.append(line)
        tell(self, line)

    if request.path.name != "test_terminal.py":
        monkeypatch.setattr(LineProgress, "tell", watched)
    yield
    assert [line for line in told if "\n" in line] == []
