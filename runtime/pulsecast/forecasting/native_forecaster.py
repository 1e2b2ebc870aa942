"""The native model with the standard library alone: for a process that must answer at once, or has no numpy.

Importing numpy takes most of the time from the start of a Python process to its first forecast from compiled C. Nothing
here imports it: values are lists or float32 buffers, times are integers, forecasts are lists. For everything else
(datetimes, intervals of any level, streams, other backends) use `pulsecast.load`.
"""

from __future__ import annotations

import io
import itertools
import math
import os
import sys
from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..backends import require_tolerance, require_trust
from ..backends.native_library import find_library, open_library
from ..bundle.bundle import Bundle
from ..errors import (
    DtypeError,
    EmptyInputError,
    FeatureCountError,
    FormatError,
    NonFiniteError,
    TimeError,
    UsageError,
    WindowLengthError,
)
from ..foundation.arguments import flag
from ..foundation.masked import has_masked
from ..model.series import SeriesNames, refuse_series
from .copies import Origin, Reduced, lasting, reduced

if TYPE_CHECKING:
    import ctypes

    from ..bundle.manifest import Artifact, Manifest
    from ..bundle.signing import Key

CHECKED_WINDOWS = 3  # of the golden, when a library is loaded
_DTYPES = {"f": b"'<f4'", "d": b"'<f8'", "q": b"'<i8'"}  # array's type codes as .npy headers name them


def load_native(
    path: str | os.PathLike[str],
    *,
    artifact: str = "native",
    key: Key | None = None,
    trust_code: bool = False,
) -> NativeForecaster:
    """Return a NativeForecaster for the bundle at `path`, after every file was checked against the manifest's hashes.

    artifact         `native` or `native-w8`
    key, trust_code  those of `pulsecast.load`: the artifact is code, so its origin must be trusted

    The library then forecasts golden windows that were compiled into it, and the first of the bundle's own. Raises what
    `pulsecast.load` raises.

        model = load_native("bundle", trust_code=True)
        model.predict(window, time)       # lists in, lists out

    It reads bundles of format 2; for older ones use `pulsecast.load`.
    """
    trust_code = flag("trust_code", trust_code)
    bundle = Bundle.open(path, key=key)
    chosen = bundle.manifest.artifact(artifact)
    if chosen.backend != "native":
        raise UsageError(f"artifact {artifact!r} is for backend {chosen.backend!r}, not 'native'; use pulsecast.load")
    require_trust(bundle, chosen, trust_code=trust_code)
    if bundle.manifest.format == 1:
        raise UsageError(
            "this bundle has format 1, which load_native does not read; use pulsecast.load, or export again"
        )
    library = open_library(find_library(bundle, chosen.path), bundle.manifest.spec)
    forecaster = NativeForecaster(bundle.manifest, library, bundle.series_names)
    _check_golden(bundle, chosen, forecaster)
    forecaster.origin = Origin(
        loader="load_native", path=str(bundle.path.absolute()), artifact=chosen.id, key=lasting(key),
        trust_code=trust_code,
    )  # fmt: skip
    return forecaster


def _check_golden(bundle: Bundle, artifact: Artifact, forecaster: NativeForecaster) -> None:
    """Raise ToleranceError unless the first golden windows are forecast within the artifact's tolerance."""
    manifest = bundle.manifest
    spec = manifest.spec
    data = bundle.read(manifest.golden.path)
    values = _first_rows(data, "values", "f", CHECKED_WINDOWS * spec.context * spec.measured)
    time = _first_rows(data, "time", "q", CHECKED_WINDOWS) if spec.timed else None
    expected = _first_rows(data, "reference", "d", CHECKED_WINDOWS * spec.horizon)
    series, unit = None, array("d", [manifest.scaler.range] * CHECKED_WINDOWS)
    if forecaster.series is not None:
        unit = _first_rows(data, "unit", "d", CHECKED_WINDOWS)
        rows = _first_rows(data, "series", "q", CHECKED_WINDOWS)
        if not all(0 <= row <= len(forecaster.series) for row in rows):
            raise FormatError("the golden: series holds a row that is not in the table")
        series = list(map(forecaster.series.name, rows))
    found = itertools.chain.from_iterable(forecaster.predict(values, time, series=series))
    units = itertools.chain.from_iterable(itertools.repeat(one, spec.horizon) for one in unit)
    error = max(abs(a - b) / one for a, b, one in zip(found, expected, units, strict=True))
    require_tolerance(artifact, error)


def _first_rows(npz: bytes, name: str, code: str, count: int) -> array[Any]:
    """Read the first `count` numbers of one array in an .npz without unpacking the rest; `code` is `array`'s."""
    import zipfile
    import zlib

    numbers: array[Any] = array(code)
    try:
        with zipfile.ZipFile(io.BytesIO(npz)) as file, file.open(f"{name}.npy") as stored:
            start = stored.read(10)  # magic, version, and the length of the header that follows
            header = stored.read(int.from_bytes(start[8:10], "little"))
            if start[:8] != b"\x93NUMPY\x01\x00" or _DTYPES[code] not in header:
                raise ValueError(f"{name} is not a little-endian array of the expected type")
            numbers.frombytes(stored.read(count * numbers.itemsize))
    except (KeyError, OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise FormatError(f"the golden cannot be read: {error}") from error
    if sys.byteorder == "big":
        numbers.byteswap()
    if len(numbers) < count:
        raise FormatError(f"the golden: {name} holds {len(numbers)} numbers; at least {count} are expected")
    return numbers


class NativeForecaster:
    """A loaded native model. `predict` may be called from several threads at once.

    manifest  what the bundle says about itself
    engine    which instruction set runs
    series    the names of the series; None where the bundle is of one series
    """

    def __init__(self, manifest: Manifest, library: ctypes.CDLL, series: SeriesNames | None = None) -> None:
        self.manifest = manifest
        self.series = series
        self.engine = f"native {library.model_isa().decode()}"
        self._predict_batch = library.model_predict_batch
        self.origin: Origin | None = None  # how it was loaded: pickle loads the bundle again

    def __reduce__(self) -> Reduced:
        return reduced(self, self.origin, self.manifest)

    def __repr__(self) -> str:
        return f"NativeForecaster({self.manifest.name!r}, engine={self.engine!r})"

    def predict(self, values: object, time: object = None, *, series: object = None) -> list[list[float]]:
        """Return forecasts (batch, horizon) in raw units for raw `values`; never a non-finite number.

        values  lists (batch, context, measured), or one window (context, measured); a model with one measured column
                also takes (batch, context) and (context,). Or a float32 buffer in C order (`array`, `memoryview`, a
                numpy array) of any shape, which is read as whole windows.
        time    where the model has a calendar: unix seconds (UTC) of each window's last step, integers; for one window
                also one integer
        series  where the bundle holds several: the name of the windows' series, or one for each; `pulsecast.POOL` for
                a series that training never saw

        Raises UsageError (the series), and WindowLengthError, FeatureCountError, DtypeError, NonFiniteError,
        EmptyInputError, TimeError (all InputError).
        """
        spec = self.manifest.spec
        windows = _floats(values, spec.context, spec.measured)
        count = len(windows) // (spec.context * spec.measured)
        times = _times(time, count) if spec.timed else None
        rows = self._rows(series, count)
        forecasts = array("f", bytes(4 * count * spec.horizon))
        self._predict_batch(
            windows.buffer_info()[0],
            None if times is None else times.buffer_info()[0],
            None if rows is None else rows.buffer_info()[0],
            count,
            forecasts.buffer_info()[0],
            None,
            None,
        )
        found = [forecasts[i : i + spec.horizon].tolist() for i in range(0, len(forecasts), spec.horizon)]
        for number, row in enumerate(found):
            if not all(map(math.isfinite, row)):
                raise NonFiniteError(
                    f"window {number} has no finite forecast: it holds NaN or infinity, values outside what the "
                    "model's scaler can take, or a time that the calendar does not know (unix seconds are expected)"
                )
        return found

    def _rows(self, series: object, count: int) -> array[int] | None:
        """Return the rows of `count` windows in the table of series; None where the bundle is of one."""
        if self.series is None:
            refuse_series(series)
            return None
        return array("q", self.series.rows(series, count))


def _times(time: object, count: int) -> array[int]:
    """Return the times of `count` windows as int64."""
    if time is None:
        raise TimeError(
            "this model has a calendar and the time is missing: pass the unix seconds (UTC) of each window's last step"
        )
    times = time if isinstance(time, Iterable) else (time,)
    try:
        if has_masked(times) or isinstance(times, bytes | bytearray):  # bytes would be read as they lie in memory
            raise TypeError("it is bytes, or has masked cells")
        times = list(times)
        if any(isinstance(one, bool) for one in times):
            raise TypeError("it holds a truth value")
        found = array("q", times)
    except (TypeError, OverflowError) as error:
        raise DtypeError(f"time is not a list of whole numbers: {error}") from error
    if len(found) != count:
        raise TimeError(f"{len(found)} times for {count} windows; expected one for each")
    return found


def _floats(values: object, context: int, features: int) -> array[float]:
    """Return `values` as whole windows, one after the other."""
    if not isinstance(values, list | tuple):
        return _from_buffer(values, context, features)
    found = array("f")
    try:
        for window in _windows(values, context, features):
            if len(window) != context:
                raise WindowLengthError(f"windows have {len(window)} steps; this model takes {context}")
            for step in window:
                if len(step) != features:
                    raise FeatureCountError(f"steps have {len(step)} features; this model takes {features}")
                found.extend(step)
    except (TypeError, OverflowError) as error:
        raise DtypeError(f"values are not lists of real numbers of one shape: {error}") from error
    return found


def _windows(values: list[Any] | tuple[Any, ...], context: int, features: int) -> Iterable[Any]:
    """Return `values` as (batch, context, features), from any of the shapes that `predict` documents."""
    lengths: list[int] = []
    inner: object = values
    while isinstance(inner, list | tuple) and len(lengths) <= 3:  # a list may hold itself
        if not inner:
            raise EmptyInputError("values are empty; pass at least one window")
        lengths.append(len(inner))
        inner = inner[0]
    if len(lengths) == 3:
        return values
    if len(lengths) == 2 and (features > 1 or (lengths[1] == 1 and context > 1)):
        return [values]
    if features == 1 and len(lengths) < 3:
        return [[[value] for value in window] for window in (values if len(lengths) == 2 else [values])]
    raise FeatureCountError(f"values are nested {len(lengths)} deep; this model takes (batch, {context}, {features})")


def _from_buffer(values: object, context: int, features: int) -> array[float]:
    try:
        view = memoryview(values)  # type: ignore[arg-type]  # this call finds out whether it is a buffer
    except TypeError as error:
        raise DtypeError(f"values are {type(values).__name__}; expected lists, or a buffer of float32") from error
    if view.format not in ("f", "<f") or not view.c_contiguous:
        raise DtypeError(f"the buffer's format is {view.format!r}; expected float32 ('f') in C order")
    if has_masked(values):
        raise NonFiniteError("values have masked cells; fill or drop these windows")
    if not view.nbytes:
        raise EmptyInputError("values are empty; pass at least one window")
    if view.nbytes % (4 * context * features):
        raise WindowLengthError(
            f"the buffer holds {view.nbytes // 4} numbers; expected whole windows of {context} steps, {features} each"
        )
    return array("f", view.tobytes())
