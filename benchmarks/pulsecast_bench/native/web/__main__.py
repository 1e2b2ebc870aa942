"""`python -m pulsecast_bench.native.web BUNDLE --modules NODE_MODULES`: the WebAssembly beside onnxruntime-web.

The golden's raw windows, with their times, one window a call, one thread, in Node and in a page of headless Chromium.
Each engine has a process, or a browser, of its own. The engines take turns in rounds, in an order that is new in each;
a ratio is taken within a round, and the median of the rounds is printed with its interval. Every engine's forecasts
are compared with the reference before anything is timed, and one after each turn and each start. The first forecast is
timed by the engine's own clock, from where its process, or its page, begins: the files are on this machine, so a
network's time is to be added. What a page downloads is what its server was asked for. The bundle's own JavaScript
runs: measure bundles that you trust.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path

from pulsecast.bundle.bundle import Bundle
from pulsecast.errors import PulsecastError, UsageError
from pulsecast.foundation.private_folder import temporary_folder
from pulsecast.stages.exits import INTERRUPTED, OK, exit_code

from ..rounds import add_round_options, count
from .children import find_browser
from .engines import CHROMIUM, NODE, PEER, engines_of, find_package
from .figures import lines
from .turns import Found, Places, Plan, measure

PLACES = (NODE, CHROMIUM)
_MISSING = {
    NODE: "Node is not installed; `apt-get install nodejs` installs it on Debian, --place chromium does without",
    CHROMIUM: "Chromium is not installed; `apt-get install chromium` installs it on Debian, --place node does without",
}


def find_programs(places: Sequence[str]) -> dict[str, str]:
    """Return the program of each of `places`; raises UsageError, which says how to get what is missing."""
    found = {NODE: shutil.which("node"), CHROMIUM: find_browser()}
    if missing := [_MISSING[place] for place in places if found[place] is None]:
        raise UsageError("; ".join(missing))
    return {place: program for place, program in found.items() if place in places and program is not None}


def compare(path: Path, modules: Path, places: Sequence[str], plan: Plan) -> tuple[Found, list[str]]:
    """Return what was measured, and what ran.

    Raises UsageError for a bundle, a folder of modules or a place that cannot be measured, and what `measure` raises.
    """
    programs, package, bundle = find_programs(places), find_package(modules), Bundle.open(path)
    with temporary_folder() as folder, as_file(files(__package__).joinpath("programs")) as own:
        served = {"page": own, "files": folder / "files", "modules": package.modules}
        (folder / "files").mkdir()
        engines = engines_of(bundle, package, folder / "files")
        where = Places(programs=programs, folders=served, room=folder / "children")
        found = measure(engines, bundle.golden(), plan, where, lambda line: print(line, file=sys.stderr))
    versions = [f"{place}: {_version(program)}" for place, program in programs.items()]
    return found, [*versions, f"{PEER}: {package.version}, WebAssembly, one thread"]


def _version(program: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.strip().partition(" built on ")[0]


def main(arguments: Sequence[str]) -> int:
    """Print the tables and what was met or missed; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pulsecast_bench.native.web",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument(
        "bundle", type=Path, help="of one series, with native and its wasm32 library, and onnx; 8-bit too"
    )
    parser.add_argument("--modules", type=Path, required=True, help=f"the folder node_modules that has {PEER}")
    parser.add_argument("--place", action="append", choices=PLACES, help="repeatable; both")
    add_round_options(parser, round_s=0.05, rounds=60)
    parser.add_argument("--starts", type=count, default=9, help="of each engine in each place, at least 1; 9")
    options = parser.parse_args(arguments)
    plan = Plan(rounds=options.rounds, round_s=options.round_seconds, starts=options.starts)
    try:
        found, ran = compare(options.bundle, options.modules, options.place or PLACES, plan)
    except KeyboardInterrupt:
        print("interrupted: every engine was ended, and nothing was measured", file=sys.stderr)
        return INTERRUPTED
    except PulsecastError as error:
        print(f"error: {error}", file=sys.stderr)
        return exit_code(error)
    print("\n".join(lines(found, ran)))
    return OK


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: engines in sessions of their own would go on
    sys.exit(main(sys.argv[1:]))
