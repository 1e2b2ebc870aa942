"""A batch on processes and on a cluster: a kill of a worker or of the whole run loses nothing and changes no byte."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from helpers.engines import require

require("polars")

from helpers.heard import Heard  # noqa: E402
from helpers.logs import batches  # noqa: E402
from helpers.outside import work  # noqa: E402
from pulsecast_train import predict_logs, prediction  # noqa: E402
from pulsecast_train.predicting.kept import folder_of  # noqa: E402

pytestmark = pytest.mark.slow
KILLED_AFTER = (
    "import os, signal, sys\n"
    "from pulsecast_train import predict_logs\n"
    "from pulsecast_train.predicting import plan\n"
    "class Kill:\n"
    "    def tell(self, line): pass\n"
    "    def advance(self, what, done, total, note=''):\n"
    "        if done == int(sys.argv[5]): os.kill(os.getpid(), signal.SIGKILL)\n"
    "if __name__ == '__main__':\n"
    "    plan.PIECE_FILES = int(sys.argv[4])\n"
    "    predict_logs(sys.argv[1], sys.argv[2], out=sys.argv[3], jobs=2, progress=Kill())\n"
)


@pytest.fixture(scope="module")
def undisturbed(calendar_bundle: Path, logs: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of the result that one process gives at one go."""
    out = tmp_path_factory.mktemp("undisturbed") / "out.parquet"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction, "run_tasks", batches.run_here)
        predict_logs(calendar_bundle, f"{logs}/*", out=out)
    return out.read_bytes()


def workers() -> list[psutil.Process]:
    """Return the workers of the pools of this process."""
    found = []
    for one in psutil.Process().children():
        with contextlib.suppress(psutil.Error):  # another child may end meanwhile
            found += [one] if "spawn_main" in " ".join(one.cmdline()) else []
    return found


class KillsWorkers(Heard):
    """Kills all workers as soon as the first piece is done."""

    killed = 0

    def advance(self, what: str, done: int, total: int, note: str = "") -> None:
        super().advance(what, done, total, note)
        if not self.killed:
            for one in workers():
                one.kill()
                self.killed += 1


def killed_run(script: Path, bundle: Path, logs: str, out: Path, *, files: int, after: int) -> int:
    """Start a run in a process of its own that is killed after so many pieces; return how many it kept."""
    script.write_text(KILLED_AFTER)
    words = [sys.executable, str(script), str(bundle), logs, str(out), str(files), str(after)]
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path})
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not out.exists()
    return len(list(folder_of(out).glob("*.json")))


def test_killed_workers_lose_nothing(calendar_bundle: Path, logs: Path, tmp_path: Path, undisturbed: bytes) -> None:
    heard = KillsWorkers()
    predict_logs(calendar_bundle, f"{logs}/*", out=tmp_path / "out.parquet", jobs=1, progress=heard)
    assert heard.killed == 1
    assert (tmp_path / "out.parquet").read_bytes() == undisturbed


def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(
    calendar_bundle: Path, logs: Path, tmp_path: Path, undisturbed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.parquet"
    assert 1 <= killed_run(tmp_path / "run.py", calendar_bundle, f"{logs}/*", out, files=4, after=1) < 3
    heard = Heard()
    monkeypatch.setattr(prediction, "run_tasks", batches.run_here)
    predict_logs(calendar_bundle, f"{logs}/*", out=out, progress=heard)
    assert heard.notes[0].endswith("of 9 files, kept from before")
    assert out.read_bytes() == undisturbed
    assert not folder_of(out).exists()


def test_a_cluster_gives_the_same_bytes(calendar_bundle: Path, logs: Path, tmp_path: Path, undisturbed: bytes) -> None:
    require("distributed")
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=None,
        silence_logs=50,
    ) as cluster:  # fmt: skip
        out = tmp_path / "out.parquet"
        predict_logs(calendar_bundle, f"{logs}/*", out=out, dask=cluster.scheduler_address)
    assert out.read_bytes() == undisturbed


# --- soak -------------------------------------------------------------------------------------------------------------


@pytest.mark.soak
def test_a_file_that_kills_every_process_is_found_and_the_others_are_forecast(
    calendar_bundle: Path, logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "run_piece", work.die_over_s005)
    found = predict_logs(calendar_bundle, f"{logs}/*", out=tmp_path / "out.parquet", jobs=2)
    assert [Path(one.file).name for one in found.failures] == ["s005.parquet"]
    assert (found.files, found.series) == (9, 8)


@pytest.mark.soak
def test_kills_at_random_moments_change_no_byte(calendar_bundle: Path, tmp_path: Path) -> None:
    folder, rng = batches.write_folder(tmp_path / "logs", 60), random.Random(7)
    whole, out = tmp_path / "whole.parquet", tmp_path / "out.parquet"
    predict_logs(calendar_bundle, f"{folder}/*", out=whole, jobs=2)
    script = tmp_path / "run.py"
    script.write_text(KILLED_AFTER)
    words = [sys.executable, str(script), str(calendar_bundle), f"{folder}/*", str(out), "4", "999"]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    kills = 0
    while not out.exists():
        process = subprocess.Popen(words, env=env, start_new_session=True, stderr=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(1, 3 + kills))  # longer each time: once it is enough
        if process.poll() is None:
            victims = [process, *psutil.Process(process.pid).children()]
            victims[rng.randrange(len(victims))].kill()  # the run, or one of its workers
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(4)
            process.kill()
            kills += 1
        process.wait()
    assert kills >= 2
    assert out.read_bytes() == whole.read_bytes()
    assert not folder_of(out).exists()


PEAKS = (
    "import resource, sys\n"
    "from pulsecast_train import predict_logs\n"
    "if __name__ == '__main__':\n"
    "    predict_logs(sys.argv[1], sys.argv[2], out=sys.argv[3], jobs=1)\n"
    "    peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
    "    print(int(peak.split()[1]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
)


def peaks(script: Path, bundle: Path, folder: Path, files: int) -> tuple[int, int]:
    """Return the most memory (kB) of a run over so many files and of its worker."""
    folder.mkdir()
    for number in range(files):
        batches.write_csv(folder / f"s{number:05d}.csv", batches.counts(number))
    words = [sys.executable, str(script), str(bundle), f"{folder}/*", str(folder.with_suffix(".parquet"))]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    run, worker = subprocess.run(words, check=True, capture_output=True, text=True, env=env).stdout.split()
    return int(run), int(worker)


@pytest.mark.soak
def test_memory_grows_by_a_path_for_each_file_and_a_worker_s_not_at_all(calendar_bundle: Path, tmp_path: Path) -> None:
    script = tmp_path / "peaks.py"
    script.write_text(PEAKS)
    few = peaks(script, calendar_bundle, tmp_path / "few", 256)
    many = peaks(script, calendar_bundle, tmp_path / "many", 2048)
    assert many[0] - few[0] < 4 * (2048 - 256)  # kB: each file's path, and a line of the plan
    assert many[1] < 1.05 * few[1]
