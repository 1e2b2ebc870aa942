"""Arguments that no function expects: of a wrong type, without end, with a secret, or failing when they are used."""

from __future__ import annotations

import datetime
import math
import os
import types
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

SECRET = "MC4CAQAwBQYDK2VwBCIEIHVuc2FpZCB3b3JkcyB0aGF0IG5vYm9keSByZWFkcyEh"  # noqa: S105  # the body of no real key
PEM = f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n"
TEXTS = {
    "empty text": "",
    "a zero byte": "a\0b",
    "escapes": "\x1b[2J\x07\r\n\u202eabc\u2066\u200b",
    "a lone surrogate": "\ud800",
    "a private key": PEM,
    "long text": "x" * 1_000_000,
    "a long path": "/".join(["y" * 200] * 100),
    "a number in words": "9" * 5000,
    "braces": "{0.__class__} %s %n",
}


def _fail(*_: object, **__: object) -> NoReturn:
    raise RuntimeError(f"a method of the argument failed: {PEM}")


_METHODS = [
    "str",
    "repr",
    "index",
    "fspath",
    "len",
    "iter",
    "getitem",
    "contains",
    "bool",
    "float",
    "int",
    "hash",
    "eq",
    "lt",
    "array",
    "bytes",
    "format",
]
Rude: Any = type("Rude", (), {f"__{name}__": _fail for name in _METHODS})
Liar: Any = type(
    "Liar",
    (),
    {
        "__repr__": lambda self: b"bytes",
        "__str__": lambda self: 3,
        "__index__": lambda self: "1",
        "__fspath__": lambda self: 7,
        "__len__": lambda self: -1,
        "__iter__": lambda self: 5,
        "__float__": lambda self: "nan",
        "__array__": lambda self, *_, **__: "array",
        "__bool__": lambda self: 2,
    },
)
Talker: Any = type(
    "Talker", (), {"__repr__": lambda self: PEM + "z" * 3_000_000, "__str__": lambda self: "\x1b" * 9999}
)
RudeText: Any = type("RudeText", (str,), {"__str__": _fail, "__repr__": _fail, "__fspath__": _fail})
RudePath: Any = type("RudePath", (os.PathLike,), {"__fspath__": _fail, "__repr__": _fail})
BytesPath: Any = type("BytesPath", (os.PathLike,), {"__fspath__": lambda self: b"/tmp/\xff"})
Endless: Any = type("Endless", (), {"__getitem__": lambda self, i: 1.0, "__len__": lambda self: 2**62})


def _itself() -> list[object]:
    found: list[object] = []
    found.append(found)
    return found


def _objects() -> Any:
    found = np.empty(2, object)
    found[0] = Rude()
    return found


def _masked() -> Any:
    return np.ma.masked_array(np.ones((1, 24, 1)), mask=True)


def _closed(folder: Path) -> Any:
    file = (folder / "closed").open("w")
    file.close()
    return file


def _pipe(folder: Path) -> Path:
    path = folder / "pipe"
    if not path.exists():
        os.mkfifo(path)
    return path


def _folder(folder: Path) -> Path:
    (folder / "a folder").mkdir(exist_ok=True)
    return folder / "a folder"


Make = Callable[[Path], Any]
_OSLO = zoneinfo.ZoneInfo("Europe/Oslo")
VALUES: dict[str, Make] = {
    **{name: lambda folder, text=text: text for name, text in TEXTS.items()},
    "None": lambda folder: None,
    "true": lambda folder: True,
    "zero": lambda folder: 0,
    "a negative number": lambda folder: -3,
    "a huge number": lambda folder: 10**400,
    "a number that is too long to print": lambda folder: 10**5000,
    "64 bits": lambda folder: 2**63,
    "a fraction": lambda folder: 1.5,
    "not a number": lambda folder: math.nan,
    "infinity": lambda folder: -math.inf,
    "a complex number": lambda folder: 1j,
    "bytes": lambda folder: b"\xff\0\x1b" * 9,
    "a private key's bytes": lambda folder: PEM.encode(),
    "a view": lambda folder: memoryview(bytearray(12)),
    "an empty list": lambda folder: [],
    "a list of lists": lambda folder: [[], [1], "a"],
    "a list that holds itself": lambda folder: _itself(),
    "a list of secrets": lambda folder: [PEM] * 3,
    "a long list": lambda folder: ["a"] * 2000,
    "a tuple of None": lambda folder: (None,),
    "a mapping": lambda folder: {1: {"a": PEM}},
    "a set": lambda folder: {"a", "b"},
    "a generator": lambda folder: (i for i in range(3)),
    "an endless range": lambda folder: range(10**12),
    "an object": lambda folder: object(),
    "an object that fails": lambda folder: Rude(),
    "an object that lies": lambda folder: Liar(),
    "an object that talks": lambda folder: Talker(),
    "an object without end": lambda folder: Endless(),
    "text that fails": lambda folder: RudeText("name"),
    "a path that fails": lambda folder: RudePath(),
    "a path of bytes": lambda folder: BytesPath(),
    "a class": lambda folder: dict,
    "a function": lambda folder: lambda: None,
    "a module": lambda folder: types,
    "an exception": lambda folder: ValueError(PEM),
    "an array of objects": lambda folder: _objects(),
    "a masked array": lambda folder: _masked(),
    "a complex array": lambda folder: np.ones((1, 24, 1), complex),
    "a structured array": lambda folder: np.zeros(3, [("a", "f4"), ("b", "U3")]),
    "an empty array": lambda folder: np.empty((0, 24, 1), np.float32),
    "an array of text": lambda folder: np.array([[PEM]]),
    "an array of many dimensions": lambda folder: np.ones((1,) * 20),
    "a scalar of numpy": lambda folder: np.float16(math.inf),
    "no time": lambda folder: np.datetime64("NaT"),
    "a time with a zone": lambda folder: datetime.datetime(2025, 10, 26, 2, 30, tzinfo=_OSLO, fold=1),
    "times with a zone": lambda folder: [datetime.datetime.max.replace(tzinfo=_OSLO)] * 24,
    "a date": lambda folder: datetime.date.min,
    "a time span": lambda folder: datetime.timedelta(days=-1),
    "a folder": _folder,
    "a pipe": _pipe,
    "a device without end": lambda folder: Path("/dev/zero"),
    "a closed file": _closed,
}
