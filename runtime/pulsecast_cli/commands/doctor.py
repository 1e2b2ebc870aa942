"""`pulsecast doctor`: what is installed, what really runs, and how to repair the rest."""

from __future__ import annotations

import importlib.util
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from pulsecast import __version__
from pulsecast.backends import BACKENDS, is_installed
from pulsecast.errors import EngineError
from pulsecast.stages.child_process import run_module
from pulsecast.stages.environment import installed_versions, platform_name

from ..terminal.output import Format, show
from .table import COMMANDS

NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
TIMEOUT_S = 120


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One check: `ok`, `missing` or `broken`, what was found, and how to repair it."""

    name: str
    state: str
    found: str
    fix: str = ""


def doctor(
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Say which engines and commands work here, whether a GPU is really used, and how to repair the rest."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        backends = tuple(pool.map(_backend, BACKENDS))
    gpu, commands = _gpu(backends), tuple(_command(name) for name in COMMANDS)
    document = {
        "command": "doctor",
        "platform": platform_name(),
        "versions": installed_versions(),
        "backends": backends,
        "gpu": gpu,
        "commands": commands,
    }
    show(format_, text=_text(backends, gpu, commands), document=document)


def _backend(name: str) -> Finding:
    """Start the backend's engine in a child process and report what ran."""
    row = BACKENDS[name]
    if not is_installed(name):
        return Finding(name=name, state="missing", found=f"{row.package} is not installed", fix=_install(row.extra))
    try:
        done = run_module("pulsecast_cli.probe", [name], timeout_s=TIMEOUT_S)
    except EngineError as error:  # no folder for temporary files
        return Finding(name=name, state="broken", found=f"not tried: {error}")
    if not done.failed:
        engine, device = done.stdout.strip().splitlines()[-2:]
        return Finding(name=name, state="ok", found=f"{engine} on {device}")
    reason = done.reason[:200]
    fix = _install(None) if name == "native" else f"pip install --force-reinstall 'pulsecast[{row.extra or 'cli'}]'"
    return Finding(name=name, state="broken", found=f"{row.package or name} does not start: {reason}", fix=fix)


def _gpu(backends: tuple[Finding, ...]) -> Finding:
    clash = [name for name in ("onnxruntime", "onnxruntime-gpu") if _is_there(name)]
    if len(clash) == 2:
        return Finding(
            name="gpu",
            state="broken",
            found="onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files",
            fix="pip uninstall onnxruntime onnxruntime-gpu, then install one of the extras onnx and onnx-gpu",
        )
    used = [f.name for f in backends if f.state == "ok" and not f.found.endswith(" on CPU")]
    if used:
        return Finding(name="gpu", state="ok", found=f"used by {', '.join(used)}")
    if not NVIDIA_DRIVER.exists():
        return Finding(
            name="gpu", state="missing", found="no NVIDIA driver on this machine; everything runs on the CPU"
        )
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return Finding(
            name="gpu", state="missing", found="CUDA_VISIBLE_DEVICES hides all GPUs", fix="unset CUDA_VISIBLE_DEVICES"
        )
    return Finding(
        name="gpu", state="broken", found="an NVIDIA driver is here, but no engine uses it", fix=_install("all-gpu")
    )


def _is_there(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _command(name: str) -> Finding:
    command = COMMANDS[name]
    missing = [package for package in command.needs if importlib.util.find_spec(package) is None]
    if missing:
        return Finding(name=name, state="missing", found=f"needs {', '.join(missing)}", fix=_install(command.extra))
    return Finding(name=name, state="ok", found="ready")


def _install(extra: str | None) -> str:
    return f"pip install 'pulsecast[{extra}]'" if extra else "install a C compiler, such as gcc or clang"


def _text(backends: tuple[Finding, ...], gpu: Finding, commands: tuple[Finding, ...]) -> str:
    versions = installed_versions()
    lines = [f"pulsecast {__version__}, Python {versions['python']}, {platform_name()}, {os.cpu_count()} cores", ""]
    for title, findings in (("backends", backends), ("GPU", (gpu,)), ("commands", commands)):
        rows = [(f"  [{_MARKS[f.state]}] {f.name}", f.found) for f in findings]
        width = max(len(name) for name, _ in rows)
        lines.append(title)
        for (name, found), finding in zip(rows, findings, strict=True):
            lines.append(f"{name:<{width}}  {found}")
            lines += [f"{'':<{width}}  fix: {finding.fix}"] if finding.fix else []
    return "\n".join(lines)


_MARKS = {"ok": "✓", "missing": "-", "broken": "✗"}
