"""A log file to compact rows, batch by batch: cells to instants, numbers and hashes; missing cells are counted."""

from __future__ import annotations

import datetime
import hmac
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace

import polars as pl

from pulsecast.errors import DataError

from .config import MOST_CATEGORIES, LogConfig
from .data_report import FileRecord, Finding
from .files import LogFile, OnBytes, source
from .limits import MAX_NAME_CHARACTERS
from .looking.choices import Reading, undecided
from .looking.number_kinds import is_total, named_kind
from .places import Counted, Places
from .row_policies import LogRows
from .tables import Batch, LogColumns, read_batches
from .text.identities import refuse_rounded_ids, with_time_of_day
from .text.numbers import NumberReader, UnsettledMarkError, unsettled_mark
from .text.times import order_evidence, unsettled_order
from .timestamps import TimeReader, UnsettledOrderError

_EQUAL = 1e-6  # totals and parts are whole numbers, or rounded in text
_LISTED_CATEGORIES = 1000  # values that are kept for a message; a column with more is not a category
ROW_COUNT = "events"  # name of the metric that counts rows


@dataclass(frozen=True, kw_only=True, eq=False)
class FileRows:
    """The rows of one file, in its order, as `row_policies.LogRows` describes them, and its findings."""

    record: FileRecord
    frames: list[pl.DataFrame]
    metrics: tuple[str, ...]
    found: list[Finding]


@dataclass(kw_only=True, eq=False)
class RowReader:
    """Reads files one after another and numbers their series; `hash_key` goes into every hash of an id or user."""

    config: LogConfig
    now_s: int
    total_bytes: int
    on_bytes: OnBytes | None
    user_key: bytes | None
    hash_key: int
    _series: dict[str, int] = field(default_factory=dict)
    _files: list[str] = field(default_factory=list)
    _found: dict[str, int] = field(default_factory=dict)  # values of the category column, and rows
    _seen: set[int] = field(default_factory=set)  # numbers of the named ones that some row has
    _names: dict[int, str] = field(default_factory=dict)  # filled only if the report names a user

    def read(self, log: LogFile) -> FileRows:
        """Return the file's rows; raises DataError, with line, value and remedy, if it cannot be used."""
        self._files.append(log.name)
        raw = source(log, self.total_bytes, self.on_bytes)
        try:
            columns, batches = read_batches(log, self.config, raw)
            _refuse_totals(log, columns, self.config)
            times = TimeReader(config=self.config, now_s=self.now_s)
            tally = _Tally(config=self.config, columns=columns)
            with closing(batches), _explained(log):
                frames = [self._compact(log, columns, batch, times, tally) for batch in batches]
            times.finish()
            self._refuse_unnamed_categories(log)
            sha256 = raw.finish()
        finally:
            raw.close()
        record = FileRecord(
            name=log.name,
            sha256=sha256,
            bytes=log.size_bytes,
            rows=times.rows,
            time_column=columns.time,
            time_format=times.format,
            columns=columns.used,
            earliest=_iso(times.earliest_us),
            latest=_iso(times.latest_us),
        )
        found = [*columns.found, *_time_findings(times, log.name), *tally.findings(log.name)]
        metrics = (*(columns.metrics or (ROW_COUNT,)), *self.config.category_metrics)
        return FileRows(record=record, frames=frames, metrics=metrics, found=found)

    def rows(self, parts: Sequence[FileRows]) -> LogRows:
        """Return the rows of all files as one; `parts` are emptied to save memory."""
        frames = [frame for part in parts for frame in part.frames]
        for part in parts:
            part.frames.clear()
        metrics = [name for name in frames[0].columns if name.startswith("metric ")]
        frame = pl.concat(frames)
        return LogRows(frame=frame, files=tuple(self._files), series=tuple(self._series), metrics=tuple(metrics))

    def user_findings(self, rows: LogRows) -> list[Finding]:
        """Return the share of the busiest user; a keyed hash names the user only if a key was given."""
        users = rows.frame["user"].drop_nulls().value_counts(sort=True)
        if len(users) == 0:
            return []
        count = int(users["count"][0])
        name = ""
        if self.user_key is not None:
            ids = [self._names[user] for user in users.filter(pl.col("count") == count)["user"]]
            name = f", hmac-sha256 {hmac.new(self.user_key, min(ids).encode(), 'sha256').hexdigest()[:16]}"
        share = count / len(rows.frame)
        sentence = f"rows are of the busiest of {len(users):,} users, {share:.1%} of all{name}"
        return [Finding(policy="top-user", sentence=sentence, rows=count)]

    def _compact(
        self, log: LogFile, columns: LogColumns, batch: Batch, times: TimeReader, tally: _Tally
    ) -> pl.DataFrame:
        codes = self._series_codes(log, batch)
        instants = self._instants(log, columns, batch, times, codes)
        dated = instants.is_not_null()
        if not dated.all():  # names of units, totals: what such a row holds is not looked at
            rows = dated.arg_true()
            open_end = batch.open_end and bool(dated[-1])
            batch = replace(batch, frame=batch.frame[rows], places=batch.places.only(rows), open_end=open_end)
            instants, codes = instants.gather(rows), codes.gather(rows)
        frame, places, config = batch.frame, batch.places, self.config
        made = {
            "file": pl.repeat(len(self._files) - 1, len(frame), dtype=pl.UInt16, eager=True),
            "line": pl.Series(places.lines).cast(pl.UInt32),
            "series": codes,
            "t": instants,
        }
        for name in (config.id, config.user, config.series):
            if name is not None:
                refuse_rounded_ids(frame[name], places, "user" if name == config.user else name, plus=batch.plus)
        if config.id is not None:  # the same id in two series is two events
            made["id"] = _hashed(frame[config.id], self.hash_key) ^ made["series"].hash(self.hash_key + 1)
        if config.user is not None:
            made["user"] = self._users(frame[config.user])
        if config.category is not None:
            made["category"] = self._categories(frame[config.category])
            tally.other.add(made["category"].is_null(), places)
        for metric, reader in tally.metrics.items():
            made[f"metric {metric}"] = self._numbers(log, frame[metric], reader, places)
            reader.missing.add(made[f"metric {metric}"].is_null(), places)
        if config.parts:
            read = [self._numbers(log, frame[name], reader, places) for name, reader in tally.parts.items()]
            total = made[f"metric {columns.metrics[0]}"]
            differs = (pl.DataFrame(read).sum_horizontal(ignore_nulls=False) - total).abs() > _EQUAL
            tally.unequal.add(differs.fill_null(value=False), places)
        tally.ragged.rows += len(batch.ragged)
        tally.ragged.lines = [*tally.ragged.lines, *batch.ragged][:3]
        if batch.open_end:
            tally.open_end.add(pl.arange(len(frame), eager=True) == len(frame) - 1, places)
        return pl.DataFrame(made).rechunk()  # columns in other chunks than their neighbours would be copied at each use

    def _instants(
        self, log: LogFile, columns: LogColumns, batch: Batch, times: TimeReader, codes: pl.Series
    ) -> pl.Series:
        cells, times.clock.series = batch.frame[columns.time], codes
        if self.config.time_of_day is not None:
            cells = with_time_of_day(cells, batch.frame[self.config.time_of_day], batch.places)
        try:
            return times.read(cells, batch.places)
        except UnsettledOrderError:
            times.order = self._settled_order(log, columns)
            return times.read(cells, batch.places)

    def _numbers(self, log: LogFile, cells: pl.Series, reader: NumberReader, places: Places) -> pl.Series:
        try:
            return reader.read(cells, places)
        except UnsettledMarkError:
            reader.decimal = self._settled_mark(log, reader)
            return reader.read(cells, places)

    def _series_codes(self, log: LogFile, batch: Batch) -> pl.Series:
        if self.config.series is None:
            code = self._series.setdefault(log.stem, len(self._series))
            return pl.repeat(code, len(batch.frame), dtype=pl.UInt32, eager=True)
        names = batch.frame[self.config.series].cast(pl.String).str.strip_chars()
        empty = (names.is_null() | (names == "")).arg_true()
        if len(empty):
            where = batch.places.where(int(empty[0]))
            raise DataError(f"{where}: {self.config.series} is empty; every row must name its series")
        long = (names.str.len_chars() > MAX_NAME_CHARACTERS).arg_true()
        if len(long):
            where, count = batch.places.where(int(long[0])), len(names[int(long[0])])
            raise DataError(
                f"{where}: {self.config.series} has {count:,} characters; a name has at most {MAX_NAME_CHARACTERS:,}"
            )
        for name in names.unique(maintain_order=True):
            self._series.setdefault(name, len(self._series))
        return names.replace_strict(list(self._series), list(self._series.values()), return_dtype=pl.UInt32)

    def _users(self, cells: pl.Series) -> pl.Series:
        hashes = _hashed(cells, self.hash_key)
        if self.user_key is not None:
            self._names.update(zip(hashes.drop_nulls(), cells.cast(pl.String).drop_nulls(), strict=True))
        return hashes

    def _categories(self, cells: pl.Series) -> pl.Series:
        """Return each cell's number in the configuration's categories (UInt8), null if it is not one of them."""
        text = cells.cast(pl.String).str.strip_chars()
        known = self.config.categories
        if len(self._found) < _LISTED_CATEGORIES:
            for value, rows in text.drop_nulls().value_counts(sort=True).head(_LISTED_CATEGORIES).rows():
                self._found[value] = self._found.get(value, 0) + rows
        codes = text.replace_strict(list(known), list(range(len(known))), default=None, return_dtype=pl.UInt8)
        self._seen.update(codes.drop_nulls().unique())
        return codes

    def _refuse_unnamed_categories(self, log: LogFile) -> None:
        if self.config.category is None or self.config.categories:
            return
        # values that an option can name: commas separate them, and an empty one is not a value
        fitting = [value for value in self._commonest() if value and "," not in value]
        raise DataError(
            f"{log.name}: {self._holds()}; name those to count separately, such as "
            f"--category {self.config.category}={','.join(fitting[:3]) or 'video,text'}"
        )

    def refuse_absent_categories(self) -> None:
        """Raise DataError if no row of all files has a named category, such as a misspelt one."""
        absent = [name for code, name in enumerate(self.config.categories) if code not in self._seen]
        if absent:
            files = ", ".join(self._files[:3]) + (", ..." if len(self._files) > 3 else "")
            raise DataError(
                f"{files}: no row is of category {', '.join(absent)}; {self._holds()}: name some of these, or leave "
                f"{'it' if len(absent) == 1 else 'them'} out"
            )

    def _commonest(self) -> list[str]:
        return sorted(self._found, key=lambda value: (-self._found[value], value))[:MOST_CATEGORIES]

    def _holds(self) -> str:
        most = self._commonest()
        shown = ", ".join(f"{value[:40] or '(empty)'} ({self._found[value]:,})" for value in most) or "nothing"
        more = f" and {len(self._found) - len(most)} more" if len(self._found) > len(most) else ""
        return f"{self.config.category} holds {shown}{more}"

    def _settled_order(self, log: LogFile, columns: LogColumns) -> str:
        """Return the order of day and month that most rows of the whole file show; raises DataError if no row does."""
        either, day, month = "", 0, 0
        cell: object = ""
        for batch in self._again(log):
            text = batch.frame[columns.time]
            day_first, month_first, row = order_evidence(text)
            day, month = day + int(day_first.sum()), month + int(month_first.sum())
            if row is not None and not either:
                either, cell = batch.places.where(row), text[row]
        if day == month:
            raise unsettled_order(either, cell)
        return "%d/%m/" if day > month else "%m/%d/"

    def _settled_mark(self, log: LogFile, reader: NumberReader) -> str:
        """Return the decimal mark that cells of the whole file show; raises DataError if none or both are shown."""
        either, dots, commas, cell = "", 0, 0, ""
        for batch in self._again(log):
            cells = batch.frame[reader.column]
            some_dots, some_commas, row = reader.evidence(cells)
            dots, commas = dots + some_dots, commas + some_commas
            if row is not None and not either:
                either, cell = batch.places.where(row), str(cells[row])
        if dots and commas:
            raise DataError(
                f"{log.name}: some cells of {reader.column} have a decimal dot and others a decimal comma; write all "
                "in one way"
            )
        if not dots and not commas:
            raise unsettled_mark(either, reader.column, cell)
        return "." if dots else ","

    def _again(self, log: LogFile) -> Iterator[Batch]:
        """Yield all batches of a file that is being read, from its beginning."""
        raw = source(log, self.total_bytes, None)
        try:
            with closing(read_batches(log, self.config, raw)[1]) as batches:
                yield from batches
        finally:
            raw.close()


@dataclass(kw_only=True, eq=False)
class _Tally:
    """Counts during the reading of a file, and the readers of its metrics and parts."""

    config: LogConfig
    columns: LogColumns
    ragged: Counted = field(default_factory=Counted)
    unequal: Counted = field(default_factory=Counted)
    other: Counted = field(default_factory=Counted)
    open_end: Counted = field(default_factory=Counted)
    metrics: dict[str, NumberReader] = field(init=False)
    parts: dict[str, NumberReader] = field(init=False)

    def __post_init__(self) -> None:
        self.metrics = {
            name: NumberReader(column=name, config=self.config, signed=self._is_level(name))
            for name in self.columns.metrics
        }
        self.parts = {
            name: NumberReader(column=name, config=self.config, signed=self.config.kind == "gauge")
            for name in self.config.parts
        }

    def _is_level(self, metric: str) -> bool:
        """Whether a metric may be negative: counts and running totals are 0 or more."""
        names = (metric, self.columns.sources[metric])
        inferred = self.config.kind == "inferred" and "gauge" in map(named_kind, names)
        return inferred or self.config.kind == "gauge"

    def findings(self, file: str) -> list[Finding]:
        sentence = "rows have empty fields beyond the header's, which were left out"
        found = self.ragged.findings("extra-empty-fields", sentence, file)
        sentence = "rows have parts that do not add up to their total, which was kept"
        found += self.unequal.findings("inconsistent-total", sentence, file)
        sentence = "rows are of none of the categories that are counted separately"
        found += self.other.findings("other-category", sentence, file)
        sentence = "row has no line end; if the file was still being written or copied, its last cell is cut off"
        found += self.open_end.findings("open-end", sentence, file)
        for reader in self.metrics.values():
            found += reader.findings(file)
        return found


@contextmanager
def _explained(log: LogFile) -> Iterator[None]:
    """Turn polars' exceptions about cells of an unexpected kind into one sentence."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DataError(f"{log.name} holds cells of a kind that its columns cannot have, such as lists") from error


def _refuse_totals(log: LogFile, columns: LogColumns, config: LogConfig) -> None:
    """Refuse totals summed by the time of their post: they include later growth, so they leak the future."""
    totals = [name for name in columns.metrics if is_total(name) or is_total(columns.sources[name])]
    if config.events and totals and config.maturity is None:
        raise undecided(
            f"{log.name}: {', '.join(totals)} are totals that a post collects after the time in its row (of shares of "
            "news 8 % came within 6 hours, 76 % within a day), so a sum by that time reveals the future; choose "
            "--maturity, such as 2d, or --maturity 0 if each value is final when its row is written",
            [
                Reading(words="they grow for two days after the time in their row", changes={"maturity": "2d"}),
                Reading(words="each is final when its row is written", changes={"maturity": "0"}),
            ],
        )


def _time_findings(times: TimeReader, file: str) -> list[Finding]:
    order = "day/month" if times.order == "%d/%m/" else "month/day"
    half = {"both": "first and the second one in turn"}.get(times.config.repeated_hour, times.config.repeated_hour)
    taken = f"were taken as the {half}" + ("" if times.config.repeated_hour == "both" else " one")
    return [
        *times.unreadable.findings(
            "unparsable-timestamp", "rows have no readable timestamp and have been dropped", file
        ),
        *times.no_time.findings(
            "no-time", "rows before the first time or after the last one hold no time, as totals and units do", file
        ),
        *times.settled.findings("day-month-order", f"rows can only be {order}, so all were read that way", file),
        *times.mixed_years.findings("two-digit-year", "rows have two digits for the year where others have four", file),
        *times.clock.repeated.findings(
            "repeated-hour", f"rows lie in an hour that the clock repeats and {taken}", file
        ),
    ]


def _hashed(cells: pl.Series, key: int) -> pl.Series:
    """Return UInt64 hashes of `cells` as text under `key`, null where a cell is empty."""
    text = cells.cast(pl.String)
    hashes = text.hash(key)
    return hashes.set(text.is_null(), None) if text.null_count() else hashes


def _iso(micros: int | None) -> str:
    if micros is None:
        return ""
    moment = datetime.datetime.fromtimestamp(micros // 1_000_000, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
