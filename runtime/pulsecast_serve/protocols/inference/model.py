"""What a model takes and gives as tensors, and its answer to some.

The inputs are those of an artifact: `values` FP32 (batch, context, measured) in raw units; `time` INT64 (batch,), unix
seconds (UTC) of each window's last step, where the model has a calendar; `series` (batch,) where it has a table, as
names (BYTES), or as rows if the request names the version whose rows they are. Other numbers are taken for `values`
too, and rounded to float32 as `Forecaster.predict` does. The outputs are `forecast`, `lower` and `upper`, FP32 (batch,
horizon).

No answer holds a number that is not finite: a window that cannot be forecast refuses the request, which names it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from pulsecast.bundle.contract import inputs_of, outputs_of
from pulsecast.errors import InputError, TimeError
from pulsecast.forecasting.forecaster import Forecaster
from pulsecast.foundation.arguments import shown
from pulsecast.model.windows import FORECAST, LOWER, SERIES, TIME, UPPER, VALUES, Windows
from pulsecast.plain_text import Problems

from ...models.served import Served
from ...refusal import BAD_REQUEST, RefusedError
from ...serving import Serving
from ..series_names import row_named
from .tensors import BYTES, FLOATS, INTEGERS, Head, Tensor, refused

FP32 = "FP32"
_FLOAT32 = np.dtype(np.float32)
OUTSIDE = "outside_training_range"  # parameter of an answer: the windows whose forecasts are not to be trusted
# the first one stands in the metadata
_TAKEN: Mapping[str, tuple[str, ...]] = {
    VALUES: (FP32, *FLOATS, *INTEGERS),
    TIME: ("INT64", *INTEGERS),
    SERIES: (BYTES, *INTEGERS),
}
_WORDS: Mapping[str, str] = {
    VALUES: "FP32, or another datatype of numbers",
    TIME: "INT64, whole unix seconds (UTC) of each window's last step",
    SERIES: "BYTES, the name of each window's series, or INT64, its row",
}
EXTENSIONS = ("binary_tensor_data",)
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_MOST_ROWS = 10  # named in an error


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The outputs that were asked for, (batch, horizon), and which windows lie far outside what training saw."""

    outputs: Mapping[str, NDArray[np.float32]]
    outside: Sequence[int]

    @property
    def parameters(self) -> dict[str, str]:
        """What is said beside the outputs: nothing in the usual case."""
        return {OUTSIDE: ",".join(map(str, self.outside))} if self.outside else {}


@dataclass(frozen=True, kw_only=True)
class _Contract:
    """What a model takes and gives, by name."""

    takes: Mapping[str, Head]
    gives: Mapping[str, Head]


_CONTRACTS: WeakKeyDictionary[Forecaster, _Contract] = WeakKeyDictionary()  # of the models that are served


def found(serving: Serving, name: str, version: str) -> Served:
    """Return a model by name, and by version or label, "" for the stable one; raises RefusedError (404, 503)."""
    if not version:
        return serving.models.find(name)
    if _VERSION.fullmatch(version):
        return serving.models.find(name, version=int(version))
    return serving.models.find(name, label=version)


def versions(serving: Serving, served: Served) -> list[str]:
    """Return the versions of a model that answer."""
    return [str(version) for version in sorted(serving.models.shelf(served.name).versions)]


def platform(served: Served) -> str:
    """Return the engine behind a model."""
    return f"pulsecast_{served.model.artifact.backend}"


def takes(model: Forecaster) -> list[Head]:
    """Return the inputs of a model; -1 in a shape is any number."""
    return list(_contract(model).takes.values())


def gives(model: Forecaster) -> list[Head]:
    """Return the outputs of a model; -1 in a shape is any number."""
    return list(_contract(model).gives.values())


def _contract(model: Forecaster) -> _Contract:
    found = _CONTRACTS.get(model)
    if found is None:
        spec = model.manifest.spec
        inputs = inputs_of(spec, many=model.series is not None)
        outputs = outputs_of(spec, bounded=model.manifest.level is not None)
        found = _CONTRACTS[model] = _Contract(
            takes={name: Head(name=name, datatype=_TAKEN[name][0], shape=shape) for name, shape in inputs.items()},
            gives={name: Head(name=name, datatype=FP32, shape=shape) for name, shape in outputs.items()},
        )
    return found


def wanted(model: Forecaster, names: Sequence[object]) -> list[str]:
    """Return the outputs that are asked for, all where none is named; raises RefusedError (400)."""
    known = list(_contract(model).gives)
    if not names:
        return known
    unknown = [name for name in names if name not in known]
    if unknown:
        raise refused(f"no output {', '.join(map(shown, unknown[:3]))}; this model gives {', '.join(known)}", "outputs")
    if len(set(names)) < len(names):
        raise refused("an output is asked for twice; expected each name once", "outputs")
    return [str(name) for name in names]


def windows_of(model: Forecaster, tensors: Sequence[Tensor], *, version: str) -> Windows:
    """Return tensors as a batch of windows; raises RefusedError (400), with all that is wrong.

    version  that the request names, "" for none: a row of a table is of one series in one version alone
    """
    if problems := Problems((*_problems(model, tensors), *_unpinned(tensors, version))):
        raise refused(str(problems), "inputs")
    given = {one.name: one.array for one in tensors}
    return Windows(
        values=_float32(given[VALUES]), time=_whole(TIME, given.get(TIME)), series=_rows(model, given.get(SERIES))
    )


def _float32(values: NDArray[Any]) -> NDArray[np.float32]:
    if values.dtype == _FLOAT32:
        return np.ascontiguousarray(values)
    with np.errstate(over="ignore"):  # becomes infinite, which is refused
        return np.ascontiguousarray(values, _FLOAT32)


def _problems(model: Forecaster, tensors: Sequence[Tensor]) -> Iterator[str]:
    expected = _contract(model).takes
    names = [one.name for one in tensors]
    known = ", ".join(expected)
    yield from (f"no input {shown(name)}; this model takes {known}" for name in names if name not in expected)
    yield from (f"input {name} is missing; this model takes {known}" for name in expected if name not in names)
    repeated = (
        sorted(name for name, count in Counter(names).items() if count > 1) if len(set(names)) < len(names) else ()
    )
    yield from (f"input {shown(name)} stands more than once" for name in repeated)
    batch = next((one.shape[0] for one in tensors if one.name == VALUES and one.shape), None)
    for one in tensors:
        if one.name not in expected:
            continue
        shape = expected[one.name].shape
        if one.datatype not in _TAKEN[one.name]:
            yield f"{one.name} is {one.datatype}; this model takes {_WORDS[one.name]}"
        if len(one.shape) != len(shape) or one.shape[1:] != shape[1:]:
            yield f"the shape of {one.name} is {list(one.shape)}; this model takes {list(shape)}"
        elif one.shape[0] == 0:
            yield f"{one.name} is empty; expected at least one window"
        elif batch is not None and one.shape[0] != batch:
            yield f"{one.name} is of {one.shape[0]:,} windows, values of {batch:,}"


def _unpinned(tensors: Sequence[Tensor], version: str) -> Iterator[str]:
    by_row = any(one.name == SERIES and one.datatype in INTEGERS for one in tensors)
    if by_row and not _VERSION.fullmatch(version):
        yield (
            "series are rows, and the next version may have another series there: send names (BYTES), or name the "
            "number of the version"
        )


def _whole(name: str, given: NDArray[Any] | None) -> NDArray[np.int64] | None:
    if given is None:
        return None
    if given.dtype.kind == "u" and (given > np.uint64(2**63 - 1)).any():
        raise refused(f"{name} holds a number beyond INT64", name)
    return np.ascontiguousarray(given, np.int64)


def _rows(model: Forecaster, given: NDArray[Any] | None) -> NDArray[np.int64] | None:
    """Return the rows of the series that the windows are of, by name or as they came."""
    if given is None or given.dtype.kind != "O" or model.series is None:
        return _whole(SERIES, given)
    rows = {}
    for name in set(given.tolist()):
        try:
            rows[name] = row_named(model.series, name.decode("utf-8"), param=SERIES)
        except UnicodeDecodeError:
            raise refused("series holds a name that is not UTF-8", SERIES) from None
    return np.array([rows[name] for name in given.tolist()], np.int64)


async def answered(serving: Serving, served: Served, windows: Windows, names: Sequence[str]) -> Answer:
    """Return the outputs of `names`; raises RefusedError: 400 (a number of them would not be finite), 413."""
    forecast = await serving.predict(served, windows)
    return await serving.run(len(windows), lambda: _answer(served.model, windows, forecast, names))


def _answer(model: Forecaster, windows: Windows, forecast: NDArray[np.float32], names: Sequence[str]) -> Answer:
    if not np.isfinite(forecast).all():
        _refuse_bad(model, windows, np.flatnonzero(~np.isfinite(forecast).all(axis=1)))
    found: dict[str, NDArray[np.floating]] = {FORECAST: forecast}
    if LOWER in names or UPPER in names:
        found |= _bounds(model, windows, forecast)
    outputs = {name: found[name].astype("<f4", copy=False) for name in names}
    for name, numbers in outputs.items():
        if not np.isfinite(numbers).all():
            _refuse_unbounded(name, numbers)
    return Answer(outputs=outputs, outside=np.flatnonzero(model.outside(windows)).tolist())


def _bounds(model: Forecaster, windows: Windows, forecast: NDArray[np.float32]) -> dict[str, NDArray[np.floating]]:
    """Return the bounds at the level of the manifest, (batch, horizon) each."""
    from pulsecast.computing.intervals import split_interval

    split, level = model.manifest.intervals, model.manifest.level
    if split is None or level is None:
        return {}
    found = split_interval(split, forecast, level, model.series, windows.series)
    return {LOWER: found.lower, UPPER: found.upper}


def _refuse_bad(model: Forecaster, windows: Windows, rows: NDArray[np.intp]) -> NoReturn:
    """Raise RefusedError that names the windows at `rows`, and why they have no forecast."""
    whole = np.isfinite(windows.values[rows]).all(axis=(1, 2))
    problems = []
    if not whole.all():
        problems.append(f"{_named(rows[~whole])}: values are NaN or infinite")
    if whole.any():
        problems.append(f"{_named(rows[whole])}: {_reason(model, windows.take(rows[whole][:1]))}")
    raise RefusedError(BAD_REQUEST, f"no forecast for {'; for '.join(problems)}; leave such windows out", param=VALUES)


def _reason(model: Forecaster, window: Windows) -> str:
    """Return why one window has no forecast."""
    try:
        model.predict(window)
    except TimeError as error:
        return str(error)
    except InputError:
        pass
    return "values lie outside what the model takes"


def _named(rows: NDArray[np.intp]) -> str:
    """Return rows as words.

    >>> _named(np.array([1, 4]))
    'windows 1, 4'
    """
    shown_rows = ", ".join(map(str, rows[:_MOST_ROWS]))
    more = f" and {len(rows) - _MOST_ROWS:,} more" if len(rows) > _MOST_ROWS else ""
    return f"window{'s' if len(rows) > 1 else ''} {shown_rows}{more}"


def _refuse_unbounded(name: str, numbers: NDArray[np.float32]) -> NoReturn:
    rows = np.flatnonzero(~np.isfinite(numbers).all(axis=1))
    raise refused(
        f"{name} has no finite bound for {_named(rows)}; ask for the forecast alone: "
        f'"outputs": [{{"name": "{FORECAST}"}}]',
        "outputs",
    )
