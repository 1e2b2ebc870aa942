"""Keys that clients present: read once from a file that only its owner may read, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from pulsecast.errors import UsageError
from pulsecast.foundation.arguments import shown
from pulsecast.foundation.plain_file import read_plain

LEAST_CHARACTERS = 16
_FILE_BYTES = 1 << 20
_BEARER = b"bearer "
_HOW = "make one with: (umask 077; openssl rand -hex 32 > keys)"


class Keys:
    """The keys that are let in, as hashes."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._hashes = tuple(hashlib.sha256(key.encode()).digest() for key in keys)

    def admits(self, authorization: bytes) -> bool:
        """Return whether the value of a header `Authorization` is `Bearer` and one of the keys."""
        is_bearer = authorization[: len(_BEARER)].lower() == _BEARER
        return self.lets_in(authorization[len(_BEARER) :].strip() if is_bearer else b"")

    def lets_in(self, presented: bytes) -> bool:
        """Return whether `presented` is one of the keys; it takes as long whichever it is, and if it is none."""
        found, own = False, hashlib.sha256(presented).digest()
        for known in self._hashes:
            found |= hmac.compare_digest(own, known)
        return found


def read_keys(path: Path) -> Keys:
    """Return the keys in a file, one on each line; `#` begins a comment.

    Raises UsageError if the file cannot be read, can be read by other users, or holds no key or a short one.
    """
    name = shown(str(path))
    try:
        mode = path.stat().st_mode
        text = read_plain(path, _FILE_BYTES).decode("utf-8")
    except OSError as error:
        raise UsageError(f"the file of keys {name} {error.strerror}; {_HOW}") from None
    except UnicodeDecodeError:
        raise UsageError(f"the file of keys {name} is not text; {_HOW}") from None
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError(f"other users can read the file of keys {name}: chmod 600 {path}")
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    keys = [line for line in lines if line]
    if not keys:
        raise UsageError(f"the file of keys {name} holds no key; {_HOW}")
    if short := [number for number, line in enumerate(lines, 1) if line and len(line) < LEAST_CHARACTERS]:
        raise UsageError(f"the key in line {short[0]} of {name} is shorter than {LEAST_CHARACTERS} characters; {_HOW}")
    return Keys(keys)
