"""Where a server is, and how a caller proves that it may ask."""

from __future__ import annotations

import re
import ssl
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from pulsecast.errors import UsageError
from pulsecast.foundation.arguments import require_types, shown
from pulsecast.foundation.plain_file import read_plain
from pulsecast.plain_text import tls_reason

_SCHEMES = {"http": False, "https": True, "grpc": False, "grpcs": True}  # scheme -> TLS
_KEY = re.compile(r"[\x21-\x7e]{1,4096}")
_KEY_BYTES = 64 << 10


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server that is measured beside the bundle; nothing of this is written into the result.

    url    scheme, host and port, as in http://127.0.0.1:8080; grpc:// or grpcs:// for a protocol over gRPC
    key    file with the key that the server asks for, on its first line
    model  what the server calls the bundle, NAME or NAME/VERSION; None is the bundle's own name
    ca     PEM file of the authority that signed the server's certificate; None trusts those of this machine
    certificate, certificate_key  PEM files, for a server that asks for a client's certificate; both, or neither
    """

    url: str
    key: str | None = None
    model: str | None = None
    ca: str | None = None
    certificate: str | None = None
    certificate_key: str | None = None

    def __post_init__(self) -> None:
        require_types(self)
        if problem := _problem(self.url):
            raise UsageError(f"url is {shown(self.url)}: {problem}; expected one such as http://127.0.0.1:8080")
        files = [file for file in (self.ca, self.certificate, self.certificate_key) if file is not None]
        if files and not self.tls:
            raise UsageError(
                f"url is {shown(self.url)}, which is not encrypted; certificates need https:// or grpcs://"
            )
        if (self.certificate is None) != (self.certificate_key is None):
            raise UsageError("a client's certificate and its key go together: pass both, or neither")

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return _SCHEMES[urllib.parse.urlsplit(self.url).scheme]

    @property
    def host(self) -> str:
        """The name or number of the machine."""
        return urllib.parse.urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port; 80, or 443 with TLS, where the address has none."""
        return urllib.parse.urlsplit(self.url).port or (443 if self.tls else 80)

    @property
    def prefix(self) -> str:
        """What stands before every path, "" or such as "/models"."""
        return urllib.parse.urlsplit(self.url).path.rstrip("/")


def tls_context(server: Server) -> ssl.SSLContext:
    """Return how a connection is encrypted; raises UsageError if a file of certificates cannot be used."""
    try:
        context = ssl.create_default_context(cafile=server.ca)
        if server.certificate is not None:
            context.load_cert_chain(server.certificate, server.certificate_key, password=lambda: b"")
    except (OSError, ValueError) as error:  # SSLError is an OSError
        files = [file for file in (server.ca, server.certificate, server.certificate_key) if file is not None]
        raise UsageError(
            f"the certificates {', '.join(map(shown, files))} cannot be used: {tls_reason(error)}; expected PEM "
            "files, the key without a password"
        ) from None
    return context


def authorization(server: Server) -> str | None:
    """Return the value of the header that presents the key; raises UsageError if its file holds none."""
    if server.key is None:
        return None
    name = shown(server.key)
    try:
        lines = read_plain(Path(server.key), _KEY_BYTES).decode("utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"the key file {name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"the key file {name} is not text; expected a key on its first line") from None
    key = lines[0].partition("#")[0].strip() if lines else ""
    if not _KEY.fullmatch(key):
        raise UsageError(f"the key file {name} has no key on its first line; expected letters, digits and signs")
    return f"Bearer {key}"


def _problem(url: str) -> str | None:
    """Return what keeps a text from being the address of a server."""
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError:
        return "it is not an address"
    if parts.scheme not in _SCHEMES:
        return f"it begins with none of {', '.join(f'{name}://' for name in _SCHEMES)}"
    if not parts.hostname or port == 0 or not re.fullmatch(r"[\x21-\x7e]+", url):
        return "it names no host"
    if parts.username is not None or parts.password is not None:
        return "it holds a user or a password, which reports must not see: pass the key as a file"
    if parts.query or parts.fragment:
        return "it goes on after the path"
    return None
