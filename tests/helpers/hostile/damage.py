"""Seeded damage to bytes: flipped bits, cuts, splices, and words that decoders stumble over."""

from __future__ import annotations

import os
import random
import resource
import signal
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

NUMBERS = [value.to_bytes(size, "little") for value in (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF) for size in (2, 4, 8)]
FULL = [b"\xff" * size for size in (1, 2, 4, 8)]


def damaged(draw: random.Random, data: bytes, words: Sequence[bytes] = ()) -> bytes:
    """Return `data` with one to four changes; `words` are put in at random places."""
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        data = draw.choice(_CHANGES)(draw, data, [*words, *NUMBERS, *FULL])
    return data


def _flip(draw: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    if changed:
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _cut(draw: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return data[: draw.randrange(len(data) + 1)]


def _leave_out(draw: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start = draw.randrange(len(data) + 1)
    return data[:start] + data[start + draw.randrange(1, 40) :]


def _repeat(draw: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start = draw.randrange(len(data) + 1)
    piece = data[start : start + draw.randrange(1, 60)]
    return data[:start] + piece * draw.choice((2, 3, 50)) + data[start:]


def _put_in(draw: random.Random, data: bytes, words: Sequence[bytes]) -> bytes:
    start = draw.randrange(len(data) + 1)
    return data[:start] + draw.choice(words) + data[start:]


def _overwrite(draw: random.Random, data: bytes, words: Sequence[bytes]) -> bytes:
    start, word = draw.randrange(len(data) + 1), draw.choice(words)
    return data[:start] + word + data[start + len(word) :]


_CHANGES = (_flip, _flip, _cut, _leave_out, _repeat, _put_in, _overwrite, _overwrite)


def apart(work: Callable[[], str], *, seconds: int, memory_bytes: int) -> str:
    """Return what `work` returns in a forked process; or how it ended: a traceback's last lines, or a signal.

    A fork takes a millisecond where an interpreter takes half a second: thousands of cases are possible. It is not for
    polars, whose threads a fork leaves behind.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _work(work, writing, seconds, memory_bytes)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return f"signal {signal.Signals(os.WTERMSIG(status)).name}"
    return said


def _work(work: Callable[[], str], writing: int, seconds: int, memory_bytes: int) -> NoReturn:
    """Write what `work` returns, and end without what the test's process does at its end."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # a panic of Rust prints
    signal.alarm(seconds)
    try:
        said = work()
    except BaseException:
        said = f"traceback {traceback.format_exc()[-400:]}"
    os.write(writing, said.encode(errors="replace")[:4000])
    os._exit(0)
