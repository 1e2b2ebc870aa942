"""The error tree: a class only where a caller would act differently.

PulsecastError
├── InputError                what was passed to `predict`; also a ValueError
│   ├── WindowLengthError     a window has too few or too many steps
│   ├── FeatureCountError     a step has too few or too many features, or columns of other names
│   ├── DtypeError            not real numbers; also a TypeError
│   ├── NonFiniteError        NaN or infinity, or a value outside the model's domain
│   ├── TimeError             a time that is missing, without a zone, in milliseconds, late, or beyond the calendar
│   └── EmptyInputError       no window at all
├── UsageError                an unknown name or an impossible combination of options
├── DataError                 a log or series that cannot be used as it is
├── BundleError               a bundle or model directory that cannot be read
│   ├── FormatError           missing, malformed or of an unknown format
│   └── IntegrityError        its bytes are not those that were exported
│       └── SignatureError    not signed by the given key, or code whose signature was not checked
├── MissingExtraError         an optional package is not installed
├── EngineError               an engine refused or failed to run an artifact
├── ConversionError           an artifact could not be made; names the target
├── ToleranceError            an artifact does not compute the reference forecast
└── NotWrittenError           minutes of work ended well, but its file could not be written; `result` holds it

RangeWarning, which `predict` warns with, is not an error unless an app's filter of warnings makes it one.

Every class has a `code`, a short word that stays: the command line prints it (`error[data]: …`), and the documentation
has a section under it (`errors.html#data`).
"""

from __future__ import annotations

from .plain_text import message


class PulsecastError(Exception):
    """Root of all errors that pulsecast raises on purpose; its text is one sentence for the user.

    The text may quote what a stranger wrote, so it is made fit for a terminal: see `pulsecast.plain_text.message`.
    """

    code = "failed"

    def __init__(self, text: str = "") -> None:
        super().__init__(message(text))


class InputError(PulsecastError, ValueError):
    """The values passed to `predict` do not fit the model."""

    code = "input"


class WindowLengthError(InputError):
    """A window has another number of steps than the model's context."""

    code = "window-length"


class FeatureCountError(InputError):
    """A step has another number of features than the model, or a frame has columns of other names."""

    code = "feature-count"


class DtypeError(InputError, TypeError):
    """The values are not real numbers (integers or floats)."""

    code = "dtype"


class NonFiniteError(InputError):
    """A value is NaN or infinite, or lies outside the model's domain."""

    code = "non-finite"


class TimeError(InputError):
    """A time is missing, not that of the next step, in milliseconds or finer, or beyond the known holidays."""

    code = "time"


class EmptyInputError(InputError):
    """There is no window to forecast from."""

    code = "empty-input"


class UsageError(PulsecastError):
    """A name or a combination of options that does not exist."""

    code = "usage"


class DataError(PulsecastError):
    """A log or series that is refused; the text says where and how to correct it."""

    code = "data"


class BundleError(PulsecastError):
    """A bundle or model directory that cannot be read."""

    code = "bundle"


class FormatError(BundleError):
    """A missing or malformed file, or a format number this version does not know."""

    code = "format"


class IntegrityError(BundleError):
    """Bytes differ from what the manifest records."""

    code = "integrity"


class SignatureError(IntegrityError):
    """A bundle is not signed by the given key, or its artifact is code without a checked signature."""

    code = "signature"


class MissingExtraError(PulsecastError):
    """An optional package is missing; the text names the extra that installs it."""

    code = "missing-extra"


class EngineError(PulsecastError):
    """An inference engine refused or failed to run an artifact."""

    code = "engine"


class ConversionError(PulsecastError):
    """An artifact could not be written, or its graph failed a gate; the text names the target."""

    code = "conversion"


class NotWrittenError(PulsecastError):
    """What was made could not be written; `result` holds it, so that it is not lost."""

    code = "not-written"

    def __init__(self, message: str, *, result: object) -> None:
        super().__init__(message)
        self.result = result


class ToleranceError(PulsecastError):
    """An artifact's forecasts differ from the reference by more than its tolerance."""

    code = "tolerance"


class RangeWarning(UserWarning):
    """Windows lie far outside what training saw: their forecasts are plausible numbers that say nothing."""

    code = "range"
