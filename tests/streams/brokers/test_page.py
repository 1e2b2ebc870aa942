"""`pulsecast stream --page`: what is sent on a broker is what the page shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.brokers.servers import WAIT_S, Mosquitto
from helpers.brokers.watching import watched
from helpers.engines import require
from helpers.streaming.streams import message
from pulsecast.errors import UsageError
from pulsecast_cli.app import run
from pulsecast_cli.commands.bundles.stream_page import address

require("starlette", "uvicorn", "httptools", "prometheus_client")


@pytest.mark.slow
@pytest.mark.parametrize("server", ["mqtt"], indirect=True)
def test_the_page_of_a_stream_shows_what_it_sends(
    server: Mosquitto, name: str, calendar_bundle: Path, tmp_path: Path
) -> None:
    words = [
        "stream", str(calendar_bundle), "--mqtt", f"127.0.0.1:{server.port}", "--from", server.source(name), "--to",
        f"{name}-forecasts", "--store", str(tmp_path / "a.db"), "--group", name, "--backend", "numpy", "--page", "0",
    ]  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "pulsecast_cli", *words], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        where = process.stderr.readline().split("page at ")[1].strip()
        assert "Ctrl-C stops it" in process.stderr.readline()
        for n in range(80):
            server.send(name, "likes", message(n, 200 + n % 24))
        sent = server.read(f"{name}-forecasts", 80)
        found: list[dict[str, Any]] = watched(f"{where}/v1/streams/plain/likes/live", 80)
        for one, record in zip(found, sent, strict=True):
            assert (one["time"], one["forecast"]) == (record["time"], record["forecast"])
        assert [one["values"] for one in found] == [[200.0 + n % 24] for n in range(80)]
        assert found[-1]["forecast"] is not None
        assert found[-1]["interval"] == {name: sent[-1][name] for name in ("level", "lower", "upper")}
        process.terminate()
        assert process.wait(WAIT_S) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--page", "0.0.0.0:0"], "host '0.0.0.0' can be reached by others: pass --keys FILE"),
        (["--page", "eighty"], "page is 'eighty'; expected PORT or HOST:PORT"),
        (["--keys", "keys"], "keys: locks of the page; add --page PORT"),
    ],
)
def test_a_page_has_the_locks_of_a_server(
    plain_bundle: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = ["stream", str(plain_bundle), "--mqtt", "127.0.0.1:1", "--from", "a/+", "--to", "b", "--backend", "numpy"]
    assert run([*usual, *words]) == 2
    assert said in capsys.readouterr().err


def test_an_address_is_loopback_unless_it_names_a_host() -> None:
    assert [address(one) for one in ("80", ":80", "[::1]:80", "localhost:80")] == [
        ("127.0.0.1", 80), ("127.0.0.1", 80), ("::1", 80), ("localhost", 80),
    ]  # fmt: skip
    with pytest.raises(UsageError, match="expected PORT or HOST:PORT"):
        address("localhost")
