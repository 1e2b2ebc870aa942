"""A program: add a version to a serving folder again and again, killed at every moment, and look at what is left.

    python killed_additions.py FOLDER EVERY

FOLDER holds two bundles, `first` and `second`, and a folder `work` to write in. EVERY-th moment is tried of each case.
Each killed writer is a fork, so that Python starts once. Prints one JSON object: case -> the number of moments; what is
wrong ends the program with an AssertionError.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers.serving_folders.folders import STAGED, contents, untruths
from pulsecast.foundation import staging, whole_directory
from pulsecast_export import ServeOptions, serve_config
from pulsecast_export.serving.folder import adding

KILLED = 77
Arguments = tuple[Path, ServeOptions, bool]


def ticking(function: Callable[..., Any], tick: Callable[[], None]) -> Callable[..., Any]:
    """Return `function` with a moment before it and one after it."""

    def call(*arguments: Any, **options: Any) -> Any:
        tick()
        result = function(*arguments, **options)
        tick()
        return result

    return call


def killed_at(moment: int, work: Callable[[], object]) -> bool:
    """Do `work` in a fork that ends without any cleaning at its n-th moment; return whether it came to its end."""
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, KILLED), code
        return code == 0
    left = moment

    def tick() -> None:
        nonlocal left
        if left == 0:
            os._exit(KILLED)
        left -= 1

    for name in ("rename", "replace", "unlink", "mkdir", "write_bytes", "chmod"):
        setattr(Path, name, ticking(getattr(Path, name), tick))
    for module, name in ((os, "rmdir"), (os, "fsync"), (os, "chmod"), (adding, "exchange"), (shutil, "rmtree")):
        setattr(module, name, ticking(getattr(module, name), tick))
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def check(out: Path, whole: dict[str, list[dict[str, bytes]]]) -> None:
    """What a server sees is whole versions, and the marker is true."""
    assert untruths(out) == [], untruths(out)
    root = out / "models" / "pulsecast"
    for version in root.iterdir() if root.exists() else ():
        assert version.name.isdecimal(), version
        assert contents(version) in whole[version.name], version


def case(name: str, place: Path, before: list[Arguments], last: Arguments, every: int) -> int:
    """Kill the last writing at its moments, and finish it by the same call; return how many moments there are."""

    def written(out: Path, arguments: Arguments) -> None:
        bundle, options, force = arguments
        serve_config(bundle, out, options, force=force)

    start, done = place / f"{name}-start", place / f"{name}-done"
    start.mkdir()
    for arguments in before:
        written(start, arguments)
    shutil.copytree(start, done)
    written(done, last)
    whole: dict[str, list[dict[str, bytes]]] = {}
    for folder in (start, done):
        for version in (folder / "models" / "pulsecast").glob("*"):
            whole.setdefault(version.name, []).append(contents(version))
    for moment in range(0, 10_000, every):
        out = place / f"{name}-{moment}"
        shutil.copytree(start, out)
        ended = killed_at(moment, lambda out=out: written(out, last))
        check(out, whole)
        written(out, last)
        check(out, whole)
        assert contents(out) == contents(done), f"{name}, moment {moment}"
        assert not [path for path in out.iterdir() if STAGED.fullmatch(path.name)]
        shutil.rmtree(out)
        if ended:
            return moment
    raise AssertionError("it never ends")


def main(folder: Path, every: int) -> None:
    """Try every case."""
    first, second, place = folder / "first", folder / "second", folder / "work"

    def own(version: int, keep: int | None = None) -> ServeOptions:
        return ServeOptions(server="pulsecast", version=version, keep=keep)

    made = case("into an empty folder", place, [], (first, own(1), False), every)
    added = case("one goes", place, [(first, own(1), False)], (second, own(2, 1), False), every)
    replaced = case("replaced", place, [(first, own(1), False)], (second, own(1), True), every)
    adding.exchange = lambda *_: False
    renamed = case("replaced by two renames", place, [(first, own(1), False)], (second, own(1), True), every)
    print(json.dumps({"made": made, "added": added, "replaced": replaced, "renamed": renamed}))


if __name__ == "__main__":
    staging.flush_folder = whole_directory.flush_folder = lambda _: None  # type: ignore[assignment]  # no crash of a disk here
    main(Path(sys.argv[1]), int(sys.argv[2]))
