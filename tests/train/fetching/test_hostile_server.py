"""Whatever a server answers, `fetch` ends in one sentence, in bounded time and memory, without a secret in it."""

import json
import random
import re
import threading
import traceback
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from helpers.heard import Heard
from helpers.hostile.damage import damaged
from helpers.hostile.server import Answer, HostileServer, response
from pulsecast.errors import DataError, PulsecastError, UsageError
from pulsecast_train import fetch
from pulsecast_train.fetching.http_source import HttpQuery, HttpSource, Page
from pulsecast_train.fetching.limits import PAGE_BYTES, PAGE_VALUES, FetchLimits
from pulsecast_train.fetching.retrying import RetryPolicy, retry_after_s

TOKEN = "-".join(["s3cret", "token"])
SILENCE_S = 0.1  # for servers that let a client wait
PATIENCE_S = 30.0  # for all others: on a busy machine an answer comes late


class Clock:
    """Time that does not wait."""

    passed = 0.0

    def now_s(self) -> float:
        return 1_736_121_600.0 + self.passed

    def sleep(self, seconds: float) -> None:
        self.passed += seconds


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileServer]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = HostileServer()
    yield made
    made.close()


def source(server: HostileServer, heard: Heard | None = None, *, attempts: int = 2, **query: Any) -> HttpSource:
    return HttpSource(
        query=HttpQuery(**{"url": server.url, "following": "next", "timeout_s": PATIENCE_S, "token": TOKEN, **query}),
        policy=RetryPolicy(attempts=attempts),
        clock=Clock(),
        rng=random.Random(7),
        progress=heard or Heard(),
    )


def page(document: object, *headers: str) -> bytes:
    return response(json.dumps(document).encode(), *headers)


def forever(first: bytes, piece: bytes, wait_s: float = 0.0) -> Callable[[threading.Event], Iterator[bytes]]:
    def pieces(over: threading.Event) -> Iterator[bytes]:
        yield first
        while not over.wait(wait_s):
            yield piece

    return pieces


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LONG = 2 * PAGE_BYTES
NOT_HTTP, NOT_JSON = "answered against the rules of HTTP", "answered with something that is not JSON"
BROKE_OFF, DRIPS = "broke off in the middle of a page", "took longer than 1 s for one page"
HOSTILE: dict[str, tuple[Answer, str]] = {
    "nothing": (b"", "hung up without an answer|cannot be reached"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n", NOT_HTTP),
    "a status that is a word": (b"HTTP/1.1 fine OK\r\n\r\n", NOT_HTTP),
    "a status of four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", NOT_HTTP),
    "an unknown status": (response(b"", status="799 \x1b[2Jhello"), "answered 799; check the address"),
    "a reason with escapes": (response(b"", status="404 \x1b[2J" + TOKEN), "answered 404 Not Found; check the address"),
    "the token in the reason": (response(b"", status=f"401 {TOKEN}"), "answered 401 Unauthorized; check the token"),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", NOT_JSON),
    "not modified": (
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
        "answered 304 Not Modified and leads in a circle or nowhere",
    ),
    "a redirect to itself": (response(b"", "Location: /posts", status="302 Found"), "leads in a circle or nowhere"),
    "a redirect to nowhere": (response(b"", status="302 Found"), "leads in a circle or nowhere"),
    "a redirect to a file": (
        response(b"", "Location: file:///etc/passwd", status="301 Moved"),
        "leads in a circle or nowhere",
    ),
    "a redirect to brackets": (response(b"", "Location: http://[", status="301 Moved"), "answered against|brackets"),
    "a redirect to a bad port": (
        response(b"", "Location: http://a:b/", status="301 Moved"),
        "port that is not a number",
    ),
    "a redirect with a user": (
        response(b"", "Location: http://u:p@a/", status="301 Moved"),
        "holds a password or a user",
    ),
    "a redirect with escapes": (response(b"", "Location: http://a\x1b[2J/", status="301 M"), NOT_HTTP),
    "a length that is too long": (OK + b"Content-Length: 999\r\n\r\n{}", BROKE_OFF),
    "a length that is too short": (OK + b"Content-Length: 5\r\n\r\n" + b'{"data": [{}]}', NOT_JSON),
    "a negative length": (OK + b"Content-Length: -5\r\n\r\n[", NOT_JSON),
    "a length of superscripts": (OK + b"Content-Length: \xb2\xb3\r\n\r\n[", NOT_JSON),
    "a length of 5,000 digits": (OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n[", f"more than 16 MB|{NOT_JSON}"),
    "a length of a terabyte": (OK + b"Content-Length: 1099511627776\r\n\r\n[", "a page has more than 16 MB"),
    "an endless body": (forever(OK + b"\r\n", b"[" * 65536), "a page has more than 16 MB; ask for smaller pages"),
    "endless headers": (forever(OK, b"X: y\r\n" * 20), NOT_HTTP),
    "an endless header": (forever(OK + b"X: ", b"y" * 65536), NOT_HTTP),
    "an endless status line": (forever(b"", b"H" * 65536), NOT_HTTP),
    "a byte now and then": (forever(OK + b"\r\n", b" ", 0.02), DRIPS),
    "a header now and then": (forever(OK, b"X: y\r\n", 0.02), f"{DRIPS}|{NOT_HTTP}"),
    "continue for ever": (forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), "took longer than|more than 16 MB"),
    "a chunk of a bad length": (CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n", f"{BROKE_OFF}|{NOT_HTTP}"),
    "a chunk of a negative length": (CHUNKED + b"-5\r\n{}\r\n0\r\n\r\n", f"{BROKE_OFF}|{NOT_HTTP}|{NOT_JSON}"),
    "a chunk without an end": (forever(CHUNKED + b"-1\r\n", b"x" * 65536), "a page has more than 16 MB"),
    "a chunk that is cut": (CHUNKED + b"ff\r\n{}", BROKE_OFF),
    "chunks of one byte": (forever(CHUNKED, b"1\r\nx\r\n" * 9999), f"a page has more than 16 MB|{DRIPS}"),
    "packed pages": (
        response(b"\x1f\x8b" + b"x" * 99, "Content-Encoding: gzip"),
        "packs its pages, which was not asked",
    ),
    "two packings": (response(b"x", "Content-Encoding: br, gzip"), "packs its pages, which was not asked for"),
    "not UTF-8": (response(b'{"data": [{"a": "\xff"}]}'), NOT_JSON),
    "UTF-16 that is cut": (response(b"\xff\xfe{"), NOT_JSON),
    "deep lists": (response(b"[" * 100_000), "a page is nested too deeply"),
    "deep objects": (response(b'{"a":' * 100_000), "a page is nested too deeply"),
    "a number beyond floats": (response(b'{"data": [{"a": 1e999}]}'), r"holds 1e999 \(beyond a 64-bit float\)"),
    "a number of 5,000 digits": (
        response(b'{"data": [{"a": ' + b"9" * 5000 + b"}]}"),
        "holds a number of 5,000 digits",
    ),
    "minus infinity": (response(b'{"data": [{"a": -Infinity}]}'), "a page holds -Infinity, which is not a JSON number"),
    "half a character": (response(b'{"data": [{"a": "\\ud83d"}]}'), "record 0 of page 1 holds half a character"),
    "a million values": (response(b'{"data": [' + b"{}," * PAGE_VALUES), "more than 1,000,000 values; ask for smaller"),
    "a list of text": (
        page({"data": ["\x1b[2J" + TOKEN]}),
        r"has \(the token\) as record 0 of a page; expected objects",
    ),
    "escapes in a name": (page({"\x1b[2J": 1}), r"choose --records from \\u001b\[2J$"),
    "the token as a name": (page({f"x{TOKEN}": 1}), r"choose --records from \(the token\)$"),
    "long names": (page({"x" * 9999: 1}), r"choose --records from x{39}$"),
    "null": (page(None), "answers without a list at 'data'; choose --records from NoneType"),
    "data that is text": (page({"data": "x"}), "answers without a list at 'data'"),
    "true as a cursor": (page({"data": [{}], "next": True}), "has true at 'next'; expected text, choose --next"),
    "a list as a cursor": (page({"data": [{}], "next": ["a"]}), r"has \[\.\.\.\] at 'next'; expected text"),
    "a deep cursor": (
        response(b'{"data": [{}], "next": ' + b"[" * 500 + b"]" * 500 + b"}"),
        "at 'next'; expected text",
    ),
    "a cursor of half a character": (page({"data": [{}], "next": "\ud83d"}), "is not text that can be sent back"),
    "a cursor of a megabyte": (page({"data": [{}], "next": "x" * 10**6}), "gives a cursor of 1,000,000 characters"),
    "a next page in brackets": (page({"data": [{}], "next": "http://["}), "brackets that are not those of an IPv6"),
    "a next page with a break": (page({"data": [{}], "next": "/a\r\nX: y"}), "a next page whose address holds a space"),
    "a next page with a user": (page({"data": [{}], "next": "http://u:p@a/"}), "whose address holds a password"),
    "a next page with a bad port": (page({"data": [{}], "next": "http://a:99999/"}), "has a port that is not a number"),
    "a next page elsewhere": (page({"data": [{}], "next": "http://localhost:1/"}), "the next page is at localhost:1"),
}


# they end at the time limit of a page
DRIPPING = ("a byte now and then", "a header now and then", "continue for ever", "chunks of one byte")


def texts(error: BaseException | None) -> list[str]:
    """Return all that an error and those that it hangs on say."""
    found = []
    while error is not None:
        found += [str(error), repr(error), *map(repr, error.args), *map(repr, vars(error).values())]
        error = error.__cause__ or error.__context__
    return found


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_one_sentence_without_the_token(name: str, server: HostileServer, tmp_path: Path) -> None:
    answer, sentence = HOSTILE[name]
    server.answer_with(answer)
    for _ in range(20):
        heard = Heard()
        with pytest.raises(DataError) as caught:
            fetch(
                source(server, heard, timeout_s=SILENCE_S if name in DRIPPING else PATIENCE_S), tmp_path / "log.ndjson"
            )
        message = str(caught.value)
        if "was silent for" not in "".join([message, *heard.lines]):
            break  # else the machine was too busy for a server that drips
    assert re.search(sentence, message)
    assert message.isprintable()
    assert len(message) < 400
    said = [*texts(caught.value), *heard.lines, *traceback.format_exception(caught.value)]
    assert [text for text in said if TOKEN in text] == []


def test_there_are_over_fifty_hostile_answers() -> None:
    assert len(HOSTILE) >= 50


ADDRESSES = {
    "brackets": "http://[::1",
    "a word as its port": "http://host:port/",
    "a port that is too large": "https://host:70000/",
    "a space": "https://host/a b",
    "a line break": "https://ho\nst/",
    "a letter outside ASCII": "https://host/ä",
    "an empty label": "https://a..b/",
    "a long label": f"https://{'a' * 64}.example/",
    "an escaped NUL": "http://%00/",
    "a backslash": "http://a\\b/",
    "half a character": "http://host/\ud800",
    "a password of another scheme": "htps://me:{}@host/",
    "a password and a bad port": "https://me:{}@host:bad/",
    "a user": "https://{}@host/",
    "a password in brackets": "https://me:{}@[/",
}


@pytest.mark.parametrize("name", ADDRESSES)
def test_a_typo_in_an_address_is_a_usage_error_that_does_not_show_it(name: str, tmp_path: Path) -> None:
    secret = "-".join(["pass", "word"])
    with pytest.raises(UsageError, match=r"^the address ") as caught:
        fetch(ADDRESSES[name].format(secret), tmp_path / "log.ndjson")
    assert [text for text in texts(caught.value) if secret in text] == []


@pytest.mark.parametrize("token", ["", f"{TOKEN}\r\nX: y", f"{TOKEN}\n", f"{TOKEN} {TOKEN}", f"{TOKEN}ä", f"{TOKEN}\0"])
def test_a_token_that_cannot_be_sent_is_refused_unseen(token: str) -> None:
    with pytest.raises(UsageError, match=r"^the token is empty, or holds a line break, a space") as caught:
        HttpQuery(url="https://host/", token=token)
    assert [text for text in texts(caught.value) if TOKEN in text] == []


@pytest.mark.parametrize("timeout_s", [float("nan"), float("inf"), -1.0, 0.0, 1e9, True])
def test_a_timeout_that_no_socket_takes_is_refused(timeout_s: float) -> None:
    with pytest.raises(UsageError, match=r"timeout is .*; expected"):
        HttpQuery(url="https://host/", timeout_s=timeout_s)


def test_a_proxy_with_a_password_and_a_bad_port_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, server: HostileServer, tmp_path: Path
) -> None:
    monkeypatch.setenv("http_proxy", f"http://me:{TOKEN}@127.0.0.1:bad")
    monkeypatch.setenv("no_proxy", "")
    from pulsecast_train.fetching import bounded_http

    monkeypatch.setattr(bounded_http, "_OPENER", bounded_http.opener())
    with pytest.raises(DataError) as caught:
        fetch(source(server), tmp_path / "log.ndjson")
    assert [text for text in texts(caught.value) if TOKEN in text] == []


@pytest.mark.parametrize(
    "header", ["²", "9" * 400, "Thu, 01 Jan 99999 00:00:00 GMT", "Thu, 01 Jan 0000 00:00:00 -9999"]
)
def test_a_wait_that_is_not_a_time_is_no_traceback(header: str) -> None:
    assert retry_after_s(header, 0.0) in (None, 1e9)


@pytest.mark.parametrize("length", [2, 3, 7])
def test_a_circle_of_cursors_is_found_when_it_closes(length: int, server: HostileServer, tmp_path: Path) -> None:
    server.answer_with(*(page({"data": [{"a": 1}], "next": f"c{i % length}"}) for i in range(3 * length)))
    with pytest.raises(DataError, match=f"page {length + 1} gives an earlier page as the next one; choose --next"):
        fetch(source(server), tmp_path / "log.ndjson")
    assert len(server.requests) == length + 1


def pages_for_ever() -> Iterator[bytes]:
    return (page({"data": [{"a": 1}], "next": f"c{i}"}) for i, _ in enumerate(repeat(None)))


LIMITS = {
    "pages": (FetchLimits(pages=3), 3, "3 pages were fetched and there are more; raise --max-pages to continue"),
    "bytes": (FetchLimits(size_bytes=20), 2, "the log has more than 20 bytes; raise --max-bytes to continue"),
    "seconds": (
        FetchLimits(seconds=1e-9),
        0,
        r"0 pages were fetched, 1e-09 s are over and there are more; run the same",
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_cursors_that_never_end_are_stopped_and_the_progress_kept(
    name: str, server: HostileServer, tmp_path: Path
) -> None:
    limits, pages, sentence = LIMITS[name]
    server.answers = pages_for_ever()
    with pytest.raises(DataError, match=sentence):
        fetch(source(server), tmp_path / "log.ndjson", limits=limits)
    server.answer_with(page({"data": [{"a": 2}], "next": None}))
    fetch(source(server), tmp_path / "log.ndjson")
    rows = (tmp_path / "log.ndjson").read_text().splitlines()
    assert rows == ['{"a":1}'] * pages + ['{"a":2}']


def test_a_wait_beyond_the_end_of_the_run_is_not_begun(server: HostileServer, tmp_path: Path) -> None:
    server.answer_with(response(b"", "Retry-After: 60", status="503 Busy"))
    with pytest.raises(DataError, match="answered 503 Service Unavailable, and the time of this run is over"):
        fetch(source(server), tmp_path / "log.ndjson", limits=FetchLimits(seconds=30.0))


@pytest.mark.parametrize("limits", [{"pages": 0}, {"size_bytes": 1.5}, {"seconds": float("nan")}, {"seconds": 0}])
def test_limits_that_stop_nothing_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"max (pages|bytes|seconds) is .*; expected"):
        FetchLimits(**limits)


def test_a_source_of_ones_own_may_give_what_cannot_be_written(tmp_path: Path) -> None:
    class Own:
        identity = "own"

        def page(self, cursor: str | None, left_s: float) -> Page:
            assert 0 < left_s <= 86_400
            return Page(records=({"a": 1}, {"a": object()}), cursor=cursor)

    with pytest.raises(DataError, match="record 1 of page 1 holds"):
        fetch(Own(), tmp_path / "log.ndjson")
    with pytest.raises(UsageError, match="source is int; expected an address"):
        fetch(7, tmp_path / "log.ndjson")  # type: ignore[arg-type]


WORDS = [
    b"\r\n", b"\r\n\r\n", b"\0", b"-1", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 9\r\n", b"\xb2", b"NaN",
    b"1e999", b"Infinity", b'"\\ud800"', b"{", b"[" * 2000, b"null", b"Content-Encoding: gzip\r\n", b"Location: http://[\r\n",
    b"HTTP/1.1 100 C\r\n\r\n", b"301", b"Retry-After: \xb2\r\n", b"9" * 5000,
]  # fmt: skip


@pytest.mark.soak
@pytest.mark.slow
def test_five_thousand_damaged_answers_are_read_or_refused(server: HostileServer, tmp_path: Path) -> None:
    draw = random.Random("pulsecast fetch")
    body = json.dumps(
        {"data": [{"id": str(i), "at": "2025-01-06T00:00:00Z", "n": i / 7} for i in range(9)], "next": "b"}
    )
    kinds = [
        response(body.encode(), "Content-Type: application/json", "Server: x"),
        CHUNKED + f"{len(body):x}\r\n{body}\r\n0\r\n\r\n".encode(),
        response(b"", "Location: /elsewhere", status="302 Found"),
        response(b"", "Retry-After: 3", status="503 Service Unavailable"),
    ]
    last = page({"data": [{"a": 1}], "next": None})
    said: list[str] = []
    for case in range(5000):
        server.answer_with(damaged(draw, draw.choice(kinds), WORDS), last)
        out = tmp_path / f"{case}.ndjson"
        try:
            fetch(source(server, attempts=1), out)
        except PulsecastError as error:
            said.append(str(error))
        else:
            assert [json.loads(line) for line in out.read_bytes().splitlines()], case
        for path in tmp_path.iterdir():
            path.unlink()
    assert [line for line in said if not line.isprintable() or TOKEN in line or len(line) > 400] == []
    assert len(said) > 1000
