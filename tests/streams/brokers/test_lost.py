"""A broker that dies before the first message: the stream ends in a bounded time, with one sentence and exit code 1."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from helpers.brokers.process import Streaming
from helpers.engines import require
from streams.brokers.conftest import SERVERS

pytestmark = pytest.mark.slow
LONGEST_S = 60.0


@pytest.mark.parametrize("kind", SERVERS)
def test_a_broker_that_is_killed_before_the_first_message_ends_the_stream(
    kind: str, calendar_bundle: Path, tmp_path: Path
) -> None:
    make, packages = SERVERS[kind]
    require(*packages)
    server: Any = make(folder=tmp_path)
    server.start()
    try:
        server.listen("a-forecasts", "a-alarms", "a-dead-letters")
        one = Streaming(server=server, bundle=calendar_bundle, name="a", store=tmp_path / "states.db", lost_s=2).start()
        if kind == "nats":
            server.disconnect()  # its client would say all about it
        server.process.kill()
        assert one.process is not None
        try:
            assert one.process.wait(LONGEST_S) == 1
        finally:
            one.kill()
    finally:
        server.process.kill()
        server.process.wait()
    said = "".join(one.said)
    assert re.search(rf"the {kind} broker (was lost|has not answered for 2 s|failed: .*); start it again", said), said
    assert "retrying" not in said
