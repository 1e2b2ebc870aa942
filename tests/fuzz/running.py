"""Runs one target in a process of its own, with a budget, and says what came of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from fuzz import c_api
from fuzz.seeds import seeds
from fuzz.targets import TARGETS, crashes
from helpers.engines import is_installed

MEMORY_MB, CASE_S = 500, 5  # of one process; of one case
TESTS = Path(__file__).parents[1]
STARTING_S = 600  # imports under atheris on a busy machine, and the end


@dataclass(frozen=True, kw_only=True)
class Fuzzed:
    """What fuzzing a target gave; `skipped` says why it did not run, `said` is the end of what the fuzzer printed."""

    target: str
    skipped: str = ""
    failed: bool = False
    cases: int = 0
    seconds: int = 0
    said: str = ""

    def text(self) -> str:
        """Return it as a line, and below it the cause of a failure."""
        if self.skipped:
            return f"{self.target}: skipped, {self.skipped}"
        rate = self.cases // max(self.seconds, 1)
        line = f"{self.target}: {self.cases:,} cases in {self.seconds} s, {rate:,} each second"
        return f"{line}\n{self.said}\nFAILED" if self.failed else line


def names() -> list[str]:
    """Return the targets in Python, and the C API."""
    return [*TARGETS, *c_api.TARGETS]


def fuzz(target: str, kept: Path, seconds: int) -> Fuzzed:
    """Fuzz `target` for `seconds`, beginning with its seeds and fixtures; inputs that fail are kept in `kept`."""
    if target in c_api.TARGETS:
        return _run(target, kept, seconds, 1 << 16) if c_api.compiler() else _skipped(target, "clang is not installed")
    if not is_installed("atheris"):
        return _skipped(target, "atheris is not installed: pip install 'pulsecast[fuzz]'")
    return _run(target, kept, seconds, TARGETS[target].max_bytes)


def _skipped(target: str, reason: str) -> Fuzzed:
    return Fuzzed(target=target, skipped=reason)


def _run(target: str, kept: Path, seconds: int, max_bytes: int) -> Fuzzed:
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pulsecast-fuzz-") as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        native = target in c_api.TARGETS
        first = c_api.seeds() if native else [*seeds(target), *(path.read_bytes() for path in crashes(target))]
        for number, data in enumerate(first):
            (corpus / f"seed-{number:03}").write_bytes(data)
        program = [str(c_api.build(target, Path(folder)))] if native else [sys.executable, "-m", "fuzz.child", target]
        limits = [f"-rss_limit_mb={MEMORY_MB}", f"-timeout={CASE_S}", f"-max_len={max_bytes}"]
        log, began = Path(folder) / "log", time.monotonic()
        words = [
            *program, str(corpus), f"-max_total_time={seconds}", *limits, f"-artifact_prefix={kept}/{target}-",
            "-print_final_stats=1", "-verbosity=1",
        ]  # fmt: skip
        environment = {
            **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "POLARS_MAX_THREADS": "1",
            "TMPDIR": folder, "ASAN_OPTIONS": "detect_leaks=0",
        }  # fmt: skip
        with (
            log.open("wb") as file,
            subprocess.Popen(
                words, cwd=TESTS, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=environment
            ) as process,
        ):
            try:
                code = process.wait(seconds + STARTING_S)
            except subprocess.TimeoutExpired:  # it hangs where libFuzzer cannot see it: a failure like others
                process.kill()
                code = process.wait()
        took_s = time.monotonic() - began
        said = log.read_text("utf-8", "replace")
    cases = re.findall(r"stat::number_of_executed_units: (\d+)", said)
    return Fuzzed(
        target=target,
        failed=code != 0,
        cases=int(cases[-1]) if cases else 0,
        seconds=round(took_s),
        said=said[-4000:],
    )
