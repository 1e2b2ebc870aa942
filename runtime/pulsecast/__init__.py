"""pulsecast: run a forecaster bundle in an app. Needs numpy; an engine makes it faster.

from pulsecast import load
model = load("bundle")
model.predict(windows)
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # as `typing` has it for type checkers, without importing that before it is needed
if TYPE_CHECKING:
    from .bundle import Bundle
    from .errors import PulsecastError
    from .forecaster import Forecaster, load
    from .intervals import Interval, RollingConformal
    from .native_forecaster import load_native
    from .verification import verify

__version__ = "0.1.0"
__all__ = [
    "Bundle",
    "Forecaster",
    "Interval",
    "PulsecastError",
    "RollingConformal",
    "__version__",
    "load",
    "load_native",
    "verify",
]

# name -> module. Each is imported when it is first asked for (PEP 562), so that an app's start-up pays for a forecaster
# when it loads one, and not before.
_HOME = {
    "Bundle": "bundle",
    "Forecaster": "forecaster",
    "Interval": "intervals",
    "PulsecastError": "errors",
    "RollingConformal": "intervals",
    "load": "forecaster",
    "load_native": "native_forecaster",
    "verify": "verification",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value
