"""The program: a step in a process after the other, until the time is up. What could not be seen is said.

    python -m pulsecast_bench.claims.gpu --out gpu.json

It trains the textbook recipe on the card and on the processors, by pulsecast's loop and by a bare `model.fit`, exports
a recommended model there, proves with all cards hidden that each artifact computes the trained forecast, and runs the
ONNX file on the provider that starts. Keras runs on TensorFlow if that sees the card, else on torch or JAX. Exit code
0 if what ran is right, also without a card; 1 if an artifact computes something else, or no bundle was made.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pulsecast.foundation import strict_json
from pulsecast.foundation.arguments import one_path
from pulsecast.foundation.whole_file import check_file_free, write_whole
from pulsecast.stages.child_process import Ended, run_module

from ...measuring.machine import describe_machine
from .card import Use, find_card, watched
from .child import LOG
from .record import Found, Ran, Side, words

SECONDS = 480
HIDDEN = {"CUDA_VISIBLE_DEVICES": "-1"}
BACKENDS = ("tensorflow", "torch", "jax")
LEAST_S = 20.0  # a step is not begun with less time


@dataclass(kw_only=True)
class Run:
    """A run under way: its folder, when it must end, and what it could not see so far."""

    folder: Path
    ends: float
    unseen: list[str] = field(default_factory=list)

    def step(self, name: str, environment: Mapping[str, str], number: int = 0) -> dict[str, Any] | None:
        """Return the answer of a step; None, with a reason in `unseen`, if it failed or there was no time for it."""
        left_s = self.ends - time.monotonic()
        if left_s < LEAST_S:
            self.unseen.append(f"{name} ({_words(environment)}): the time was up before it")
            return None
        tell(f"{name}, {_words(environment)}")
        done = run_module(
            "pulsecast_bench.claims.gpu.child",
            [name, str(self.folder), str(number)],
            timeout_s=left_s,
            environment=environment,
        )
        if done.failed:
            self.unseen.append(f"{name} ({_words(environment)}): it {_why(done)}")
            return None
        return dict(json.loads(done.answer))


def tell(line: str) -> None:
    """Say on stderr what is done now."""
    print(line, file=sys.stderr, flush=True)


def _words(environment: Mapping[str, str]) -> str:
    where = "all cards hidden" if environment.get("CUDA_VISIBLE_DEVICES") == "-1" else "any device"
    backend = environment.get("KERAS_BACKEND")
    return f"{where}, Keras on {backend}" if backend else where


def _why(done: Ended) -> str:
    return done.reason[:300]


def measure(folder: Path, *, days: int, epochs: int, seconds: float) -> Found:
    """Return what this machine shows within `seconds`."""
    from pulsecast_train import generate_log

    began = time.monotonic()
    run = Run(folder=folder, ends=began + seconds)
    generate_log(folder / LOG, days=days)
    card = find_card()
    if card is None:
        run.unseen.append("a card: nvidia-smi is not here or does not answer, so everything ran on the processors")
    backend, has_card = choose_backend(run)
    keras = {"KERAS_BACKEND": backend}
    sides: list[Side] = []
    sizes = {"windows": 0, "batch_size": 0}
    use = Use()
    if has_card:
        with watched() as use:
            _train(run, "card", keras, epochs, sides, sizes)
    elif card is not None:
        run.unseen.append(f"training on the card: Keras on none of {', '.join(BACKENDS)} sees it")
    made = run.step("make", keras, epochs)
    verified = (run.step("verify", HIDDEN) or {}) if made is not None else {}
    ran = _forecast(run, has_card=card is not None) if made is not None else ()
    _train(run, "cpu", {**keras, **HIDDEN}, max(2, epochs // 2), sides, sizes)
    return Found(
        card=card,
        keras_backend=backend,
        versions=describe_machine().versions,
        sides=tuple(sides),
        use=use,
        verified_on_cpu=verified,
        ran=ran,
        unseen=tuple(run.unseen),
        spent_s=time.monotonic() - began,
        **sizes,
    )


def choose_backend(run: Run) -> tuple[str, bool]:
    """Return the first Keras backend that computes on a card, and True; else the first installed one, and False."""
    installed = [name for name in BACKENDS if importlib.util.find_spec(name) is not None]
    for name in installed:
        found = run.step("probe", {"KERAS_BACKEND": name})
        if found and found["gpu"]:
            return name, True
    return (installed or list(BACKENDS))[0], False


def _train(
    run: Run, where: str, environment: Mapping[str, str], epochs: int, sides: list[Side], sizes: dict[str, int]
) -> None:
    for step, way in (("pulsecast", "pulsecast"), ("fit", "model.fit")):
        found = run.step(step, environment, epochs)
        if found is None:
            continue
        sizes.update({name: found[name] for name in sizes})
        sides.append(
            Side(way=f"{way}, {where}", device=found["device"], epoch_s=tuple(found["epoch_s"]), loss=found["loss"])
        )


def _forecast(run: Run, *, has_card: bool) -> tuple[Ran, ...]:
    """Return the runs of the ONNX file: on the provider that starts, and with all cards hidden."""
    found = []
    for environment in ({}, HIDDEN) if has_card else (HIDDEN,):
        answer = run.step("forecast", environment)
        if answer is not None:
            numbers = {int(batch): spent for batch, spent in answer.pop("call_us").items()}
            found.append(Ran(**answer, call_us=numbers))
    if not any(one.device == "CUDA" for one in found):
        reason = "the CUDA provider of ONNX Runtime did not start" if has_card else "there is no card"
        run.unseen.append(f"onnx on the CUDA provider: {reason}")
    return tuple(found)


def main(arguments: list[str]) -> int:
    """Print what was found and write it to --out; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pulsecast_bench.claims.gpu", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", help="JSON file to write")
    parser.add_argument("--days", type=int, default=60, help="of the generated hourly log")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="in all; no step begins after it")
    options = parser.parse_args(arguments)
    out = None if options.out is None else one_path("out", options.out)
    if out is not None:
        check_file_free(out, force=False)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), days=options.days, epochs=options.epochs, seconds=options.seconds)
    print(words(found))
    if out is not None:
        write_whole(out, strict_json.dumps(found), force=False)
    return 0 if found.proven else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
