"""Fresh environments without a download: a new venv whose packages are links to the ones that run the tests.

Only the named packages and their requirements are linked: any other import fails, as on a machine without other
packages.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement


def environment(folder: Path, *requirements: str) -> Path:
    """Return the Python of a new environment at `folder` with `requirements` and their requirements."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = next((folder / "lib").iterdir()) / "site-packages"
    for name in closure(requirements):
        _link(name, packages)
    return folder / "bin" / "python"


def required(requirements: Iterable[str], *extras: str) -> list[str]:
    """Return the names that a distribution's `requirements` ask for with `extras`, those of its own extras included."""
    found: dict[str, None] = {}
    parsed, pending, seen = [Requirement(text) for text in requirements], ["", *extras], {"", *extras}
    while pending:
        extra = pending.pop()
        for one in parsed:
            if one.marker is not None and not one.marker.evaluate({"extra": extra}):
                continue
            if one.name == "pulsecast":
                pending += one.extras - seen
                seen |= one.extras
            else:
                found[one.name] = None
    return list(found)


def closure(requirements: Iterable[str]) -> list[str]:
    """Return the names of the distributions that `requirements` need here, without markers and versions."""
    found: dict[str, None] = {}
    pending = [(Requirement(text), "") for text in requirements]
    while pending:
        requirement, extra = pending.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = requirement.name.lower().replace("_", "-")
        wanted = f"{name}[{','.join(sorted(requirement.extras))}]"
        if wanted in found:
            continue
        found[wanted] = None
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError as error:
            message = f"{name} is required and not installed"
            raise AssertionError(message) from error
        pending += [(Requirement(text), one) for text in needs for one in requirement.extras or {""}]
    return sorted({wanted.partition("[")[0] for wanted in found})


def _link(name: str, packages: Path) -> None:
    installed = distribution(name)
    for top in {file.parts[0] for file in installed.files or ()} - {"..", "__pycache__"}:
        if not (packages / top).exists():
            (packages / top).symlink_to(Path(str(installed.locate_file(top))))
