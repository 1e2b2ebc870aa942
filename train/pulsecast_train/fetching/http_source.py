"""Records from an HTTP API that answers in pages of JSON, with retry; standard library only.

A page is one JSON document with a list of objects in it and, unless it is the last, the place of the next page:

    {"data": [{"created_at": "2025-01-06T00:00:07Z", "id": "17", "likes": 3}, ...], "meta": {"next_token": "b26v89c"}}

Here `records` is "data" and `following` "meta.next_token". The value there is sent back as a query parameter, or
requested as it is if it is an address of the same server. "." as `records` means that the document is the list itself.
"""

from __future__ import annotations

import http.client
import json
import random
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pulsecast import __version__
from pulsecast.errors import DataError, UsageError
from pulsecast.stages.progress import SILENT, Progress

from .retrying import Clock, GaveUpError, RetryPolicy, SystemClock, TransientError, retried, retry_after_s

TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
MAX_PAGE_BYTES = 64 << 20
_CHUNK = 1 << 16
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

    def page(self, cursor: str | None) -> Page:
        """Return the page at `cursor` (None: the first); raises DataError if it cannot be read."""
        ...


@dataclass(frozen=True, kw_only=True)
class HttpQuery:
    """The request, as the module's docstring describes it.

    token      sent as "Authorization: Bearer ..." to this server only, and never stored
    timeout_s  the longest silence of the server
    """

    url: str
    records: str = "data"
    following: str | None = None
    parameter: str = "cursor"
    token: str | None = field(default=None, repr=False)
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{self.url!r} is not an address to fetch from; expected https://... or http://...")
        if parts.username or parts.password:
            raise UsageError("the address holds a password; leave it out and use --token-env")
        if self.token and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise UsageError("a token over http can be read on the way; use an https address")
        if not self.timeout_s > 0:
            raise UsageError(f"timeout is {self.timeout_s}; expected more than 0 seconds")


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

    def page(self, cursor: str | None) -> Page:
        """Return the page at `cursor`; raises DataError if the server refuses, keeps failing or answers wrongly."""
        url = _address(self.query, cursor)
        place = urllib.parse.urlsplit(url).netloc
        try:
            document = retried(lambda: self._document(url), self.policy, self.clock, self.rng, self.progress)
        except GaveUpError as error:
            raise DataError(f"{place} {error}; run the same command again later; it continues from here") from error
        return _page(place, document, self.query)

    def _document(self, url: str) -> Any:
        """Return one page, decoded; raises TransientError for an error that another try may avoid."""
        headers = {"Accept": "application/json", "User-Agent": f"pulsecast/{__version__}"}
        if self.query.token:
            headers["Authorization"] = f"Bearer {self.query.token}"
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - HttpQuery allows http and https only
        try:
            with _OPENER.open(request, timeout=self.query.timeout_s) as response:
                body = _body(response)
        except urllib.error.HTTPError as error:
            with error:
                raise self._status_error(error) from error
        except http.client.IncompleteRead as error:
            raise TransientError("broke off in the middle of a page") from error
        except TimeoutError as error:
            raise TransientError(f"was silent for {self.query.timeout_s:g} s") from error
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise TransientError(f"was silent for {self.query.timeout_s:g} s") from error
            text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
            raise TransientError(f"cannot be reached ({text})") from error
        try:
            return json.loads(body, parse_constant=_refuse_constant)
        except _ConstantError as error:
            raise DataError(f"a page holds {error}, which is not a JSON number; ask the provider for null") from error
        except ValueError as error:  # a proxy's error page, or a truncated body without a length
            raise TransientError("answered with something that is not JSON") from error

    def _status_error(self, error: urllib.error.HTTPError) -> Exception:
        place = urllib.parse.urlsplit(self.query.url).netloc
        if error.code in TRANSIENT:
            wait = retry_after_s(error.headers.get("Retry-After"), self.clock.now_s())
            return TransientError(f"answered {error.code} {error.reason}", wait)
        if error.code in (401, 403):
            return DataError(f"{place} answered {error.code} {error.reason}; check the token that --token-env names")
        return DataError(f"{place} answered {error.code} {error.reason}; check the address")


class _SameServer(urllib.request.HTTPRedirectHandler):
    """Follows redirects within one server: a token must not reach another one."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if _origin(newurl) != _origin(req.full_url):
            elsewhere = urllib.parse.urlsplit(newurl).netloc
            raise DataError(f"{req.host} redirects to {elsewhere}; fetch from there if you trust it")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _ConstantError(Exception):
    """NaN or Infinity in JSON."""


_OPENER = urllib.request.build_opener(_SameServer)


def _refuse_constant(name: str) -> None:
    raise _ConstantError(name)


def _origin(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _address(query: HttpQuery, cursor: str | None) -> str:
    if cursor is None:
        return query.url
    if cursor.startswith(("http://", "https://", "/")):
        url = urllib.parse.urljoin(query.url, cursor)
        if _origin(url) != _origin(query.url):
            raise DataError(f"the next page is at {_origin(url)[1]}, another server; fetch from there if you trust it")
        return url
    parts = urllib.parse.urlsplit(query.url)
    kept = [pair for pair in urllib.parse.parse_qsl(parts.query, keep_blank_values=True) if pair[0] != query.parameter]
    return parts._replace(query=urllib.parse.urlencode([*kept, (query.parameter, cursor)])).geturl()


def _body(response: http.client.HTTPResponse) -> bytes:
    """Return the whole body; raises TransientError if it is shorter than announced, DataError if it is too long."""
    announced = response.headers.get("Content-Length", "")
    body = bytearray()
    while chunk := response.read(_CHUNK):
        body += chunk
        if len(body) > MAX_PAGE_BYTES:
            raise DataError(f"a page has more than {MAX_PAGE_BYTES >> 20} MB; ask for smaller pages")
    if announced.isdigit() and len(body) < int(announced):
        raise TransientError("broke off in the middle of a page")
    return bytes(body)


def _page(place: str, document: Any, query: HttpQuery) -> Page:
    found = document if query.records == "." else _at(document, query.records)
    if not isinstance(found, list):
        names = ", ".join(list(document)[:20]) if isinstance(document, dict) else type(document).__name__
        raise DataError(f"{place} answers without a list at {query.records!r}; choose --records from {names}")
    for index, record in enumerate(found):
        if not isinstance(record, dict):
            raise DataError(
                f"{place} has {json.dumps(record)[:40]} as record {index} of a page; expected objects, choose --records"
            )
    cursor = None if query.following is None else _at(document, query.following)
    if isinstance(cursor, int | float) and not isinstance(cursor, bool):
        cursor = str(cursor)
    if cursor is not None and not isinstance(cursor, str):
        raise DataError(f"{place} has {json.dumps(cursor)[:40]} at {query.following!r}; expected text, choose --next")
    return Page(records=tuple(found), cursor=cursor or None)


def _at(document: Any, path: str) -> Any:
    """Return the value at a dotted path, or None."""
    for name in path.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document
