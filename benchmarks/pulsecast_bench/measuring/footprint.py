"""The distributions that a backend needs, their requirements, and the bytes of their files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from ..results.result import Package

# For each backend, besides numpy, which every one needs; of several names the installed ones count.
DISTRIBUTIONS = {
    "numpy": (),
    "native": (),
    "onnx": ("onnxruntime", "onnxruntime-gpu"),
    "tflite": ("ai-edge-litert",),
    "savedmodel": ("tensorflow",),
}
BASE = "numpy"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def closure(names: Iterable[str]) -> tuple[str, ...]:
    """Return the installed distributions among `names` and all that they require, without numpy, sorted.

    A requirement that only an extra asks for is not followed; one that is not installed is not needed here.
    """
    found: dict[str, Distribution] = {}
    pending = [_normal(name) for name in names]
    while pending:
        name = pending.pop()
        if name in found or name == BASE:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        pending += [required for text in found[name].requires or () if (required := _required(text))]
    return tuple(sorted(found))


def _required(text: str) -> str | None:
    """Return the name in a requirement, or None if it belongs to an extra.

    >>> _required("flatbuffers>=24.3"), _required('coverage; extra == "test"')
    ('flatbuffers', None)
    """
    requirement, _, marker = text.partition(";")
    name = _NAME.match(requirement.strip())
    return None if name is None or re.search(r"\bextra\b", marker) else _normal(name.group())


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def package(name: str) -> Package:
    """Return an installed distribution with the bytes of the existing files in its record."""
    found = distribution(name)
    sizes = []
    for file in found.files or ():
        try:
            sizes.append(file.locate().stat().st_size)  # type: ignore[attr-defined]  # a pathlib.Path in fact
        except OSError:
            continue
    return Package(name=name, version=found.version, size_bytes=sum(sizes) if sizes else None)


def packages(needs: Iterable[tuple[str, ...] | None]) -> tuple[Package, ...]:
    """Return numpy and every distribution in `needs`, each once."""
    names = sorted({name for one in needs for name in one or ()})
    return tuple(package(name) for name in dict.fromkeys([BASE, *names]))
