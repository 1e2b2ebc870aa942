"""pulsecast: run a forecaster bundle in an app. Needs numpy; an engine makes it faster.

from pulsecast import load
model = load("bundle")
model.predict(windows)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .bundle import Bundle
from .errors import PulsecastError
from .forecaster import Forecaster, load
from .intervals import Interval, RollingConformal

if TYPE_CHECKING:
    from .verification import verify

__version__ = "0.1.0"
__all__ = ["Bundle", "Forecaster", "Interval", "PulsecastError", "RollingConformal", "__version__", "load", "verify"]


def __getattr__(name: str) -> object:
    """Import `verify` when it is first asked for: an app that only forecasts does not pay for it at start-up."""
    if name == "verify":
        from .verification import verify

        return verify
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
