"""Series that share one network: what belongs to each of them is a row of a table, and row 0 is the pool.

A series that training never saw has no row of its own. It is forecast by the pool's, which takes a window's level and
spread from the window itself (the rule and its cost: `WINDOW_RULE`).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from .. import limits
from ..errors import FormatError, UsageError
from ..foundation.arguments import shown
from ..foundation.quick_dataclass import dataclass
from ..plain_text import listed
from .scaler import Scaler, level_of, raw_of

if TYPE_CHECKING:  # names are read without numpy
    import numpy as np
    from numpy.typing import NDArray

    from .spec import ModelSpec
    from .windows import Windows

    Array = NDArray[np.floating]

LEAST_SPREAD = 0.05  # of log1p: a window that hardly moves is not blown up
WINDOW_RULE = (
    "offset = mean of log1p over the window's context; scale = sqrt(max(standard deviation there, 0.05) times the "
    "standard deviation inside a series of training)"
)
POOL_ROW = 0


class Pool:
    """The series that has no name: `pulsecast.POOL` is the only one."""

    def __repr__(self) -> str:
        return "pulsecast.POOL"

    def __reduce__(self) -> str:
        return "POOL"


POOL: Final = Pool()


@dataclass(frozen=True, kw_only=True)
class SeriesNames:
    """The names of a table's series: the first one is row 1, since row 0 is the pool."""

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if problems := listed(_problems(self.names)):
            raise ValueError(problems)

    def __len__(self) -> int:
        return len(self.names)

    @functools.cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.names, POOL_ROW + 1)}

    def knows(self, name: str) -> bool:
        """Return whether there is a series of this name."""
        return name in self._rows

    def row(self, series: object) -> int:
        """Return the row of a name, or of POOL; raises UsageError that says how to ask for the pool."""
        if series is POOL:
            return POOL_ROW
        if not isinstance(series, str):
            raise UsageError(
                f"series is {shown(series)}; expected a name, or pulsecast.POOL for a series that training never saw"
            )
        row = self._rows.get(series)
        if row is None:
            raise UsageError(
                f"no series {series[:60]!r} in this bundle{self._like(series)}; for a series that training never saw "
                "ask for the pool: series=pulsecast.POOL (--pool)"
            )
        return row

    def rows(self, series: object, count: int) -> list[int]:
        """Return the rows of `count` windows: `series` is one name for all, or one for each; names, or POOL.

        Raises UsageError if there is none, one is unknown, or there are too many or too few.
        """
        if series is None:
            raise UsageError(
                f"this bundle holds {len(self):,} series: pass the name of one, series={self.names[0]!r}, or "
                "series=pulsecast.POOL for a series that training never saw; `pulsecast inspect` lists them"
            )
        if isinstance(series, str) or not isinstance(series, Iterable):
            return [self.row(series)] * count
        try:
            given = list(itertools.islice(series, count + 1))
        except Exception:  # an object's own method, or an array of no dimension
            raise UsageError(f"series is {shown(series)}; expected a name, or one for each window") from None
        rows = [self.row(str(one) if isinstance(one, str) else one) for one in given]
        if len(rows) != count:
            some = f"more than {count}" if len(rows) > count else len(rows)
            raise UsageError(f"{some} series for {count} windows; expected one, or one for each")
        return rows

    def name(self, row: int) -> str | Pool:
        """Return the name of a row, POOL for row 0."""
        return POOL if row == POOL_ROW else self.names[row - POOL_ROW - 1]

    def _like(self, series: str) -> str:
        import difflib  # only an error needs it

        known, text = self.names[:10_000], series.casefold()
        near = [name for name in known if text and text in name.casefold()][:3]
        near = near or difflib.get_close_matches(series, known, n=3)
        return f"; there is {', '.join(map(repr, near))}" if near else ""


def refuse_series(series: object) -> None:
    """Raise UsageError if a series is named for a bundle that has no table."""
    if series is not None:
        raise UsageError("this bundle is of one series and has no table of names: leave series out")


def write_names(names: SeriesNames) -> bytes:
    """Return the file's bytes: UTF-8, a name on each line."""
    return "".join(f"{name}\n" for name in names.names).encode("utf-8")


def read_names(data: bytes) -> SeriesNames:
    """Return the names in `data`; raises FormatError."""
    try:
        text = data.decode("utf-8")
        if not text.endswith("\n"):
            raise ValueError("its last line has no end")
        return SeriesNames(names=tuple(text[:-1].split("\n")))
    except ValueError as error:  # UnicodeDecodeError is one
        raise FormatError(f"names of series: {error}") from error


def _problems(names: Sequence[str]) -> Iterable[str]:
    if not names:
        yield "there is none"
    if len(names) > limits.SERIES:
        yield f"{len(names)} series; at most {limits.SERIES} are read"
    if len(set(names)) < len(names):
        yield f"{len(names) - len(set(names))} of {len(names)} names stand more than once"
    for name in names:
        if not name or len(name) > limits.TEXT_CHARACTERS or not name.isprintable():
            yield f"{name[:40]!a} is not printable text of 1 to {limits.TEXT_CHARACTERS} characters"


@dataclass(frozen=True, kw_only=True)
class SeriesTable:
    """What belongs to each series: rows are the pool, and then the series of `names` in their order.

    pool    of all series together: how a column is transformed, and its spread inside a series, by which the pool's
            row scales
    offset  (rows, measured) float32, as in `FeatureScale`; 0 for the pool
    scale   (rows, measured) float32; of the pool that of `pool`, the spread inside a series
    unit    (rows,) float64: the range of the forecast column in training, in which errors are measured
    radii   (rows, levels, horizon) float64: those of `SplitConformal` for each row; None without intervals
    linear  (rows, inputs, horizon) float32: the kernel of the linear path for each row; None where all rows share that
            of the weights, which is the pool's
    """

    names: SeriesNames
    pool: Scaler
    offset: NDArray[np.float32]
    scale: NDArray[np.float32]
    unit: NDArray[np.float64]
    radii: NDArray[np.float64] | None
    linear: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.offset)

    def of(self, windows: Windows) -> WindowScaler:
        """Return the scaler of each of `windows`, in their dtype; NaN for a row that is not in the table."""
        import numpy as np

        assert windows.series is not None  # noqa: S101  # for the type checker: whoever has a table passes rows
        known = (windows.series >= 0) & (windows.series < len(self))
        rows = np.where(known, windows.series, POOL_ROW)
        measured = self.offset.shape[1]
        values = windows.values[..., :measured]
        offset, scale = (part[rows].astype(values.dtype) for part in (self.offset, self.scale))  # (batch, measured)
        pooled = rows == POOL_ROW
        if pooled.any():
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                level = np.stack([level_of(self.pool.features[f], values[pooled, :, f]) for f in range(measured)], -1)
                offset[pooled] = level.mean(axis=1)
                spread = level.std(axis=1)
                scale[pooled] = np.sqrt(np.maximum(spread, values.dtype.type(LEAST_SPREAD)) * scale[pooled])
        offset[~known] = np.nan
        return WindowScaler(pool=self.pool, offset=offset, scale=scale)

    def radius(self, rows: NDArray[np.int64], level: int) -> NDArray[np.float64]:
        """Return the radii (batch, horizon) of `rows` at level number `level`; those of the pool for unknown rows."""
        import numpy as np

        assert self.radii is not None  # noqa: S101  # for the type checker: whoever asks has intervals
        found: NDArray[np.float64] = self.radii[np.where((rows >= 0) & (rows < len(self)), rows, POOL_ROW), level]
        return found


@dataclass(frozen=True, kw_only=True)
class WindowScaler:
    """A scale for each window of a batch, with the methods of a `Scaler`; offset and scale are (batch, measured)."""

    pool: Scaler
    offset: Array
    scale: Array

    def transform(self, values: Array) -> Array:
        """Return scaled values for raw `values` (batch, steps, features), as `Scaler.transform` does."""
        import numpy as np

        scaled = self.pool.transform(values)  # right for columns of the calendar; the others are done again
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            for f in range(self.offset.shape[1]):
                level = level_of(self.pool.features[f], values[..., f])
                scaled[..., f] = (level - self.offset[:, f : f + 1]) / self.scale[:, f : f + 1]
        return scaled

    def inverse(self, scaled: Array) -> Array:
        """Return raw values of the forecast column for scaled ones (batch, horizon)."""
        import numpy as np

        with np.errstate(over="ignore", invalid="ignore"):
            return raw_of(self.pool.features[0], scaled * self.scale[:, :1] + self.offset[:, :1])


Scaling = Scaler | SeriesTable  # how a model's windows are scaled: all alike, or each as its series is


def scaling_of(scaler: Scaler, table: SeriesTable | None) -> Scaling:
    """Return how the windows of a model are scaled: by its table of series, if it has one."""
    return scaler if table is None else table


def write_table(table: SeriesTable) -> bytes:
    """Return the file's bytes: a compressed .npz, little-endian; the same table gives the same bytes."""
    from .weights import write_npz

    return write_npz(**table_arrays(table))


def table_arrays(table: SeriesTable) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of the file by name."""
    arrays: dict[str, NDArray[np.generic]] = {
        "offset": table.offset.astype("<f4"), "scale": table.scale.astype("<f4"), "unit": table.unit.astype("<f8"),
    }  # fmt: skip
    if table.radii is not None:
        arrays["radii"] = table.radii.astype("<f8")
    if table.linear is not None:
        arrays["linear"] = table.linear.astype("<f4")
    return arrays


def read_table(data: bytes, names: SeriesNames, pool: Scaler, spec: ModelSpec, levels: int) -> SeriesTable:
    """Return the table in `data`; raises FormatError unless its arrays are those of `names` and `spec`.

    levels  how many levels the model's intervals have; 0 without intervals
    """
    import numpy as np

    from .weights import array_problems, read_npz

    arrays = read_npz(data, where="series.npz")
    rows = len(names) + 1
    expected: dict[str, tuple[str, tuple[int, ...]]] = {
        "offset": ("<f4", (rows, spec.measured)),
        "scale": ("<f4", (rows, spec.measured)),
        "unit": ("<f8", (rows,)),
        **({"radii": ("<f8", (rows, levels, spec.horizon))} if levels else {}),
    }
    if spec.linear is not None and "linear" in arrays:
        expected["linear"] = ("<f4", (rows, spec.linear.inputs(spec.measured), spec.horizon))
    problems = array_problems(arrays, expected)
    if not problems:
        positive = (name for name in ("scale", "unit") if not (arrays[name] > 0).all())  # type: ignore[operator]
        problems += [f"{name} holds a number that is not positive" for name in positive]
        if levels and not (arrays["radii"] >= 0).all():  # type: ignore[operator]
            problems.append("a radius is negative")
    if problems:
        raise FormatError("series.npz: " + listed(problems))
    return SeriesTable(
        names=names,
        pool=pool,
        offset=arrays["offset"].astype(np.float32),
        scale=arrays["scale"].astype(np.float32),
        unit=arrays["unit"].astype(np.float64),
        radii=arrays["radii"].astype(np.float64) if levels else None,
        linear=arrays["linear"].astype(np.float32) if "linear" in expected else None,
    )
