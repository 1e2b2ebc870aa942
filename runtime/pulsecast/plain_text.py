"""Text for people that may hold a stranger's words: nothing that moves a cursor, no secret key, and not without end."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .limits import MESSAGE_BYTES, PROBLEMS

_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]*-----.*?(?:-----END [A-Z0-9 ]*-----|\Z)", re.DOTALL)
_FIRST_BYTES, _LAST_BYTES = 1400, 500  # what stays of a message that is too long
# what OpenSSL says of certificates and keys -> the same in words
_TLS_REASONS = {
    "KEY_VALUES_MISMATCH": "the key belongs to another certificate",
    "NO_CERTIFICATE_OR_CRL_FOUND": "the file of authorities holds no certificate",
    "PEM lib": "a file is damaged, or holds something else",
}
_OF_OPENSSL = re.compile(r"^\[[^\]]*\] | \(_ssl\.c:\d+\)$")


def printable(text: str) -> str:
    """Return `text` with everything escaped that could act on a terminal: control characters, line ends, bidi marks.

    >>> printable("a\\x1b[2Jb" + chr(0x202E))
    'a\\\\x1b[2Jb\\\\u202e'
    """
    if text.isprintable():
        return text
    import unicodedata

    return "".join(
        character
        if character.isprintable() or unicodedata.category(character) == "Zs"  # a no-break or an ideographic space
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def printable_lines(text: str) -> str:
    """Return `text` as `printable` does, with its line ends."""
    return "\n".join(map(printable, text.split("\n")))


def message(text: str) -> str:
    """Return `text` as an error may say it: printable, without a key in PEM form, at most MESSAGE_BYTES of UTF-8.

    The middle of a longer one is left out, and the message says how much.
    """
    shown = printable(_PEM.sub("(PEM text left out)", text))
    data = shown.encode("utf-8")
    if len(data) <= MESSAGE_BYTES:
        return shown
    first = data[:_FIRST_BYTES].decode("utf-8", "ignore")
    last = data[-_LAST_BYTES:].decode("utf-8", "ignore")
    return f"{first} ... ({len(shown) - len(first) - len(last):,} characters left out) ... {last}"


def tls_reason(error: OSError | ValueError) -> str:
    """Return in words why certificates or keys cannot be used; `error` is what `ssl` raised as it read them.

    >>> tls_reason(OSError(None, "[SSL] PEM lib (_ssl.c:3926)"))
    'a file is damaged, or holds something else'
    """
    text = _OF_OPENSSL.sub("", getattr(error, "strerror", None) or str(error) or type(error).__name__)
    return _TLS_REASONS.get(getattr(error, "reason", None) or text, text)


class Problems:
    """What is wrong with an input: the first PROBLEMS in words, the others as a number.

    >>> str(Problems(f"line {i} is bad" for i in range(22)))[-42:]
    'line 18 is bad; line 19 is bad; and 2 more'
    """

    def __init__(self, found: Iterable[str] = ()) -> None:
        self._shown: list[str] = []
        self._count = 0
        self.extend(found)

    def append(self, problem: str) -> None:
        """Count `problem`, and keep its words if it is one of the first."""
        self._count += 1
        if self._count <= PROBLEMS:
            self._shown.append(problem)

    def extend(self, found: Iterable[str]) -> None:
        """Append every problem of `found`."""
        for problem in found:
            self.append(problem)

    def __len__(self) -> int:
        return self._count

    def __str__(self) -> str:
        more = self._count - len(self._shown)
        return "; ".join([*self._shown, *([f"and {more:,} more"] if more else [])])


def listed(problems: Iterable[str]) -> str:
    """Return `problems` as one sentence: the first PROBLEMS in words, the others as a number.

    >>> listed(["a is missing", "b is missing"])
    'a is missing; b is missing'
    """
    return str(Problems(problems))
