"""NATS over TLS. Its server says in plain text whether it speaks TLS, and the client of NATS takes a no for an answer.

Whoever stands between could say it, and would get the password, the numbers and the forecasts in plain text.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from pulsecast.errors import EngineError

from .engine import engine

SECURE = "tls"


class _Context(ssl.SSLContext):
    """Checks certificate and name by the system's authorities (SSL_CERT_FILE), and knows whether it was used."""

    used = False

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        self.used = True
        return super().wrap_bio(*arguments, **options)


def secured(url: str, fail: Callable[[EngineError], None]) -> dict[str, Any]:
    """Return the arguments of a NatsBroker for `url`, which sends nothing before it is secured if `url` asks for TLS.

    fail  called with the error before it is raised, in the client's own loop

    The client asks for the user when it is about to send its first line, which holds the password.
    """
    parts = urlsplit(url)
    if parts.scheme != SECURE:
        return {"servers": url}
    faststream = engine("faststream.nats", "nats")
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()

    def checked(text: str) -> Callable[[], str]:
        def give() -> str:
            if not context.used:
                error = EngineError("the nats broker does not speak TLS, which tls:// asks for; nothing was sent to it")
                fail(error)
                raise error
            context.used = False  # of this connection alone
            return text

        return give

    name, password = unquote(parts.username or ""), parts.password
    if name and password is None:
        security = faststream.NatsToken(checked(name), ssl_context=context)
    else:
        security = faststream.NatsUserPassword(checked(name), unquote(password or ""), ssl_context=context)
    place = parts.netloc.rpartition("@")[2]
    return {"servers": urlunsplit(parts._replace(netloc=place)), "security": security}
