"""How a bundle is served: by which server, under which name and version, with which of its options."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pulsecast.foundation.arguments import invalid, require_types, shown
from pulsecast.plain_text import Problems

from .servers.table import SERVERS

NAME = "pulsecast"  # of the model on every server; the SavedModel's warm-up records say it too
_MODEL_NAME = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")  # Kubernetes takes no other, so no server gets another
_WHEEL = re.compile(r"pulsecast-[A-Za-z0-9_.+!-]{1,150}\.whl")
_LARGEST_VERSION = 10**18 - 1  # what every server reads: 18 digits
_IMAGE_MARKS, _ADDRESS_MARKS = "./:@_-", "./:@_-%+~"


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """How to serve. None is the server's own default; a value that the server has no use for is refused.

    server       a row of `SERVERS`
    name         of the model, in the address of requests
    version      number of the version directory; the server uses the largest
    keep         how many of the newest versions stay; None removes none
    threads      cores that the server may use
    wait_us      longest wait of a batch's first request for others; 0 never waits
    image        image of the server, or where it is built here the one it is built on
    storage_uri  where KServe gets `models/` from
    wheel        path of a wheel of pulsecast that the image installs; None: what pip finds
    """

    server: str = "tfserving"
    name: str = NAME
    version: int = 1
    keep: int | None = None
    threads: int = 2
    wait_us: int | None = None
    image: str | None = None
    storage_uri: str | None = None
    wheel: str | None = None

    def __post_init__(self) -> None:
        require_types(self)
        if problems := Problems((*self._wrong(), *self._useless())):
            raise invalid([str(problems)])

    def _wrong(self) -> Iterator[str]:
        if self.server not in SERVERS:
            yield f"server is {shown(self.server)}; expected one of {', '.join(SERVERS)}"
        for name, least in (("version", 1), ("threads", 1), ("keep", 1), ("wait_us", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                yield f"{name} is {shown(value)}; it must be at least {least}"
        if self.version > _LARGEST_VERSION:
            yield f"version is {shown(self.version)}; expected at most {_LARGEST_VERSION}"
        if not _MODEL_NAME.fullmatch(self.name):
            yield f"name is {shown(self.name)}; expected lower-case letters, digits and -, such as {NAME}"
        if self.image is not None and not _is_made_of(self.image, _IMAGE_MARKS):
            yield f"image {shown(self.image)} is not the name of an image"
        if self.storage_uri is not None and not (
            "://" in self.storage_uri and _is_made_of(self.storage_uri, _ADDRESS_MARKS)
        ):
            yield f"storage_uri is {shown(self.storage_uri)}; expected an address such as pvc://models/pulsecast"
        if self.wheel is not None and not _WHEEL.fullmatch(os.path.basename(self.wheel)):  # noqa: PTH119  # any text
            yield f"wheel is {shown(self.wheel)}; expected a file such as dist/pulsecast-0.2.0-py3-none-any.whl"

    def _useless(self) -> Iterator[str]:
        row = SERVERS.get(self.server)
        if row is None:
            return
        for name in ("wait_us", "image", "storage_uri", "wheel"):
            if getattr(self, name) is not None and name not in row.takes:
                takers = ", ".join(one for one, other in SERVERS.items() if name in other.takes)
                yield f"{name} is given, which {self.server} has no use for; it is for {takers}"
        if self.name != NAME and "name" not in row.takes:
            yield f"name is {shown(self.name)}; the warm-up records of a SavedModel are for {NAME}, so leave name out"


def _is_made_of(text: str, marks: str) -> bool:
    return bool(text) and all((c.isascii() and c.isalnum()) or c in marks for c in text)
