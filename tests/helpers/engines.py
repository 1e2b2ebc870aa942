"""A missing package or tool is a skip on a laptop and a failure in CI, which must have all of them."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import pytest

TRAIN = ("tensorflow", "keras", "sklearn", "polars")
EXPORT = ("tensorflow", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert", "ai_edge_quantizer", "flatbuffers")


def require(*packages: str) -> None:
    """Skip what calls this (a test, a fixture or a whole module) unless `packages` are installed; in CI fail it."""
    missing = [package for package in packages if not is_installed(package)]
    if missing:
        lacking(f"{', '.join(missing)} not installed")


def is_installed(package: str) -> bool:
    """Return whether `package` can be imported."""
    return importlib.util.find_spec(package) is not None


def folders_of(package: str) -> list[str]:
    """Return where the modules of a package lie, without running its `__init__`; it must be installed."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    return list(spec.submodule_search_locations or ())


def require_tools(*names: str) -> None:
    """Skip what calls this unless the programs `names` are installed; in CI fail it. `make tools` installs them."""
    missing = [name for name in names if find_tool(name) is None]
    if missing:
        lacking(f"{', '.join(missing)} not installed")


def require_tool(*names: str) -> str:
    """Return the path of the first of the programs `names` that is installed; without one skip or fail as above."""
    found = next(filter(None, map(find_tool, names)), None)
    return found or lacking(f"{' or '.join(names)} not installed")


def find_tool(name: str) -> str | None:
    """Return the path of a program, or None; servers are not in every user's PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin")


def install_from_npm(folder: Path, package: str) -> None:
    """Install a package of npm's in `folder`. A skip where npm is not there, in CI too: Debian's node lacks it."""
    if find_tool("npm") is None:
        pytest.skip("npm not installed: it comes with Node's own packages, not with Debian's")
    command = ["npm", "install", "--silent", "--no-package-lock", "--prefix", str(folder), package]
    if subprocess.run(command, capture_output=True, check=False, timeout=300).returncode:
        lacking(f"{package} cannot be installed")


def lacking(what: str) -> NoReturn:
    """Skip what calls this because this machine lacks something that CI has; in CI fail it."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}, and CI is set", pytrace=False)
    pytest.skip(what, allow_module_level=True)


def load(package: str) -> Any:
    """Import and return a package, or a module of one, that a test or a whole test module needs."""
    require(package.partition(".")[0])
    return importlib.import_module(package)
