"""An API that fails on purpose still gives every record once; any other failure is one sentence."""

import itertools
import json
import random
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from helpers.heard import Heard
from pulsecast.errors import DataError, UsageError
from pulsecast_train.fetching.fetch import fetch
from pulsecast_train.fetching.http_source import HttpQuery, HttpSource
from pulsecast_train.fetching.retrying import RetryPolicy, retry_after_s
from pulsecast_train.logs.config import LogConfig
from pulsecast_train.logs.reader import read_log

PAGES: list[tuple[str | None, str | None, list[dict[str, Any]]]] = [  # cursor, next, records
    (
        None if page == 0 else f"c{page}",
        f"c{page + 1}" if page < 3 else None,
        [
            {"id": str(2**64 + 10 * page + i), "created_at": f"2025-01-06T0{page}:0{i}:00Z", "user": {"name": "ann"}}
            for i in range(5)
        ],
    )
    for page in range(4)
]
RECORDS = [record for _, _, records in PAGES for record in records]


TOKEN = "-".join(["s3cret", "token"])


class Clock:
    """Time that passes only during waits."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def now_s(self) -> float:
        return 1_736_121_600.0 + sum(self.waits)

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


class Server:
    """Answers on 127.0.0.1; each request takes one of `faults`, and without faults gets the right answer."""

    def __init__(self) -> None:
        self.faults: Iterator[Callable[[BaseHTTPRequestHandler], None]] = iter(())
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.over = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                outer.headers.append(dict(self.headers))
                fault = next(outer.faults, None)
                (fault or outer.page)(self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/posts?limit=5"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def page(self, handler: BaseHTTPRequestHandler) -> None:
        cursor = handler.path.partition("cursor=")[2] or None
        following, records = next((n, r) for c, n, r in PAGES if c == cursor)
        answer(handler, {"data": records, "meta": {"next": following}})


def answer(handler: BaseHTTPRequestHandler, document: object, *, lost: int = 0) -> None:
    body = json.dumps(document).encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) - lost])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = Server()
    yield made
    made.over.set()
    made.http.shutdown()
    made.http.server_close()


def status(code: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return send


def cut(handler: BaseHTTPRequestHandler) -> None:
    answer(handler, {"data": RECORDS}, lost=40)


def cut_without_length(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(json.dumps({"data": RECORDS}).encode()[:-40])


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.close()


def apology(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"<html>please stand by</html>")


def source(server: Server, clock: Clock | None = None, *, attempts: int = 8, **query: Any) -> HttpSource:
    return HttpSource(
        query=HttpQuery(**{"url": server.url, "following": "meta.next", "timeout_s": 5.0, **query}),
        policy=RetryPolicy(attempts=attempts),
        clock=clock or Clock(),
        rng=random.Random(7),
    )


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_all_pages_become_lines_of_a_log_that_can_be_read(server: Server, tmp_path: Path) -> None:
    state = fetch(source(server), tmp_path / "log.ndjson")
    assert written(tmp_path / "log.ndjson") == RECORDS
    assert (state.pages, state.records) == (4, 20)
    assert left_in(tmp_path) == ["log.ndjson"]
    assert server.asked == ["/posts?limit=5", *(f"/posts?limit=5&cursor=c{page}" for page in (1, 2, 3))]
    config = LogConfig(id="id", user="user.name", events=True, step="1h")
    (series,), report = read_log([tmp_path / "log.ndjson"], config)
    assert series.values[:, 0].tolist() == [5, 5, 5]  # the fourth hour is covered only partly
    assert [finding.policy for finding in report.findings] == ["top-user", "partial-edge"]


FAULTS = {
    "server errors": [status(500), status(502), status(503)],
    "too many requests": [status(429)],
    "a page cut off": [cut],
    "a page cut off without a length": [cut_without_length],
    "a connection closed": [hang_up, hang_up],
    "an apology in HTML": [apology],
    "one after another": [status(503), cut, hang_up, apology, status(429), cut_without_length],
}


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS.keys())
def test_what_may_go_away_is_tried_again_and_no_record_is_lost_or_doubled(
    server: Server, tmp_path: Path, faults: list[Any]
) -> None:
    well = server.page
    server.faults = iter([well, *faults, well, *faults])
    clock = Clock()
    fetch(source(server, clock), tmp_path / "log.ndjson")
    assert written(tmp_path / "log.ndjson") == RECORDS
    assert len(clock.waits) == 2 * len(faults)
    ceilings = [2.0**n for n in range(len(faults))]
    assert all(0 <= wait <= top for wait, top in zip(clock.waits, ceilings * 2, strict=True))


def test_a_silent_server_is_left_after_the_timeout(server: Server, tmp_path: Path) -> None:
    server.faults = iter([lambda _: server.over.wait(30)])
    heard = Heard()
    query = HttpQuery(url=server.url, following="meta.next", timeout_s=1.0)
    slow = HttpSource(query=query, clock=Clock(), progress=heard)
    fetch(slow, tmp_path / "log.ndjson")
    # once: the other answers have time enough, on a busy machine too
    assert [line.partition(";")[0] for line in heard.lines] == ["server was silent for 1 s"]
    assert written(tmp_path / "log.ndjson") == RECORDS


def test_a_requested_wait_is_kept(server: Server, tmp_path: Path) -> None:
    later = "Mon, 06 Jan 2025 00:02:00 GMT"  # two minutes after the clock's beginning
    server.faults = iter([status(429, Retry_After="30"), status(503, Retry_After=later)])
    clock = Clock()
    fetch(source(server, clock), tmp_path / "log.ndjson")
    first, second = clock.waits
    assert 30 <= first <= 31
    assert 120 - first <= second <= 121 - first
    assert written(tmp_path / "log.ndjson") == RECORDS


@pytest.mark.parametrize("header", [None, "", "soon", "-3", "Mon, 99 Foo"])
def test_a_wait_that_cannot_be_understood_is_ours_to_choose(header: str | None) -> None:
    assert retry_after_s(header, 0.0) is None


def test_waits_double_up_to_a_limit_and_are_drawn_again_each_time() -> None:
    policy, rng = RetryPolicy(first_s=1.0, longest_s=8.0), random.Random(1)
    drawn = [[policy.wait_s(failures, None, rng) for _ in range(200)] for failures in range(1, 7)]
    for waits, ceiling in zip(drawn, (1, 2, 4, 8, 8, 8), strict=True):
        assert 0.9 * ceiling < max(waits) <= ceiling
        assert min(waits) < 0.1 * ceiling


def test_a_broken_run_goes_on_from_its_last_whole_page(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "log.ndjson"
    server.faults = iter([server.page, server.page, *[status(503)] * 3])
    with pytest.raises(DataError) as caught:
        fetch(source(server, attempts=3), out)
    place = server.url.split("/")[2]
    assert str(caught.value) == (
        f"{place} answered 503 Service Unavailable, 3 times in a row; run the same command again later; it continues "
        "from here"
    )
    assert left_in(tmp_path) == ["log.ndjson.part", "log.ndjson.state.json"]
    with (tmp_path / "log.ndjson.part").open("ab") as part:
        part.write(b'{"id": "half a rec')  # killed after a write and before its state
    before = len(server.asked)
    fetch(source(server), out)
    assert server.asked[before:] == ["/posts?limit=5&cursor=c2", "/posts?limit=5&cursor=c3"]
    assert written(out) == RECORDS
    assert left_in(tmp_path) == ["log.ndjson"]


@pytest.mark.parametrize("pages", [1, 2, 3, 4])
def test_a_run_killed_after_any_page_loses_nothing(server: Server, tmp_path: Path, pages: int) -> None:
    class Killed(BaseException):
        pass

    class Killing(Heard):
        def tell(self, line: str) -> None:
            if line.startswith(f"page {pages}:"):
                raise Killed

    with pytest.raises(Killed):
        fetch(source(server), tmp_path / "log.ndjson", progress=Killing())
    fetch(source(server), tmp_path / "log.ndjson")
    assert written(tmp_path / "log.ndjson") == RECORDS
    assert len(server.asked) == 4


def test_a_run_killed_between_its_last_two_steps_has_its_log(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "log.ndjson"

    def interrupted(path: Path, *, missing_ok: bool = False, unlink: Callable[..., None] = Path.unlink) -> None:
        if path.name.endswith(".ndjson.state.json"):
            raise KeyboardInterrupt
        unlink(path, missing_ok=missing_ok)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(source(server), out)
    assert left_in(tmp_path) == ["log.ndjson", "log.ndjson.state.json"]
    assert fetch(source(server), out).records == len(RECORDS)
    assert written(out) == RECORDS
    assert (left_in(tmp_path), len(server.asked)) == (["log.ndjson"], 4)


def test_progress_of_another_request_is_not_used(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "log.ndjson"
    server.faults = iter([server.page, status(404)])
    with pytest.raises(DataError, match="answered 404 Not Found; check the address"):
        fetch(source(server), out)
    with pytest.raises(UsageError, match="belongs to another request; use --restart to start again, or another --out"):
        fetch(source(server, parameter="after"), out)
    (tmp_path / "log.ndjson.part").write_bytes(b"")
    with pytest.raises(UsageError, match=r"log\.ndjson\.part has 0 of the \d+ bytes fetched; use --restart"):
        fetch(source(server), out)
    (tmp_path / "log.ndjson.state.json").write_text("{}")
    with pytest.raises(UsageError, match=r"missing key cursor.*; use --restart to start again"):
        fetch(source(server), out)


def test_an_existing_log_is_kept(server: Server, tmp_path: Path) -> None:
    (tmp_path / "log.ndjson").write_text("mine\n")
    with pytest.raises(UsageError, match=r"log\.ndjson exists; use another --out, or --force"):
        fetch(source(server), tmp_path / "log.ndjson")
    assert (tmp_path / "log.ndjson").read_text() == "mine\n"
    assert server.asked == []
    fetch(source(server), tmp_path / "log.ndjson", force=True)
    assert written(tmp_path / "log.ndjson") == RECORDS


def test_only_the_fields_that_are_named_are_written(server: Server, tmp_path: Path) -> None:
    fetch(source(server), tmp_path / "log.ndjson", fields=("created_at", "user.age"))
    assert written(tmp_path / "log.ndjson")[0] == {"created_at": "2025-01-06T00:00:00Z", "user.age": None}
    assert "ann" not in (tmp_path / "log.ndjson").read_text()


def test_a_token_is_sent_and_kept_nowhere(server: Server, tmp_path: Path) -> None:
    server.faults = iter([server.page, status(401)])
    with pytest.raises(DataError, match="answered 401 Unauthorized; check the token") as caught:
        fetch(source(server, token=TOKEN), tmp_path / "log.ndjson")
    assert server.headers[0]["Authorization"] == f"Bearer {TOKEN}"
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert TOKEN.encode() not in kept
    assert TOKEN not in str(caught.value) + repr(source(server, token=TOKEN))


def test_a_redirect_to_another_server_is_refused_and_one_within_it_followed(server: Server, tmp_path: Path) -> None:
    server.faults = iter([status(302, Location="http://localhost:1/elsewhere")])
    with pytest.raises(DataError, match=r"redirects to localhost:1; fetch from there if you trust it"):
        fetch(source(server, token=TOKEN), tmp_path / "log.ndjson")
    server.faults = iter([status(302, Location="/posts?cursor=c3")])
    fetch(source(server), tmp_path / "log.ndjson")
    assert written(tmp_path / "log.ndjson") == PAGES[3][2]


def test_the_next_page_may_be_an_address_of_the_same_server_only(server: Server, tmp_path: Path) -> None:
    documents = [{"next": "/more?x=1", "data": [{"a": 1}]}, {"next": None, "data": [{"a": 2}]}]
    server.faults = iter([lambda h, d=document: answer(h, d) for document in documents])
    fetch(source(server, following="next"), tmp_path / "log.ndjson")
    assert written(tmp_path / "log.ndjson") == [{"a": 1}, {"a": 2}]
    assert server.asked[1] == "/more?x=1"
    server.faults = iter([lambda h: answer(h, {"next": "http://localhost:1/x", "data": [{"a": 1}]})])
    with pytest.raises(DataError, match="the next page is at localhost:1, another server"):
        fetch(source(server, following="next"), tmp_path / "other.ndjson")


def test_a_document_may_be_the_list_itself_and_an_empty_page_is_not_the_end(server: Server, tmp_path: Path) -> None:
    server.faults = iter([lambda h: answer(h, [{"a": 1}])])
    fetch(source(server, records=".", following=None), tmp_path / "list.ndjson")
    assert written(tmp_path / "list.ndjson") == [{"a": 1}]
    documents = [{"next": 2, "data": []}, {"next": "", "data": [{"a": 2}]}]
    server.faults = iter([lambda h, d=document: answer(h, d) for document in documents])
    fetch(source(server, following="next"), tmp_path / "log.ndjson")
    assert written(tmp_path / "log.ndjson") == [{"a": 2}]


SHAPES: dict[str, tuple[object, str]] = {
    "no list": ({"items": []}, r"answers without a list at 'data'; choose --records from items"),
    "no object": (7, r"answers without a list at 'data'; choose --records from int"),
    "records that are none": ({"data": [{"a": 1}, 7]}, "has 7 as record 1 of a page; expected objects"),
    "a cursor that is none": ({"data": [{}], "meta": {"next": {}}}, r"has \{\} at 'meta\.next'; expected text"),
    "NaN": ({"data": [{"a": float("nan")}]}, "a page holds NaN, which is not a JSON number"),
    "no records": ({"data": []}, "the source has no records; check its address and --records"),
}


@pytest.mark.parametrize(("document", "sentence"), SHAPES.values(), ids=SHAPES.keys())
def test_another_shape_is_refused_at_once(server: Server, tmp_path: Path, document: object, sentence: str) -> None:
    server.faults = iter([lambda h: answer(h, document)])
    with pytest.raises(DataError, match=sentence):
        fetch(source(server), tmp_path / "log.ndjson")
    assert len(server.asked) == 1


def test_a_cursor_that_comes_back_ends_the_run(server: Server, tmp_path: Path) -> None:
    server.faults = itertools.repeat(lambda h: answer(h, {"data": [{}], "meta": {"next": "c1"}}))
    with pytest.raises(DataError, match="page 2 gives itself as the next page; choose --next-parameter"):
        fetch(source(server), tmp_path / "log.ndjson")


def test_a_wait_beyond_patience_ends_the_run(server: Server, tmp_path: Path) -> None:
    server.faults = iter([status(429, Retry_After="3600")])
    clock = Clock()
    with pytest.raises(DataError, match="answered 429 Too Many Requests and asks to wait 3600 s; run the same command"):
        fetch(source(server, clock), tmp_path / "log.ndjson")
    assert clock.waits == []


def test_a_server_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    query = HttpQuery(url="http://127.0.0.1:9/", timeout_s=5.0)
    gone = HttpSource(query=query, policy=RetryPolicy(attempts=2), clock=Clock())
    with pytest.raises(DataError, match=r"127\.0\.0\.1:9 cannot be reached \(.*\), 2 times in a row"):
        fetch(gone, tmp_path / "log.ndjson")


ADDRESSES = {
    "a file": ("file:///etc/passwd", {}, "is not an address to fetch from"),
    "no host": ("https://", {}, "is not an address to fetch from"),
    "a password": ("https://me:pw@example.org/", {}, "the address holds a password"),
    "a token in the open": ("http://example.org/", {"token": "t"}, "a token over http can be read on the way"),
    "no patience": ("https://example.org/", {"timeout_s": 0.0}, "timeout is 0.0; expected more than 0 seconds"),
}


@pytest.mark.parametrize(("url", "options", "sentence"), ADDRESSES.values(), ids=ADDRESSES.keys())
def test_an_address_that_cannot_be_meant_is_refused(url: str, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        HttpQuery(url=url, **options)
