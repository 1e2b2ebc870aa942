"""What a batch says about its result: counts, what failed, and where everything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pulsecast.errors import DataError
from pulsecast.plain_text import printable

from .kept import Note, PieceRecord, Pieces, Source
from .table import notes_path, write_notes, write_result

Split = Mapping[str, Sequence[str]]  # series that are in several files -> these files
_FILES = 3  # in a sentence
SHOWN = 20  # failures that are said; the file of notes has them all
_WORDS = {"far": "windows far outside what training saw", "warning": "warnings", "repair": "repairs"}


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A file, or a series in it (else ""), that was not forecast, and why."""

    file: str
    series: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class BatchForecasts:
    """The result of `predict_logs`, which is written to `out`.

    artifact        that forecast, and its engine
    level           of the bounds; None where there are none
    files           that were meant; `series` and `rows` are in the result
    failures        what is not in it
    notes           the file with failures, warnings and repairs, a row each; None where there are none
    noted           their number by kind: failed, far (outside what training saw), warning, repair
    """

    out: str
    artifact: str
    engine: str
    level: float | None
    files: int
    series: int
    rows: int
    failures: tuple[Failure, ...]
    notes: str | None
    noted: Mapping[str, int]

    def __repr__(self) -> str:
        made_by = f"{self.artifact} on {self.engine}"
        lines = [f"{self.out}: {self.rows:,} rows, {self.series:,} series of {self.files:,} files, by {made_by}"]
        others = [f"{count:,} {_WORDS[kind]}" for kind, count in self.noted.items() if kind in _WORDS]
        lines += [f"notes: {self.notes}: {', '.join([*self._failed(), *others])}"] if self.notes else []
        return "\n".join(lines)

    def _failed(self) -> list[str]:
        return [f"{len(self.failures):,} not forecast"] if self.failures else []


def failure_lines(failures: Sequence[Failure], notes: str) -> Iterator[str]:
    """Yield a line for each of the first failures, and one that says where the others are."""
    for one in failures[:SHOWN]:
        named = not one.series or one.reason.startswith(f"series {one.series}")
        yield printable(f"{one.file}{'' if named else f', series {one.series}'}: {one.reason}")
    if len(failures) > SHOWN:
        yield printable(f"and {len(failures) - SHOWN:,} more: {notes}")


@dataclass(kw_only=True)
class Tally:
    """What the records of pieces hold, counted one after the other."""

    failures: list[Failure] = field(default_factory=list)
    noted: Counter[str] = field(default_factory=Counter)
    series: int = 0
    rows: int = 0

    def taken(self, record: PieceRecord, split: Split) -> Iterator[Note]:
        """Count a record, and yield its notes, those on series that are in several files included."""
        own = [one for one in record.sources if one.series not in split]
        self.series += len(own)
        self.rows += sum(one.rows for one in own)
        for note in (*record.notes, *(_split_note(one, split) for one in record.sources if one.series in split)):
            self.noted[note.kind] += 1
            if note.kind == "failed":
                self.failures.append(Failure(file=note.file, series=note.series, reason=note.text))
            yield note


def _split_note(one: Source, split: Split) -> Note:
    files = split[one.series]
    more = f" and {len(files) - _FILES:,} more" if len(files) > _FILES else ""
    text = (
        f"the series is in {len(files):,} files, {', '.join(files[:_FILES])}{more}, and each file is read by itself: "
        "put the rows of a series into one file"
    )
    return Note(kind="failed", file=one.file, series=one.series, text=text)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The pieces of a batch, all kept, in the order of its files.

    column  the one that names series, which a series that is in several files would be forecast from in part; None
            where a file is a series
    """

    pieces: Pieces
    fingerprints: tuple[str, ...]
    column: str | None

    def records(self) -> Iterator[PieceRecord]:
        """Yield the records, one after the other."""
        return map(self.pieces.record, self.fingerprints)

    def write(self, out: Path, *, force: bool) -> Tally:
        """Write the result and its notes, and return what is in them.

        Raises DataError if nothing could be forecast: then there is no result, and the notes say why.
        """
        split, tally, path = self._split(), Tally(), notes_path(out)
        write_notes(path, (note for record in self.records() for note in tally.taken(record, split)))
        if not tally.noted:
            path.unlink()
        if not tally.series:
            first = "; ".join(failure_lines(tally.failures[:3], ""))
            raise DataError(f"nothing could be forecast, and {path} says why of each: {first}")
        write_result(out, [self.pieces.table(one) for one in self.fingerprints], split, force=force)
        return tally

    def _split(self) -> Split:
        """Return the series that are in several files, and these: series -> files."""
        if self.column is None:
            return {}
        first: dict[str, str] = {}
        found: dict[str, list[str]] = {}
        for record in self.records():
            for one in record.sources:
                if first.setdefault(one.series, one.file) != one.file:
                    found.setdefault(one.series, [first[one.series]]).append(one.file)
        return found
