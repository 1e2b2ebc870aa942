"""A killed export leaves the old bundle or the new one, whole; and the next export clears up after it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from helpers.engines import EXPORT, require
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.manifest import MANIFEST_NAME

# kills in two of its stages are tested with the exported files
pytestmark = [pytest.mark.slow, pytest.mark.soak]

EXPORT_ONE = (
    "import sys\nfrom pathlib import Path\nfrom pulsecast.stages.progress import LineProgress\n"
    "from pulsecast_export.exporter import export_model\n"
    "print('ready', flush=True)\n"
    "export_model(Path(sys.argv[1]), Path(sys.argv[2]), targets=('onnx',), force=True, progress=LineProgress())\n"
)
KILLS = 6  # evenly spread over the time that one export takes, and so in every stage of it


@pytest.fixture
def alive() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes started by a test; none outlives it."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def start(model: Path, out: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", EXPORT_ONE, str(model), str(out)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def wait(process: subprocess.Popen[str], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def test_export_killed_at_any_moment_leaves_a_whole_bundle(
    textbook_model: Path,
    plain_bundle: Path,
    copied: Callable[[Path], Path],
    alive: list[subprocess.Popen[str]],
) -> None:
    require(*EXPORT)
    out = copied(plain_bundle)
    old = (out / MANIFEST_NAME).read_bytes()
    began = time.monotonic()
    complete = start(textbook_model, out.with_name("complete"))
    alive.append(complete)
    assert complete.wait(120) == 0
    takes_s = time.monotonic() - began
    for moment in np.linspace(0.05, 1.0, KILLS) * takes_s:
        process = start(textbook_model, out)
        alive.append(process)
        wait(process, float(moment))
        with contextlib.suppress(ProcessLookupError):  # the export ended before the kill
            os.killpg(process.pid, signal.SIGKILL)  # converters too, as in a power failure
        process.wait()
        opened = Bundle.open(out)  # checks every hash
        ids = [artifact.id for artifact in opened.manifest.artifacts]
        assert ids in (["numpy"], ["numpy", "onnx"])
        if ids == ["numpy"]:
            assert (out / MANIFEST_NAME).read_bytes() == old
    final = start(textbook_model, out)
    alive.append(final)
    assert final.wait(120) == 0
    assert [artifact.id for artifact in Bundle.open(out).manifest.artifacts] == ["numpy", "onnx"]
    leftovers = [path.name for path in out.parent.iterdir() if "partial" in path.name]
    assert leftovers == []
