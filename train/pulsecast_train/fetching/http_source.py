"""Records from an HTTP API that answers in pages of JSON, with retry; standard library only.

A page is one JSON document with a list of objects in it and, unless it is the last, the place of the next page:

    {"data": [{"created_at": "2025-01-06T00:00:07Z", "id": "17", "likes": 3}, ...], "meta": {"next_token": "b26v89c"}}

Here `records` is "data" and `following` "meta.next_token". The value there is sent back as a query parameter, or
requested as it is if it is an address of the same server. "." as `records` means that the document is the list itself.
"""

from __future__ import annotations

import http.client
import json
import math
import random
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pulsecast import __version__
from pulsecast.errors import DataError, UsageError
from pulsecast.stages.progress import SILENT, Progress

from . import addresses
from .bounded_http import answer
from .limits import LONGEST_SILENCE_S, PAGE_VALUES, positive_seconds
from .retrying import Clock, GaveUpError, RetryPolicy, SystemClock, TransientError, retried, retry_after_s

TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some records, and the cursor of the next page; None after the last one."""

    records: tuple[Mapping[str, Any], ...]
    cursor: str | None


class RecordSource(Protocol):
    """Any source of records, page by page."""

    @property
    def identity(self) -> str:
        """Text that is the same for the same request, without a secret; a kept cursor belongs to it."""
        ...

    def page(self, cursor: str | None, left_s: float) -> Page:
        """Return the page at `cursor` (None: the first); it must not wait beyond the next `left_s` seconds.

        Raises DataError if it cannot be read.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class HttpQuery:
    """The request, as the module's docstring describes it.

    token      sent as "Authorization: Bearer ..." to this server only, and never stored or shown
    timeout_s  the longest silence of the server; a page must be whole within ten times this

    Raises UsageError, which does not show the address or the token.
    """

    url: str = field(repr=False)
    records: str = "data"
    following: str | None = None
    parameter: str = "cursor"
    token: str | None = field(default=None, repr=False)
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        problem = addresses.flaw(self.url)
        if problem:
            raise UsageError(f"the address {problem}")
        if self.token is not None and not _can_be_sent(self.token):
            raise UsageError(
                "the token is empty, or holds a line break, a space or a letter outside ASCII; copy it again"
            )
        host = addresses.host(self.url)
        if self.token and self.url.startswith("http:") and _without_port(host) not in _LOOPBACK:
            raise UsageError("a token over http can be read on the way; use an https address")
        if not _is_text(self.parameter):
            raise UsageError(f"the query parameter is {ascii(self.parameter)[:60]}; expected text")
        positive_seconds("timeout", self.timeout_s, most=LONGEST_SILENCE_S)


def _can_be_sent(token: str) -> bool:
    return bool(token) and token.isascii() and token.isprintable() and " " not in token


def _without_port(host: str) -> str:
    return host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0].lower()


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, kw_only=True)
class HttpSource:
    """A `RecordSource` of an HTTP API; `progress` receives why it waits and for how many seconds."""

    query: HttpQuery
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    clock: Clock = field(default_factory=SystemClock)
    rng: random.Random = field(default_factory=random.Random)
    progress: Progress = SILENT

    @property
    def identity(self) -> str:
        """The request without its token."""
        query = self.query
        return json.dumps([query.url, query.records, query.following, query.parameter])

    def page(self, cursor: str | None, left_s: float) -> Page:
        """Return the page at `cursor`; raises DataError if the server refuses, keeps failing or answers wrongly."""
        url = addresses.next_address(self.query.url, self.query.parameter, cursor)
        failure = ""
        try:
            stop_s = self.clock.now_s() + left_s
            body = retried(lambda: self._body(url, stop_s), self.policy, self.clock, self.rng, self.progress, stop_s)
        except GaveUpError as error:
            failure = f"{addresses.host(url)} {error}; run the same command again later; it continues from here"
        if failure:
            raise DataError(failure)
        page = _page(body, self.query)
        addresses.next_address(self.query.url, self.query.parameter, page.cursor)  # refused before it is kept
        return page

    def _body(self, url: str, stop_s: float) -> Any:
        """Return one page, decoded; raises TransientError for an error that another try may avoid.

        What the standard library raised is not chained: it may hold headers, and with them the token.
        """
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"pulsecast/{__version__}",
        }
        if self.query.token:
            headers["Authorization"] = f"Bearer {self.query.token}"
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - HttpQuery allows http and https only
        silence_s = max(min(self.query.timeout_s, stop_s - self.clock.now_s()), 0.001)
        try:
            return _decoded(answer(request, silence_s))
        except (DataError, TransientError):
            raise
        except Exception as error:  # http.client and proxies raise what a server makes of them, ValueError included
            failure = self._failure(error)
        raise failure

    def _failure(self, error: Exception) -> Exception:
        """Return our error for one of the standard library's; no text that a server wrote is in it."""
        if isinstance(error, urllib.error.HTTPError):
            with error:
                return self._status_error(error)
        if isinstance(error, http.client.InvalidURL):  # a proxy's: our own address has been checked
            return DataError("the proxy in the environment has an address that cannot be used; correct it")
        return TransientError(_why(getattr(error, "reason", error), self.query.timeout_s))

    def _status_error(self, error: urllib.error.HTTPError) -> Exception:
        place = addresses.host(self.query.url)
        said = f"answered {error.code} {http.client.responses.get(error.code, '')}".rstrip()
        if error.code in TRANSIENT:
            wait = retry_after_s(error.headers.get("Retry-After"), self.clock.now_s())
            return TransientError(said, wait)
        if error.code in (401, 403):
            return DataError(f"{place} {said}; check the token that --token-env names")
        if 300 <= error.code < 400:
            return DataError(f"{place} {said} and leads in a circle or nowhere; check the address")
        return DataError(f"{place} {said}; check the address")


def _why(reason: object, silence_s: float) -> str:
    """Return why there is no answer, as the end of a sentence that begins with the server's name."""
    if isinstance(reason, OSError) and not isinstance(reason, TimeoutError | http.client.HTTPException):
        detail = reason.verify_message if isinstance(reason, ssl.SSLCertVerificationError) else reason.strerror
        return f"cannot be reached ({detail or type(reason).__name__})"
    words = {
        TimeoutError: f"was silent for {silence_s:g} s",
        http.client.IncompleteRead: "broke off in the middle of a page",
        http.client.RemoteDisconnected: "hung up without an answer",
    }
    return next(
        (said for kind, said in words.items() if isinstance(reason, kind)), "answered against the rules of HTTP"
    )


class _NotANumberError(Exception):
    """A number in JSON that is not finite, or too long."""


def _decoded(body: bytes) -> Any:
    if body.count(b",") + body.count(b"[") + body.count(b"{") > PAGE_VALUES:
        raise DataError(f"a page has more than {PAGE_VALUES:,} values; ask for smaller pages")
    try:
        return json.loads(body, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_whole)
    except _NotANumberError as error:
        raise DataError(f"a page holds {error}, which is not a JSON number; ask the provider for null") from error
    except RecursionError as error:
        raise DataError("a page is nested too deeply; choose another address") from error
    except ValueError as error:  # a proxy's error page, or a truncated body without a length
        raise TransientError("answered with something that is not JSON") from error


def _refuse_constant(name: str) -> None:
    raise _NotANumberError(name)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _NotANumberError(f"{text[:40]} (beyond a 64-bit float)")
    return number


def _whole(text: str) -> int:
    if len(text) > 400:  # no 64-bit float is longer; Python refuses over 4,300 digits
        raise _NotANumberError(f"a number of {len(text):,} digits")
    return int(text)


def _page(document: Any, query: HttpQuery) -> Page:
    place = addresses.host(query.url)
    found = document if query.records == "." else _at(document, query.records)
    if not isinstance(found, list):
        names = [_shown(name, query) for name in list(document)[:20]] if isinstance(document, dict) else []
        listed = ", ".join(name.strip('"') for name in names) or type(document).__name__
        raise DataError(f"{place} answers without a list at {query.records!r}; choose --records from {listed}")
    for index, record in enumerate(found):
        if not isinstance(record, dict):
            shown = _shown(record, query)
            raise DataError(f"{place} has {shown} as record {index} of a page; expected objects, choose --records")
    cursor = None if query.following is None else _at(document, query.following)
    if isinstance(cursor, int | float) and not isinstance(cursor, bool):
        cursor = str(cursor)
    if cursor is not None and not isinstance(cursor, str):
        shown = _shown(cursor, query)
        raise DataError(f"{place} has {shown} at {query.following!r}; expected text, choose --next")
    return Page(records=tuple(found), cursor=cursor or None)


def _shown(value: Any, query: HttpQuery) -> str:
    """Return up to 40 characters of a server's value for a message: escaped, and without the token."""
    if isinstance(value, dict | list):
        brackets = "{}" if isinstance(value, dict) else "[]"
        return f"{brackets[0]}...{brackets[1]}" if value else brackets
    if isinstance(value, str) and query.token and query.token in value:
        return "(the token)"
    return json.dumps(value[:40] if isinstance(value, str) else value)[:40]


def _at(document: Any, path: str) -> Any:
    """Return the value at a dotted path, or None."""
    for name in path.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document
