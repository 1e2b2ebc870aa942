"""Lists what `pulsecast[all]` brings, with versions and licences: `python .ci/dependencies.py > DEPENDENCIES.md`.

Which packages there are, and their licences, is read from what is installed; versions are those of constraints.txt.
A licence that its package states as a text, or not at all, stands in STATED, from the licence file of that package.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
OWN = "pulsecast"
# names that classifiers and old fields have, as SPDX says them
SPDX = {
    "Apache Software License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache License Version 2.0": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache-2.0 license": "Apache-2.0",
    "MIT License": "MIT",
    "The MIT License (MIT)": "MIT",
    "BSD License": "BSD",  # with two or three clauses: the package's file says which
    "BSD": "BSD",
    "BSD 3-Clause": "BSD-3-Clause",
    "BSD 3-Clause License": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "Python Software Foundation License": "PSF-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "ISC License (ISCL)": "ISC",
}
STATED = {"python-dateutil": "Apache-2.0 OR BSD-3-Clause", "namex": "Apache-2.0"}
LONGEST = 60  # characters of a licence's name; a longer one is its text


HEAD = """# What pulsecast depends on

`pip install pulsecast` brings numpy and nothing else. This is what `pulsecast[all]` brings, at the versions of
`constraints.txt`, on Linux. `python .ci/dependencies.py` writes it, and a test compares it with what is installed.

| package | version | licence |
|---|---|---|
"""


def listed() -> str:
    """Return the list as Markdown."""
    pins = pinned()
    rows = (f"| {name} | {pins.get(name, 'not pinned')} | {licence(name)} |\n" for name in sorted(dependencies()))
    return HEAD + "".join(rows)


def pinned() -> dict[str, str]:
    """Return the versions of constraints.txt by canonical name."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pairs = (line.split(";")[0].strip().split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def dependencies() -> set[str]:
    """Return the canonical names of all that `pulsecast[all]` brings here."""
    found: set[str] = set()
    waiting = [Requirement(f"{OWN}[all]")]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if (name, frozenset(one.extras)) in seen:
            continue
        seen.add((name, frozenset(one.extras)))
        if name != OWN:
            found.add(name)
        waiting += _needed(name, one.extras)
    return found


def _needed(name: str, extras: set[str]) -> Iterator[Requirement]:
    """Yield what a package needs here with these extras."""
    for text in _own(extras) if name == OWN else requires(name) or ():
        one = Requirement(text)
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield one


def _own(extras: set[str]) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]


def licence(name: str) -> str:
    """Return the licence of an installed package; raises LookupError if it states none and STATED has none."""
    if name in STATED:
        return STATED[name]
    read = metadata(name)
    if expression := read.get("License-Expression"):
        return str(expression)
    field = (read.get("License") or "").strip()
    if field in SPDX or field in SPDX.values():
        return SPDX.get(field, field)
    classified = [one.rpartition(" :: ")[2] for one in read.get_all("Classifier") or () if one.startswith("License ::")]
    if exact := [SPDX.get(one, one) for one in classified if one != "OSI Approved"]:
        return " AND ".join(dict.fromkeys(exact))
    if not field or field == "UNKNOWN" or len(field) > LONGEST or "\n" in field:
        raise LookupError(f"{name} states no licence by name; add it to STATED of .ci/dependencies.py")
    return field


if __name__ == "__main__":
    try:
        sys.stdout.write(listed())
    except PackageNotFoundError as error:
        sys.exit(f"{error.name} is not installed; install .[all] at the versions of constraints.txt")
