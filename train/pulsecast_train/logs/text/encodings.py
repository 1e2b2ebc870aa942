"""Bytes of a text file to UTF-8 with line feeds, chunk by chunk: byte order marks, UTF-16, UTF-32, lone CR."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field

from pulsecast.errors import DataError

UTF8_MARK = codecs.BOM_UTF8
# mark -> encoding; UTF-32 first, because its mark begins with that of UTF-16
_WIDE = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_PAGES = (b"<!doctype", b"<html", b"<head", b"<body", b"<table", b"<?xml")


@dataclass(kw_only=True, eq=False)
class Utf8:
    """Turns the chunks of one file into UTF-8; the first chunk shows the encoding and the kind of line ends.

    `marks` is how many bytes of byte order marks were left out at the start.
    """

    name: str
    marks: int = 0
    _decoder: codecs.IncrementalDecoder | None = None
    _lone_returns: bool = False
    _started: bool = field(default=False)

    def turn(self, chunk: bytes, *, last: bool) -> bytes:
        """Return `chunk` in UTF-8; raises DataError if the file is empty, binary, or not in its marked encoding."""
        if not self._started:
            chunk = self._start(chunk)
        if self._decoder is not None:
            chunk = self._decoded(self._decoder, chunk, last=last)
        if not self._started:
            self._started = True
            chunk = self._without_marks(chunk)
            self._lone_returns = b"\n" not in chunk and b"\r" in chunk
            _refuse_other_formats(self.name, chunk)
        return chunk.replace(b"\r", b"\n") if self._lone_returns else chunk

    def _start(self, chunk: bytes) -> bytes:
        mark = next((mark for mark in _WIDE if chunk.startswith(mark)), None)
        if mark is not None:
            self._decoder = codecs.getincrementaldecoder(_WIDE[mark])("strict")
            return chunk[len(mark) :]
        return chunk

    def _decoded(self, decoder: codecs.IncrementalDecoder, chunk: bytes, *, last: bool) -> bytes:
        try:
            return decoder.decode(chunk, last).encode("utf-8")
        except UnicodeError as error:
            raise DataError(
                f"{self.name} begins as UTF-16 or UTF-32 text and has a broken character; save it as UTF-8"
            ) from error

    def _without_marks(self, chunk: bytes) -> bytes:
        while chunk.startswith(UTF8_MARK):
            chunk = chunk[len(UTF8_MARK) :]
            self.marks += len(UTF8_MARK)
        return chunk


def _refuse_other_formats(name: str, data: bytes) -> None:
    start = data.lstrip()[:4096].lower()
    if not start:
        raise DataError(f"{name} is empty")
    if b"\0" in data[:65536]:
        raise DataError(f"{name} is binary, not text; check its ending")
    if start.startswith(_PAGES):
        raise DataError(
            f"{name} is a web page or XML, not a table; a sign-in or error page may have been saved in its place: "
            "download the log again, as CSV or NDJSON"
        )
