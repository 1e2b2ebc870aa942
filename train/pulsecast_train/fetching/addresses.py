"""Addresses to fetch from: which can be requested, the one of the next page, and redirects within one server.

No message holds an address: it may carry a password or a token in its query.
"""

from __future__ import annotations

import re
import urllib.parse

from pulsecast.errors import DataError

from .limits import CURSOR_CHARACTERS

_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")  # a name, or an IP address without its brackets


def flaw(url: str) -> str | None:
    """Return what is wrong with an address, as the end of a sentence that begins with "it"; None if nothing is.

    >>> flaw("https://api.example:99999/posts")
    'has a port that is not a number up to 65535'
    """
    if not (url.isascii() and url.isprintable()) or " " in url:
        return "holds a space, a control character or a letter outside ASCII; write those as %20 and the like"
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return "has brackets that are not those of an IPv6 address"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "is not an address to fetch from; expected https://... or http://..."
    if "@" in parts.netloc:
        return "holds a password or a user; leave it out and use --token-env"
    if not _HOST.fullmatch(parts.hostname) or not _is_name(parts.hostname):
        return "has a host that is not a name or an IP address"
    try:
        port = parts.port
    except ValueError:
        port = 0
    return "has a port that is not a number up to 65535" if port == 0 else None


def _is_name(host: str) -> bool:
    return ":" in host or all(0 < len(label) < 64 for label in host.removesuffix(".").split("."))


def host(url: str) -> str:
    """Return the host and port of an address without a flaw, for a message."""
    return urllib.parse.urlsplit(url).netloc


def same_server(url: str, other: str) -> bool:
    """Whether two addresses without a flaw have the same scheme, host and port."""
    first, second = (urllib.parse.urlsplit(one) for one in (url, other))
    return (first.scheme, first.netloc.lower()) == (second.scheme, second.netloc.lower())


def next_address(url: str, parameter: str, cursor: str | None) -> str:
    """Return the address of the page at `cursor`: `url` with it as a query parameter, or the address that it is.

    Raises DataError if it is the address of another server, or none.

    >>> next_address("https://api.example/posts?limit=5", "after", "c1")
    'https://api.example/posts?limit=5&after=c1'
    """
    if cursor is None:
        return url
    if len(cursor) > CURSOR_CHARACTERS:
        raise DataError(f"{host(url)} gives a cursor of {len(cursor):,} characters; at most {CURSOR_CHARACTERS:,} work")
    parts = urllib.parse.urlsplit(url)
    if not cursor.startswith(("http://", "https://", "/")):
        kept = [pair for pair in urllib.parse.parse_qsl(parts.query, keep_blank_values=True) if pair[0] != parameter]
        try:
            return parts._replace(query=urllib.parse.urlencode([*kept, (parameter, cursor)])).geturl()
        except UnicodeEncodeError:
            problem = "is not text that can be sent back"
    else:
        try:
            following = urllib.parse.urljoin(url, cursor)
        except ValueError:
            following = cursor
        problem = flaw(following) or ""
        if not problem and same_server(following, url):
            return following
        if not problem:
            elsewhere = host(following)
            raise DataError(f"the next page is at {elsewhere}, another server; fetch from there if you trust it")
    raise DataError(f"{host(url)} gives a next page whose address {problem}; choose another --next")
