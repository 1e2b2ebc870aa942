"""Objects that hold an engine: it lives in one process, so they are neither pickled nor copied."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from ..errors import UsageError


def uncopied(instead: str) -> Callable[[object, object], NoReturn]:
    """Return a `__reduce_ex__` that raises UsageError, which names the class and says what to do `instead`.

    `pickle`, `copy.copy` and `copy.deepcopy` all call it:

        class Forecaster:
            __reduce_ex__ = uncopied("load the bundle in each process")
    """

    def refuse(self: object, protocol: object) -> NoReturn:
        del protocol
        name = type(self).__name__
        raise UsageError(f"this {name} cannot be pickled or copied, because its engine lives in one process: {instead}")

    return refuse
