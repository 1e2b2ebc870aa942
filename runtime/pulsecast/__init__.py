"""pulsecast: run a forecaster bundle in an app. Needs numpy; an engine makes it faster.

from pulsecast import load
model = load("bundle")
model.predict(windows)
"""

from .bundle import Bundle
from .errors import PulsecastError
from .forecaster import Forecaster, load
from .intervals import Interval, RollingConformal
from .verification import verify

__version__ = "0.1.0"
__all__ = ["Bundle", "Forecaster", "Interval", "PulsecastError", "RollingConformal", "__version__", "load", "verify"]
