"""The native model with nothing but the standard library: for a process that must answer at once, or has no numpy.

Importing numpy is most of what stands between a Python process and its first forecast from compiled C. Here nothing
imports it: values come as lists or as float32 buffers, forecasts go as lists. For everything else (calendar features
from timestamps, intervals, streams, other backends) there is `pulsecast.load`.
"""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .backends import require_trust
from .bundle import Bundle
from .errors import (
    DtypeError,
    EmptyInputError,
    FeatureCountError,
    NonFiniteError,
    UsageError,
    WindowLengthError,
)
from .native_library import find_library, open_library

if TYPE_CHECKING:
    import ctypes

    from .manifest import Manifest
    from .signing import Key


def load_native(
    path: str | os.PathLike[str],
    *,
    artifact: str = "native",
    key: Key | None = None,
    trust_code: bool = False,
) -> NativeForecaster:
    """Return a NativeForecaster for the bundle at `path`, after every file was checked against the manifest's hashes.

    artifact         `native` or `native-w8`
    key, trust_code  those of `pulsecast.load`: the artifact is code, and somebody must vouch for it

    The library then forecasts golden windows that were compiled into it. Raises what `pulsecast.load` raises.

        model = load_native("bundle", trust_code=True)
        model.predict(window)             # lists in, lists out
    """
    bundle = Bundle.open(path, key=key)
    chosen = bundle.manifest.artifact(artifact)
    if chosen.backend != "native":
        raise UsageError(f"artifact {artifact!r} is for backend {chosen.backend!r}, not 'native'; use pulsecast.load")
    require_trust(bundle, chosen, trust_code=trust_code)
    library = open_library(str(find_library(bundle, chosen.path)), bundle.manifest.spec)
    return NativeForecaster(bundle.manifest, library)


class NativeForecaster:
    """A loaded native model. `predict` may be called from several threads at once.

    manifest  what the bundle says about itself
    engine    which instruction set runs
    """

    def __init__(self, manifest: Manifest, library: ctypes.CDLL) -> None:
        self.manifest = manifest
        self.engine = f"native {library.model_isa().decode()}"
        self._predict_batch = library.model_predict_batch

    def __repr__(self) -> str:
        return f"NativeForecaster({self.manifest.name!r}, engine={self.engine!r})"

    def predict(self, values: object) -> list[list[float]]:
        """Return forecasts (batch, horizon) in raw units for raw `values`; never a non-finite number.

        values  lists (batch, context, features), or one window (context, features); a model with one feature also takes
                (batch, context) and (context,). Or a float32 buffer in C order (`array`, `memoryview`, a numpy array)
                of any shape, which is read as so many whole windows.

        Raises WindowLengthError, FeatureCountError, DtypeError, NonFiniteError, EmptyInputError (all InputError).
        """
        spec = self.manifest.spec
        windows = _floats(values, spec.context, len(spec.features))
        count = len(windows) // (spec.context * len(spec.features))
        forecasts = array("f", bytes(4 * count * spec.horizon))
        self._predict_batch(windows.buffer_info()[0], count, forecasts.buffer_info()[0])
        rows = [forecasts[i : i + spec.horizon].tolist() for i in range(0, len(forecasts), spec.horizon)]
        for number, row in enumerate(rows):
            if not all(map(math.isfinite, row)):
                raise NonFiniteError(
                    f"window {number} has no finite forecast: it holds NaN or infinity, or values outside what the "
                    "model's scaler can take"
                )
        return rows


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
        raise DtypeError(f"values are no lists of real numbers of one shape: {error}") from error
    return found


def _windows(values: list[Any] | tuple[Any, ...], context: int, features: int) -> Iterable[Any]:
    """Return `values` as (batch, context, features), from any of the shapes that `predict` documents."""
    lengths: list[int] = []
    inner: object = values
    while isinstance(inner, list | tuple):
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
        view = memoryview(values)  # type: ignore[arg-type]  # whether it is one is what this asks
    except TypeError as error:
        raise DtypeError(f"values are {type(values).__name__}; expected lists, or a buffer of float32") from error
    if view.format not in ("f", "<f") or not view.c_contiguous:
        raise DtypeError(f"the buffer's format is {view.format!r}; expected float32 ('f') in C order")
    if not view.nbytes:
        raise EmptyInputError("values are empty; pass at least one window")
    if view.nbytes % (4 * context * features):
        raise WindowLengthError(
            f"the buffer holds {view.nbytes // 4} numbers; expected whole windows of {context} steps, {features} each"
        )
    return array("f", view.tobytes())
