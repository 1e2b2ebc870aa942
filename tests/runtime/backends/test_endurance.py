"""A million forecasts in one process leave memory, descriptors and threads as they were after the first hundredth.

PULSECAST_SOAK_FORECASTS says how many.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import plain
from helpers.engines import require
from helpers.native_models import add_native, require_c
from pulsecast.backends import BACKENDS

pytestmark = [pytest.mark.soak, pytest.mark.slow]
GOLDEN = Path(__file__).parents[2] / "data" / "golden_v2"
MILLION = int(os.environ.get("PULSECAST_SOAK_FORECASTS", "1000000"))
LIMIT_S = 2 * 3600  # three milliseconds for each forecast of TensorFlow
GROWTH_BYTES = 3 << 20  # allocators round; a leak of four bytes a forecast would be seen
PROGRAM = """
import gc, json, os, sys
import numpy as np
from pulsecast import Bundle, load

path, artifact, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
model = load(path, artifact=artifact, trust_code=True)
windows = Bundle.open(path).golden().windows
singles = [windows.take([i]) for i in range(len(windows))]
stream, detector, second = model.stream(), model.detector(), 1_740_000_000 // 3600 * 3600

def held():
    gc.collect()
    rss = int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return {"rss": rss, "files": len(os.listdir("/proc/self/fd")), "threads": len(os.listdir("/proc/self/task"))}

def run(count):
    global second
    for i in range(count):
        model.predict(singles[i % len(singles)])
        if i % 50 == 0:
            value = float(30 + i % 24)
            stream.push(value, timestamp=second)
            detector.push(value, timestamp=second)
            second += 3600
        if i % 1000 == 0:
            try:
                model.predict(np.full((1, 3), np.nan))
            except Exception as error:
                assert "steps" in str(error) or "features" in str(error), error

run(count // 100)
first = held()
run(count)
print(json.dumps([first, held()]))
"""


def held(bundle: Path, artifact: str, count: int) -> tuple[dict[str, int], dict[str, int]]:
    """Return what a process holds after a hundredth of `count` forecasts, and after all."""
    command = [sys.executable, "-c", PROGRAM, str(bundle), artifact, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LIMIT_S)
    first, last = json.loads(done.stdout.splitlines()[-1])
    return first, last


def require_flat(artifact: str, count: int, first: dict[str, int], last: dict[str, int]) -> None:
    sys.stdout.write(
        f"{artifact}: {count:,} forecasts, {first['rss'] / 1e6:.1f} -> {last['rss'] / 1e6:.1f} MB, "
        f"{last['files']} descriptors, {last['threads']} threads\n"
    )
    assert last["rss"] - first["rss"] <= GROWTH_BYTES, (first, last)
    assert (last["files"], last["threads"]) == (first["files"], first["threads"])


@pytest.mark.parametrize("artifact", ["numpy", "onnx-w8", "tflite-w8"])
def test_a_million_forecasts_hold_nothing(artifact: str) -> None:
    require(*filter(None, [BACKENDS[artifact.partition("-")[0]].package]))
    require_flat(artifact, MILLION, *held(GOLDEN, artifact, MILLION))


@pytest.mark.parametrize("target", ["native", "native-w8"])
def test_a_million_forecasts_of_compiled_c_hold_nothing(
    calendar_bundle: Path, change_model: plain.PlainModel, target: str, tmp_path: Path
) -> None:
    require_c()
    bundle = shutil.copytree(calendar_bundle, tmp_path / "bundle")
    add_native(bundle, change_model, target)
    require_flat(target, MILLION, *held(bundle, target, MILLION))


def test_many_forecasts_of_tensorflow_hold_nothing(recommended_bundle: Path) -> None:
    """It takes three milliseconds for a forecast, so it makes a tenth."""
    require_flat("savedmodel", MILLION // 10, *held(recommended_bundle, "savedmodel", MILLION // 10))
