"""Fuzz every target, or those named, for some seconds each: `python -m fuzz --seconds 60 manifest`, in `tests`.

What fails is kept in `build/fuzz`, and its cause is printed. `make fuzz` does this for all of them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fuzz.running import Fuzzed, fuzz, names

KEPT = Path(__file__).parents[2] / "build" / "fuzz"


def main() -> int:
    """Return 1 if a target failed."""
    options = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    options.add_argument("targets", nargs="*", metavar="TARGET", help=f"one of {', '.join(names())}; default: all")
    options.add_argument("--seconds", type=int, default=60, help="for each target; default: 60")
    chosen = options.parse_args()
    if unknown := set(chosen.targets) - set(names()):
        options.error(f"unknown targets: {', '.join(sorted(unknown))}; known: {', '.join(names())}")
    failed: list[Fuzzed] = []
    for name in chosen.targets or names():
        found = fuzz(name, KEPT, chosen.seconds)
        print(found.text(), flush=True)  # noqa: T201  # a program
        failed += [found] if found.failed else []
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
