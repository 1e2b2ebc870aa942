"""A version comes to stand beside the others: staged where no server looks, then renamed.

    1. The version is filled in `DIR/.VERSION.pulsecast-TAG.partial`, a name that no server takes for a version.
    2. The marker says what may change from now on.
    3. The version directory is renamed to its place; a version that it replaces leaves it in the same step.
    4. Files beside the versions that differ are replaced, each in one step. Old versions that go are renamed away.
    5. The marker says what is there.

A server that polls the folder sees a version whole or not at all. After a kill at any moment the marker is true, and
the same command finishes the work. One writer works at a time: the folder itself is locked.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pulsecast.errors import PulsecastError, UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.staging import flush_folder, staged, sweep
from pulsecast.foundation.whole_directory import check_free, exchange, flush, whole_directory
from pulsecast.foundation.whole_file import whole_file
from pulsecast.stages.model_directory import sha256

from ..servers.order import Layout
from .marker import LABELS, MARKER, SERVING_FOLDER, Marker, Promise
from .standing import Standing, standing, version_of

Fate = Literal["made", "added", "replaced", "unchanged"]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a serving folder shall hold.

    server, model  which only a folder of the same ones takes
    keep           how many of the newest versions stay; None removes none
    force          replace the version if it is there with other bytes
    """

    server: str
    model: Promise
    version: int
    keep: int | None
    force: bool
    layout: Layout


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What writing does to a folder.

    fate      of the version: `made` in a new folder, `added`, `replaced`, or `unchanged`
    versions  that stand afterwards
    removed   versions that go
    beside    files beside the versions that are written, and their bytes
    """

    fate: Fate
    version: int
    versions: tuple[int, ...]
    removed: tuple[int, ...]
    beside: Mapping[str, bytes]


def planned(out: Path, wanted: Wanted) -> Plan:
    """Return what `write` would do to `out`; raises UsageError where it would refuse."""
    if not out.exists() and not out.is_symlink():
        check_free(out, SERVING_FOLDER, force=False)
        return _plan(out, Standing(marker=None, files={}), wanted)
    with _alone(out):
        return _plan(out, standing(out), wanted)


def write(out: Path, wanted: Wanted) -> Plan:
    """Write `wanted` into `out`: a new folder whole or not at all, else a version beside the others.

    Raises UsageError for a folder of other files, of another server or model, for edited files, and for a version that
    is there with other bytes; PulsecastError if the disk is full or refuses.
    """
    try:
        if not out.exists() and not out.is_symlink():
            return _make(out, wanted)
        with _alone(out):
            now = standing(out)
            plan = _plan(out, now, wanted)
            _add(out, now, plan, wanted)
            return plan
    except OSError as error:
        raise PulsecastError(
            f"{out} could not be finished: {error.strerror or error}; run the same command again"
        ) from error


def _make(out: Path, wanted: Wanted) -> Plan:
    plan = _plan(out, Standing(marker=None, files={}), wanted)
    with whole_directory(out, SERVING_FOLDER, force=False) as staging:
        _fill(staging / wanted.layout.root / str(wanted.version), wanted.layout.version)
        _fill(staging, plan.beside)
        (staging / MARKER).write_text(strict_json.dumps(_marker(_written(wanted, plan), wanted)), encoding="utf-8")
        _open_to_the_server(staging)
    return plan


def _plan(out: Path, now: Standing, wanted: Wanted) -> Plan:
    _refuse_others(out, now, wanted)
    root, layout = wanted.layout.root, wanted.layout
    there = now.versions(root)
    is_same = now.of_version(root, wanted.version) == _digests(layout.version)
    if wanted.version in there and not is_same and not wanted.force:
        raise UsageError(
            f"version {wanted.version} is in {out} with other bytes; pass --version {there[-1] + 1} to add this one "
            f"beside it, or --force to replace version {wanted.version} alone"
        )
    every = sorted({*there, wanted.version})
    kept = every if wanted.keep is None else every[-wanted.keep :]
    if wanted.version not in kept:
        raise UsageError(
            f"version {wanted.version} is older than the {len(kept)} newest that --keep leaves in {out} "
            f"({', '.join(map(str, kept))}); pass --version {every[-1] + 1}, or a larger --keep"
        )
    removed = tuple(number for number in every if number not in kept)
    if labelled := sorted(now.labelled.intersection(removed)):
        raise UsageError(
            f"--keep {wanted.keep} would remove version {', '.join(map(str, labelled))}, which {LABELS} names; change "
            "the labels first, or pass a larger --keep"
        )
    fate: Fate = "added"
    if wanted.version in there:
        fate = "replaced" if wanted.force else "unchanged"
    return Plan(
        fate=fate if now.marker is not None else "made",
        version=wanted.version,
        versions=tuple(kept),
        removed=removed,
        beside=_beside(now, wanted, is_newest=wanted.version == every[-1]),
    )


def _refuse_others(out: Path, now: Standing, wanted: Wanted) -> None:
    if now.marker is None:
        return
    problems = list(wanted.model.differences(now.marker.model))
    if wanted.server != now.marker.server:
        problems.insert(0, f"it is for {now.marker.server}, not {wanted.server}")
    elif problems:
        problems = [f"it serves another model: {'; '.join(problems)}"]
    if problems:
        raise UsageError(f"{out} is not for this: {'; '.join(problems)}. Give this one a folder of its own: --out NEW")


def _beside(now: Standing, wanted: Wanted, *, is_newest: bool) -> dict[str, bytes]:
    """Return the files beside the versions that differ; they describe the newest version, which servers use."""
    around = wanted.layout.around if is_newest else {}
    lasting = {path: data for path, data in wanted.layout.lasting.items() if path not in now.files}
    return {path: data for path, data in {**around, **lasting}.items() if now.files.get(path) != sha256(data)}


def _add(out: Path, now: Standing, plan: Plan, wanted: Wanted) -> None:
    root = out / wanted.layout.root
    place = root / str(plan.version)
    after = _written(wanted, plan, now)
    if now.marker == _marker(after, wanted) and plan.fate == "unchanged":
        return
    with ExitStack() as stack:
        partial = stack.enter_context(staged(out, str(plan.version))).partial
        if plan.fate != "unchanged":
            _fill(partial, wanted.layout.version)
            _open_to_the_server(partial)
            flush(partial)
        _mark(out, _changing(now, after, plan, wanted))
        if plan.fate != "unchanged":
            root.mkdir(parents=True, exist_ok=True)
            _open_parents(out, root)
            _put(partial, place)
    for path, data in plan.beside.items():
        _replace(out, path, data)
    for number in plan.removed:
        with staged(out, str(number)) as names:
            (root / str(number)).rename(names.partial)
            flush_folder(root)
    _mark(out, _marker(after, wanted))


def _put(partial: Path, place: Path) -> None:
    """Rename the new version to its place; an old one comes to lie at `partial`, which is removed."""
    if not place.exists():
        partial.rename(place)
    elif not exchange(partial, place):
        with staged(partial.parent, place.name) as names:
            place.rename(names.partial)
            partial.rename(place)
    flush_folder(place.parent)


def _written(wanted: Wanted, plan: Plan, now: Standing | None = None) -> dict[str, str]:
    """Return every file of the folder once the plan is done, but the marker."""
    root = wanted.layout.root
    old = {} if now is None else now.files
    gone = {*plan.removed, plan.version}
    version = {f"{root}/{plan.version}/{path}": data for path, data in wanted.layout.version.items()}
    stay = {path: digest for path, digest in old.items() if version_of(path, root) not in gone}
    return {**stay, **_digests(version), **_digests(plan.beside)}


def _changing(now: Standing, after: Mapping[str, str], plan: Plan, wanted: Wanted) -> Marker:
    """Return the marker while files are on their way from `now` to `after`.

    All files of a version that is replaced are: where the system cannot swap folders, it is gone for a moment.
    """
    swapped = f"{wanted.layout.root}/{plan.version}/" if plan.fate == "replaced" else None
    changing: dict[str, str | None] = {
        path: after.get(path)
        for path in {*now.files, *after}
        if now.files.get(path) != after.get(path) or (swapped is not None and path.startswith(swapped))
    }
    return replace(_marker(now.files, wanted), changing=dict(sorted(changing.items())))


def _marker(files: Mapping[str, str], wanted: Wanted) -> Marker:
    return Marker(
        format=2,
        kind="serving",
        server=wanted.server,
        root=wanted.layout.root,
        model=wanted.model,
        files=dict(sorted(files.items())),
    )


def _mark(out: Path, marker: Marker) -> None:
    _replace(out, MARKER, strict_json.dumps(marker).encode("utf-8"))


def _replace(out: Path, path: str, data: bytes) -> None:
    """Write one file of the folder in one step; it is staged at the folder's top, where no server looks."""
    target = out / path
    target.parent.mkdir(parents=True, exist_ok=True)
    _open_parents(out, target.parent)
    with whole_file(target, force=True, staging=out) as file:
        file.write(data)
        os.chmod(file.fileno(), 0o644)  # noqa: PTH101  # an open file, before it is seen


def _fill(folder: Path, files: Mapping[str, bytes]) -> None:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def _open_parents(out: Path, folder: Path) -> None:
    """Let every user enter the folders from `out` to `folder`."""
    for one in (folder, *folder.parents):
        if not one.is_relative_to(out):
            return
        if one.stat().st_mode & 0o555 != 0o555:
            one.chmod(one.stat().st_mode | 0o555)


def _open_to_the_server(folder: Path) -> None:
    """Let the server's user read all of `folder`: under a umask of 027 or 077 it could not start."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {path: sha256(data) for path, data in files.items()}


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the lock of the folder itself, and sweep what killed writers left; raises UsageError if another has it."""
    if out.is_symlink() or not out.is_dir():
        raise UsageError(f"{out} is not a folder and is not replaced")
    if not os.access(out, os.W_OK):
        raise UsageError(f"{out} is not writable")
    handle = os.open(out, os.O_RDONLY)
    try:
        _lock(out, handle)
        sweep(out)
        yield
    finally:
        os.close(handle)


def _lock(out: Path, handle: int) -> None:
    if sys.platform == "win32":
        return
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(f"another command writes into {out} now; run this one again when it is done") from None
    except OSError:  # a file system without locks
        return
