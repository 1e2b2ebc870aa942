"""`pulsecast fetch`, and the options about a log: how typed options change the reading."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from helpers.engines import require

require("typer", "polars")

from pulsecast.errors import UsageError  # noqa: E402
from pulsecast_cli import app as application  # noqa: E402
from pulsecast_cli.logs import options  # noqa: E402


def run(*arguments: object) -> int:
    return application.run([str(argument) for argument in arguments])


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an API with two pages, which wants a token."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            second = "after=2" in self.path
            document = {
                "items": [{"at": f"2025-01-06T0{int(second)}:00:00Z", "who": "ann"}],
                "next": None if second else 2,
            }
            allowed = self.headers.get("Authorization") == "Bearer sesame"
            self.send_response(200 if allowed else 401)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode() if allowed else b"")

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/posts"
    server.shutdown()
    server.server_close()


def test_fetch_writes_a_log_and_says_how_long_it_is(
    api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("API_TOKEN", "sesame")
    out = tmp_path / "log.ndjson"
    options = ("--records", "items", "--next", "next", "--next-parameter", "after", "--field", "at")
    assert run("fetch", api, "--out", out, *options, "--token-env", "API_TOKEN", "--format", "json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {
        "schema_version": 1,
        "command": "fetch",
        "records": 2,
        "pages": 2,
        "bytes": out.stat().st_size,
    }
    assert printed.err == "page 1: 1 records\npage 2: 2 records\n"
    assert out.read_text() == '{"at":"2025-01-06T00:00:00Z"}\n{"at":"2025-01-06T01:00:00Z"}\n'


FETCHES = {
    "another ending": (("--out", "log.csv"), 2, "--out is log.csv; expected a name that ends in .ndjson or .jsonl"),
    "a token that is not set": (
        ("--out", "log.ndjson", "--token-env", "NOWHERE"),
        2,
        "--token-env names NOWHERE, which is not set or empty; export the token under that name",
    ),
    "no attempt": (("--out", "log.ndjson", "--attempts", "0"), 2, "attempts is 0; expected at least 1"),
    "no page": (("--out", "log.ndjson", "--max-pages", "0"), 2, "max pages is 0; expected at least 1"),
    "no byte": (("--out", "log.ndjson", "--max-bytes", "0"), 2, "max bytes is 0; expected at least 1"),
    "no second": (
        ("--out", "log.ndjson", "--max-seconds", "nan"),
        2,
        "max seconds is nan; expected more than 0 seconds",
    ),
    "a timeout of years": (
        ("--out", "log.ndjson", "--timeout", "inf"),
        2,
        "timeout is inf; expected at most 3600 seconds",
    ),
    "a token of two lines": (
        ("--out", "log.ndjson", "--token-env", "TWO_LINES"),
        2,
        "the token is empty, or holds a line break, a space or a letter outside ASCII; copy it again",
    ),
    "no token": (("--out", "log.ndjson"), 1, "answered 401 Unauthorized; check the token that --token-env names"),
}


@pytest.mark.parametrize(("options", "code", "sentence"), FETCHES.values(), ids=FETCHES.keys())
def test_what_fetch_cannot_do_is_one_sentence(
    api: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    code: int,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TWO_LINES", "ses\name")
    assert run("fetch", api, *options) == code
    assert capsys.readouterr().err.rstrip().endswith(sentence)


def test_a_column_map_is_typed_in_pairs() -> None:
    assert options.columns(["likes=favorites", " a = b=c "]) == {"likes": "favorites", "a": "b=c"}
    assert options.columns(None) is options.columns([]) is None
    for pairs, sentence in (
        (["likes"], "column is 'likes'; expected a name, = and the column in the file"),
        (["=x"], "column is '=x'; expected"),
        (["a=x", "a=y"], "column a is given twice"),
    ):
        with pytest.raises(UsageError, match=sentence):
            options.columns(pairs)


def test_a_key_that_could_be_guessed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"0123456789abcdef\n")
    assert options.secret(tmp_path / "key") == b"0123456789abcdef"
    assert options.secret(None) is None
    (tmp_path / "key").write_bytes(b"short\n")
    with pytest.raises(UsageError, match="key holds a key of 5 bytes; expected at least 16, or ids can be guessed"):
        options.secret(tmp_path / "key")


def test_every_option_about_a_log_reaches_the_reader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[Any] = []

    def train(_logs: object, *, log: object, **_: object) -> None:
        seen.append(log)
        raise UsageError("seen")

    monkeypatch.setattr("pulsecast_train.train", train)
    (tmp_path / "log.csv").write_text("x\n")
    options = {
        "--column": "likes=favorites",
        "--time": "at",
        "--metric": "likes",
        "--part": "loves",
        "--series-column": "topic",
        "--id": "key",
        "--user": "who",
        "--user-cap": "9",
        "--maturity": "2d",
        "--step": "1h",
        "--timezone": "UTC",
        "--repeated-hour": "first",
        "--time-format": "epoch-s",
        "--missing": "-1",
        "--on-conflict": "last",
        "--max-gap": "5",
        "--kind": "gauge",
    }
    flat = [word for pair in options.items() for word in pair]
    assert run("train", tmp_path / "log.csv", "--out", tmp_path / "m", "--events", *flat) == 2
    (config,) = seen
    assert (config.columns, config.time, config.metrics, config.parts) == (
        {"likes": "favorites"}, "at", ("likes",), ("loves",)
    )  # fmt: skip
    assert (config.series, config.id, config.user, config.user_cap) == ("topic", "key", "who", 9)
    assert (config.maturity, config.step, config.timezone, config.repeated_hour) == ("2d", "1h", "UTC", "first")
    assert (config.time_format, config.missing, config.on_conflict) == ("epoch-s", ("-1",), "last")
    assert (config.max_gap, config.kind, config.events) == (5, "gauge", True)
    assert run("train", tmp_path / "log.csv", "--out", tmp_path / "m", "--kind", "counter", "--allow-reset") == 2
    assert (seen[1].kind, seen[1].allow_reset) == ("counter", True)
