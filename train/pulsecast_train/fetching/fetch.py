"""Records from a source to an NDJSON log; a broken run continues from its last whole page.

While it runs there are `LOG.part`, the records so far, and `LOG.state.json`, the cursor and how much of the part
belongs to it. The state is written whole after each page, so a record is neither lost nor written twice.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulsecast.errors import DataError, FormatError, UsageError
from pulsecast.foundation import strict_json
from pulsecast.foundation.arguments import StrPath, file_path, flag, instance, listed, text
from pulsecast.foundation.whole_file import write_whole
from pulsecast.stages.progress import SILENT, Progress, require_progress

from .http_source import HttpQuery, HttpSource, Page, RecordSource
from .limits import FetchLimits


@dataclass(frozen=True, kw_only=True)
class FetchState:
    """Progress of a fetch: `size_bytes` of the part belong to `pages` whole pages; `cursor` is of the next one."""

    format: int
    request: str  # sha256 of the source's identity and the fields: no address, no token
    cursor: str | None
    pages: int
    records: int
    size_bytes: int
    complete: bool

    def __post_init__(self) -> None:
        if self.format != 1:
            raise ValueError(f"format is {self.format}; this version knows 1")
        if min(self.pages, self.records, self.size_bytes) < 0:
            raise ValueError("pages, records and size_bytes are 0 or more")


def fetch(
    source: RecordSource | HttpQuery | str,
    out: StrPath,
    *,
    fields: Sequence[str] = (),
    force: bool = False,
    limits: FetchLimits = FetchLimits(),
    progress: Progress = SILENT,
) -> FetchState:
    """Write all records of `source` to `out`, one JSON object per line, and return their number.

    source  a URL, a query of an HTTP API, or any other source of records
    out     the log; during the fetch there are `OUT.part` and `OUT.state.json`, so that it can continue
    limits  when to stop: pages, bytes, seconds

    With `fields` (dotted paths) only those are kept, under their paths: other data is not written and cannot leak.
    Raises UsageError if `out` exists (without `force`) or belongs to another request, DataError from the source, at a
    limit, or if its cursors go in a circle; progress is kept in both cases.
    """
    force, fields = flag("force", force), [text("fields", one) for one in listed("fields", fields)]
    instance("limits", limits, FetchLimits)
    require_progress(progress)
    if isinstance(source, str):
        source = HttpQuery(url=source)
    if isinstance(source, HttpQuery):
        source = HttpSource(query=source, progress=progress)
    if not hasattr(source, "page"):
        raise UsageError(f"source is {type(source).__name__}; expected an address, an HttpQuery or a source of records")
    target = file_path("out", out)
    request = hashlib.sha256(json.dumps([source.identity, list(fields)]).encode()).hexdigest()
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is not a folder; make it first")
    part, kept = _progress_of(target)
    if target.exists() and not force and not kept.exists():
        raise UsageError(f"{target.name} exists; use another --out, or --force to replace it")
    state = _state_so_far(kept, part, request)
    if state.complete and not part.exists():  # a run that was killed at its very end; its log stands
        kept.unlink()
        return state
    stop_s = time.monotonic() + limits.seconds
    seen = {_fingerprint(state.cursor)}  # cursors of this run; at most `limits.pages`, 70 bytes each
    with part.open("r+b" if part.exists() else "w+b") as log:
        log.truncate(state.size_bytes)  # rows that a killed run wrote after its last state
        log.seek(state.size_bytes)
        while not state.complete:
            _refuse_more(state, limits, left_s=stop_s - time.monotonic())
            page = source.page(state.cursor, stop_s - time.monotonic())
            _refuse_circle(page.cursor, state, seen)
            for line in _lines(page, state, fields):
                if log.tell() + len(line) > limits.size_bytes:
                    raise DataError(f"the log has more than {limits.size_bytes:,} bytes; raise --max-bytes to continue")
                log.write(line)
            log.flush()
            os.fsync(log.fileno())
            state = FetchState(
                format=1,
                request=request,
                cursor=page.cursor,
                pages=state.pages + 1,
                records=state.records + len(page.records),
                size_bytes=log.tell(),
                complete=page.cursor is None,
            )
            write_whole(kept, strict_json.dumps(state), force=True)
            progress.tell(f"page {state.pages}: {state.records:,} records")
    if state.records == 0:
        _forget(part, kept)
        raise DataError("the source has no records; check its address and --records")
    part.replace(target)
    kept.unlink()
    return state


def forget_progress(out: Path) -> None:
    """Delete the files of an unfinished fetch to `out`."""
    _forget(*_progress_of(out))


def _progress_of(out: Path) -> tuple[Path, Path]:
    """Return the records so far, and the state that belongs to them."""
    return out.with_name(f"{out.name}.part"), out.with_name(f"{out.name}.state.json")


def _forget(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _state_so_far(kept: Path, part: Path, request: str) -> FetchState:
    fresh = FetchState(format=1, request=request, cursor=None, pages=0, records=0, size_bytes=0, complete=False)
    if not kept.exists():
        return fresh
    try:
        state = strict_json.loads(FetchState, kept.read_bytes(), where=kept.name)
    except FormatError as error:
        raise UsageError(f"{error}; use --restart to start again") from error
    if state.request != request:
        raise UsageError(f"{kept.name} belongs to another request; use --restart to start again, or another --out")
    target = part.with_suffix("")
    left = part if part.exists() or not state.complete else target
    size = left.stat().st_size if left.exists() else 0
    if size < state.size_bytes:
        raise UsageError(
            f"{part.name} has {size} of the {state.size_bytes} bytes fetched; use --restart to start again"
        )
    return state


def _refuse_more(state: FetchState, limits: FetchLimits, *, left_s: float) -> None:
    """Raise DataError if the next page is beyond the limits."""
    if state.pages >= limits.pages:
        raise DataError(f"{state.pages:,} pages were fetched and there are more; raise --max-pages to continue")
    if left_s <= 0:
        raise DataError(
            f"{state.pages:,} pages were fetched, {limits.seconds:g} s are over and there are more; run the same "
            "command again, or raise --max-seconds"
        )


def _refuse_circle(cursor: str | None, state: FetchState, seen: set[bytes]) -> None:
    """Raise DataError if `cursor` was that of an earlier page of this run; remember it."""
    if cursor is None:
        return
    number = state.pages + 1
    if cursor == state.cursor:
        raise DataError(f"page {number} gives itself as the next page; choose --next-parameter")
    if _fingerprint(cursor) in seen:
        raise DataError(f"page {number} gives an earlier page as the next one; choose --next or --next-parameter")
    seen.add(_fingerprint(cursor))


def _fingerprint(cursor: str | None) -> bytes:
    """Return 8 bytes for a cursor; among a million, two share them with a chance of 3 in 100 million."""
    return hashlib.blake2b(repr(cursor).encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _lines(page: Page, state: FetchState, fields: Sequence[str]) -> Iterator[bytes]:
    """Yield the rows of a page; raises DataError for a record that cannot be written."""
    for index, record in enumerate(page.records):
        chosen = {path: _at(record, path) for path in fields} if fields else record
        try:
            text = json.dumps(chosen, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            yield f"{text}\n".encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise DataError(
                f"record {index} of page {state.pages + 1} holds half a character, a number that is not finite or too "
                "many levels; leave that field out by naming the others with --field"
            ) from error


def _at(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
