"""Makes the files that peers load, each in its own child process and only once for peers that share it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pulsecast.foundation import strict_json

from ..results.result import Skipped
from ..subjects.peers import PeerFile, PeerRow, missing_package
from .child import run_worker

TIMEOUT_S = 300.0  # a converter on a small board


def make_peers(
    peers: Mapping[str, PeerRow], bundle: Path, folder: Path, tell: Callable[[str], None]
) -> tuple[tuple[Skipped, ...], dict[str, PeerFile]]:
    """Return the peers that cannot run here, each with its reason, and what the others load; `tell` gets each file."""
    skipped: list[Skipped] = []
    files: dict[str, PeerFile] = {}
    made: dict[str, PeerFile | str] = {}
    for name, row in peers.items():
        if missing := missing_package(row):
            reason = f"{missing} is not installed: pip install 'pulsecast[peers]'"
            skipped.append(Skipped(artifact=name, reason=reason))
            continue
        if row.made_by not in made:
            made[row.made_by] = _make(name, bundle, folder)
            tell(f"made the file of {name}")
        file = made[row.made_by]
        if isinstance(file, str):
            skipped.append(Skipped(artifact=name, reason=file))
        else:
            files[name] = file
    return tuple(skipped), files


def _make(name: str, bundle: Path, folder: Path) -> PeerFile | str:
    """Return the file, or the reason for its absence."""
    done = run_worker(
        "pulsecast_bench.subjects.peer_files", [name, str(bundle), str(folder)], threads=1, timeout_s=TIMEOUT_S
    )
    if done.failed or not done.answer:
        return done.reason
    return strict_json.loads(PeerFile, done.answer.encode(), where="the peer's file")
