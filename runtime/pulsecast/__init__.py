"""pulsecast: run a forecaster bundle in an app. Needs numpy; an engine makes it faster.

from pulsecast import load
model = load("bundle")
model.predict(values, timestamps=time)

`help("pulsecast.errors")` shows the tree of all errors; `PulsecastError` is its root.
"""

from __future__ import annotations

from .foundation.lazy import lazily

TYPE_CHECKING = False  # for type checkers; importing `typing` here would cost start-up time
if TYPE_CHECKING:
    from .backends import Backend
    from .bundle.bundle import Bundle
    from .bundle.manifest import Artifact, Manifest
    from .bundle.packing import pack, sign, unpack
    from .bundle.signing import Signature, generate_key
    from .computing.intervals import Interval, RollingConformal
    from .errors import (
        BundleError,
        ConversionError,
        DataError,
        DtypeError,
        EmptyInputError,
        EngineError,
        FeatureCountError,
        FormatError,
        InputError,
        IntegrityError,
        MissingExtraError,
        NonFiniteError,
        NotWrittenError,
        PulsecastError,
        RangeWarning,
        SignatureError,
        TimeError,
        ToleranceError,
        UsageError,
        WindowLengthError,
    )
    from .forecasting.anomalies import AnomalyDetector
    from .forecasting.checks import Check
    from .forecasting.departures import Anomaly
    from .forecasting.forecaster import Forecaster, load
    from .forecasting.living.live_series import StepForecast
    from .forecasting.native_forecaster import NativeForecaster, load_native
    from .forecasting.stepping import Stepped, step
    from .forecasting.streaming import Stream
    from .forecasting.verification import ArtifactReport, verify
    from .forecasting.watching.drift import Drift, Finding
    from .forecasting.watching.monitor import Monitor
    from .model.accuracy import Accuracy
    from .model.network import Network
    from .model.radii import SplitConformal
    from .model.scaler import Scaler
    from .model.series import POOL
    from .model.spec import Feature, ModelSpec
    from .model.weights import Weights
    from .model.windows import Windows
    from .stages.progress import SILENT, LineProgress, Progress, RichProgress, TqdmProgress

__version__ = "0.2.0"

# name -> module. Each is imported on first use (PEP 562): an app pays for importing the forecaster only when it loads
# one.
_HOME = {
    "Accuracy": "model.accuracy",
    "Anomaly": "forecasting.departures",
    "AnomalyDetector": "forecasting.anomalies",
    "Artifact": "bundle.manifest",
    "ArtifactReport": "forecasting.verification",
    "Backend": "backends",
    "Bundle": "bundle.bundle",
    "BundleError": "errors",
    "Check": "forecasting.checks",
    "ConversionError": "errors",
    "DataError": "errors",
    "Drift": "forecasting.watching.drift",
    "DtypeError": "errors",
    "EmptyInputError": "errors",
    "EngineError": "errors",
    "Feature": "model.spec",
    "FeatureCountError": "errors",
    "Finding": "forecasting.watching.drift",
    "Forecaster": "forecasting.forecaster",
    "FormatError": "errors",
    "InputError": "errors",
    "IntegrityError": "errors",
    "Interval": "computing.intervals",
    "LineProgress": "stages.progress",
    "Manifest": "bundle.manifest",
    "MissingExtraError": "errors",
    "ModelSpec": "model.spec",
    "Monitor": "forecasting.watching.monitor",
    "NativeForecaster": "forecasting.native_forecaster",
    "Network": "model.network",
    "NonFiniteError": "errors",
    "NotWrittenError": "errors",
    "POOL": "model.series",
    "Progress": "stages.progress",
    "PulsecastError": "errors",
    "RangeWarning": "errors",
    "RichProgress": "stages.progress",
    "RollingConformal": "computing.intervals",
    "SILENT": "stages.progress",
    "Scaler": "model.scaler",
    "Signature": "bundle.signing",
    "SignatureError": "errors",
    "SplitConformal": "model.radii",
    "StepForecast": "forecasting.living.live_series",
    "Stepped": "forecasting.stepping",
    "Stream": "forecasting.streaming",
    "TimeError": "errors",
    "ToleranceError": "errors",
    "TqdmProgress": "stages.progress",
    "UsageError": "errors",
    "Weights": "model.weights",
    "WindowLengthError": "errors",
    "Windows": "model.windows",
    "generate_key": "bundle.signing",
    "load": "forecasting.forecaster",
    "load_native": "forecasting.native_forecaster",
    "pack": "bundle.packing",
    "sign": "bundle.packing",
    "step": "forecasting.stepping",
    "unpack": "bundle.packing",
    "verify": "forecasting.verification",
}
__all__ = [
    "POOL",
    "SILENT",
    "Accuracy",
    "Anomaly",
    "AnomalyDetector",
    "Artifact",
    "ArtifactReport",
    "Backend",
    "Bundle",
    "BundleError",
    "Check",
    "ConversionError",
    "DataError",
    "Drift",
    "DtypeError",
    "EmptyInputError",
    "EngineError",
    "Feature",
    "FeatureCountError",
    "Finding",
    "Forecaster",
    "FormatError",
    "InputError",
    "IntegrityError",
    "Interval",
    "LineProgress",
    "Manifest",
    "MissingExtraError",
    "ModelSpec",
    "Monitor",
    "NativeForecaster",
    "Network",
    "NonFiniteError",
    "NotWrittenError",
    "Progress",
    "PulsecastError",
    "RangeWarning",
    "RichProgress",
    "RollingConformal",
    "Scaler",
    "Signature",
    "SignatureError",
    "SplitConformal",
    "StepForecast",
    "Stepped",
    "Stream",
    "TimeError",
    "ToleranceError",
    "TqdmProgress",
    "UsageError",
    "Weights",
    "WindowLengthError",
    "Windows",
    "__version__",
    "generate_key",
    "load",
    "load_native",
    "pack",
    "sign",
    "step",
    "unpack",
    "verify",
]

__getattr__, __dir__ = lazily(globals(), _HOME)
