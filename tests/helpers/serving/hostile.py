"""Requests that nobody should send: malformed, oversized, of wrong types, with paths that climb, JSON that swells."""

from __future__ import annotations

import http.client
import json
import random
import socket
import urllib.parse
from collections import Counter
from collections.abc import Callable
from typing import Any

from helpers.serving import WAIT_S, Client, series_body

PREDICT, PUSH = "/v1/models/plain:predict", "/v1/streams/plain/a"
POSTS = ("/v1/timeseries/forecast", "/v1/anomalies", PUSH, PREDICT)
METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "BREW")
SERIES = [float(200 + i % 24) for i in range(90)]
WORDS = (
    None,
    True,
    "",
    "\x00",
    "7",
    [],
    {},
    [[]],
    -1,
    0,
    1e308,
    -1e308,
    10**30,
    10**400,
    0.1,
    "a" * 5000,
    "\ud800",
    [None] * 200,
    {"a": {"b": {}}},
    "2026-13-40T99:99:99Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    2**31,
    2**63,
    2**64,
    float("nan"),
    float("inf"),
    "../../etc/passwd",
    "plain/1",
    "plain/",
    "/",
    "%00",
)
PATHS = (
    "/../../../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/v1/timeseries/forecast/",
    "//v1//timeseries",
    "/" + "a" * 9000,
    "/v1/timeseries/%00",
    "/v1/streams/plain/%00",
    "/v1/streams/%2e%2e/%2e%2e%2fetc",
    "/v1/streams/plain/a/drift/drift",
    "/v1/timeseries/models?" + "q=" * 4000,
    "/%ff%fe",
    "/v1/models/../../x",
    "/page.js/..",
    "/v1/timeseries/forecast;jsessionid=1",
    "/\\..\\..\\windows",
    "/?",
    "/#",
    "*",
    "http://elsewhere/",
)
RAW = (
    b"",
    b"\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\x00" * 300,
    b"POST /v1/anomalies HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
    b"POST /v1/anomalies HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n12345",
    b"POST /v1/anomalies HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"POST /v1/anomalies HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\nx: \x01\x02\r\n\r\n",
    b"GET / HTTP/1.1\r\n host: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
)
BODIES = (
    b"",
    b"{",
    b"[" * 60_000,
    b'{"a":' * 60_000,
    b"\xff\xfe",
    b"NaN",
    b"1" * 60_000,
    b'"' + b"\\u0000" * 9000 + b'"',
    b'{"model": "plain", "model": "x"}',
    b"[" + b"1," * 60_000 + b"1]",
    b"{}" * 9,
    b'"\\ud800"',
)


def sent(client: Client, count: int, seed: int) -> Counter[int]:
    """Send `count` hostile requests and return how often each status was answered; 0 is a closed connection."""
    rng, found = random.Random(seed), Counter[int]()
    netloc = urllib.parse.urlsplit(client.address).netloc
    connection = http.client.HTTPConnection(netloc, timeout=WAIT_S)
    for _ in range(count):
        kind = rng.choice(KINDS)
        try:
            found[kind(rng, connection)] += 1
        except (http.client.HTTPException, ConnectionError, BrokenPipeError):
            found[0] += 1
            connection.close()
    connection.close()
    return found


def _posted(connection: http.client.HTTPConnection, path: str, body: bytes, headers: dict[str, str]) -> int:
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def _mutated(rng: random.Random, connection: http.client.HTTPConnection) -> int:
    """Send a good request with one thing in it exchanged or taken out."""
    body: Any = series_body("plain", list(SERIES), quantiles=[0.1, 0.9])
    if rng.random() < 0.5:
        body = {"model": "plain", "series": list(SERIES), "frequency": "H", "start_timestamp": "2026-01-05T00:00:00Z"}
    path = rng.choice(POSTS)
    if path == PUSH:
        time = 1_767_571_200 + 3600 * rng.randrange(10_000)
        body = {"steps": [{"value": 210.5, "time": time + 3600 * i} for i in range(5)], "adapt": False, "restart": True}
    return _posted(connection, path, json.dumps(_changed(rng, body)).encode(), {})


def _mutated_rows(rng: random.Random, connection: http.client.HTTPConnection) -> int:
    """Do so with a request of TensorFlow Serving's protocol, in rows or in columns."""
    values, time = [[one] for one in SERIES[:73]], 1_767_571_200
    body: Any = {"inputs": {"values": [values, values], "time": [time, time]}, "signature_name": "serving_default"}
    if rng.random() < 0.5:
        body = {"instances": [{"values": values, "time": time}, {"values": list(values), "time": time}]}
    return _posted(connection, PREDICT, json.dumps(_changed(rng, json.loads(json.dumps(body)))).encode(), {})


def _changed(rng: random.Random, body: Any) -> Any:
    """Return `body` with one thing in it exchanged or taken out."""
    where = body
    while True:
        place = rng.choice([*where]) if isinstance(where, dict) else rng.randrange(len(where))
        below = where[place]
        if isinstance(below, dict | list) and below and rng.random() < 0.7:
            where = below
            continue
        if isinstance(where, dict) and rng.random() < 0.2:
            del where[place]
        else:
            where[place] = rng.choice(WORDS)
        return body


def _odd_body(rng: random.Random, connection: http.client.HTTPConnection) -> int:
    headers = rng.choice(({}, {"content-type": "text/xml"}, {"content-encoding": "gzip"}, {"x": "y" * 3000}))
    return _posted(connection, rng.choice(POSTS), rng.choice(BODIES), headers)


def _odd_bytes(rng: random.Random, connection: http.client.HTTPConnection) -> int:
    """Send a good body with some bytes exchanged."""
    body = bytearray(json.dumps(series_body("plain", SERIES)).encode())
    for _ in range(rng.randrange(1, 6)):
        body[rng.randrange(len(body))] = rng.randrange(256)
    return _posted(connection, POSTS[0], bytes(body), {})


def _odd_path(rng: random.Random, connection: http.client.HTTPConnection) -> int:
    connection.putrequest(rng.choice(METHODS), rng.choice(PATHS), skip_accept_encoding=True)
    connection.endheaders()
    answer = connection.getresponse()
    answer.read()
    return answer.status


def _raw(rng: random.Random, connection: http.client.HTTPConnection) -> int:
    """Send bytes that may be no HTTP, and wait for nothing but the start of an answer."""
    with socket.create_connection((connection.host, connection.port), timeout=WAIT_S) as found:
        found.sendall(rng.choice(RAW))
        found.shutdown(socket.SHUT_WR)
        head = found.recv(4096)
    return int(head[9:12]) if head.startswith(b"HTTP/1.") else 0


KINDS: tuple[Callable[[random.Random, http.client.HTTPConnection], int], ...] = (
    _mutated, _mutated, _mutated, _mutated_rows, _odd_body, _odd_bytes, _odd_path, _raw,
)  # fmt: skip
