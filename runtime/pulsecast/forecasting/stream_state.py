"""The state of a stream or a detector as bytes: FORMAT.md, "Stream state", specifies it.

It holds raw values, not the states of layers: it is small, the same for every backend, and means the same to the next
version. It also says which model it is of, so that another model refuses it.
"""

from __future__ import annotations

import dataclasses
import struct
import zlib
from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError, UsageError
from ..foundation.arguments import shown
from ..foundation.quick_dataclass import dataclass
from ..model.series import POOL, Pool
from .corrector import INPUTS, REMEMBERED, CorrectorState

if TYPE_CHECKING:
    from ..bundle.manifest import Manifest

MAGIC = b"PLSE"
PLAIN, VERSION = 1, 2  # without sections, as the first pulsecast wrote all of them; and with sections
_NO_TIME = -(2**63)
# magic, version, whether a detector's part follows, whether names do, streams, context, columns, seconds of a step,
# time, digest
_HEADER = struct.Struct("<4sBBBxIIIIq32s")
_LENGTH = struct.Struct("<I")
# of a detector: false-alarm rate, residuals kept, horizon, residuals known, scores remembered
_DETECTOR = struct.Struct("<dIIII")
_SECTION = struct.Struct("<4sI")  # tag, and bytes that follow; sections come last, each at most once
# of a stream that adapts, for each of its windows: horizon, errors, forecasts that wait for the truth
_LEARNT = struct.Struct("<III")
_CHECKSUM = struct.Struct("<I")
ADAPTING, JUDGE, MONITOR = b"ADPT", b"JUDG", b"MNTR"
SECTIONS = {
    ADAPTING: "what the correctors of streams have learnt: `corrector`",
    JUDGE: "what a detector's judge has learnt: `watching.judge_state`",
    MONITOR: "the steps that a monitor keeps: `watching.monitor`",
}
MOST_KEPT = 2**32 - 1  # residuals
_STEPS = 2.0**53  # since a score: a float64 holds every whole number below it


@dataclass(frozen=True, kw_only=True)
class StreamState:
    """What a stream has seen.

    digest  of the model: `pulsecast.bundle.manifest.Manifest.model_digest`
    step_s  seconds between two steps
    time    unix seconds (UTC) of the last step; None if steps had no times
    window  (streams, context, columns) float32, raw, oldest step first; NaN where there was none
    series  the name of each stream's series, or POOL; None for a bundle of one series
    learnt  what the corrector of each stream has learnt; None unless they adapt
    """

    digest: str
    step_s: int
    time: int | None
    window: NDArray[np.float32]
    series: tuple[str | Pool, ...] | None = None
    learnt: tuple[CorrectorState, ...] | None = None

    def require(self, manifest: Manifest, *, carry_over: bool) -> None:
        """Raise UsageError unless a model may continue from this state; `carry_over` accepts that of another model."""
        spec = manifest.spec
        if (self.series is None) != (manifest.series is None):
            theirs, ours = ("one series", "several") if self.series is None else ("several series", "one")
            raise UsageError(f"the state is of a bundle of {theirs}; {manifest.name} is of {ours}")
        if self.digest == manifest.model_digest:
            ready_made = len(spec.features) if manifest.format == 1 else spec.measured  # calendar columns, too
            if self.window.shape[2] not in (spec.measured, ready_made) or self.step_s != spec.step_s:
                raise FormatError("the state has other columns, or another step, than the model that it names")
            return
        if not carry_over:
            raise UsageError(
                f"the state is of another model than {manifest.name}: pass carry_over=True to replay its steps, or "
                "start anew"
            )
        columns, theirs = spec.measured, self.window.shape[2]
        if (columns, spec.step_s) != (theirs, self.step_s):
            raise UsageError(
                f"the state has steps of {theirs} columns every {self.step_s} s; this model takes {columns} every "
                f"{spec.step_s} s, so they cannot be replayed"
            )


@dataclass(frozen=True, kw_only=True)
class DetectorState:
    """What a detector has learnt.

    rate       its false-alarm rate
    kept       residuals that it keeps
    forecasts  (horizon,) float32 of the last step, NaN if there was none
    judged     (7,) float64: the last step's value, forecast, lower, upper, score, anomalous, alarm
    residuals  (n,) float64, oldest first
    highest    (m, 2) float64: how many steps ago, and the score then
    """

    rate: float
    kept: int
    forecasts: NDArray[np.float32]
    judged: NDArray[np.float64]
    residuals: NDArray[np.float64]
    highest: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class State:
    """All that a state's bytes hold; `detector` is None for those of a stream.

    sections  by tag, a key of SECTIONS
    """

    stream: StreamState
    detector: DetectorState | None = None
    sections: Mapping[bytes, bytes] = field(default_factory=dict)


def require_loaded(model: object) -> None:
    """Raise UsageError unless `model` is one that a stream can use."""
    for name in ("manifest", "backend", "series"):
        if not hasattr(model, name):
            raise UsageError(f"model is {shown(model)}; expected what pulsecast.load returned")


def write_state(
    stream: StreamState, detector: DetectorState | None = None, sections: Mapping[bytes, bytes] | None = None
) -> bytes:
    """Return the bytes; the same state gives the same bytes on every platform.

    sections  by tag; None writes version 1
    """
    time = _NO_TIME if stream.time is None else stream.time
    digest = bytes.fromhex(stream.digest)
    learnt = {} if stream.learnt is None else {ADAPTING: b"".join(map(_learnt_bytes, stream.learnt))}
    sections = learnt | dict(sections or {})
    parts = [
        _HEADER.pack(
            MAGIC, VERSION if sections else PLAIN, detector is not None, stream.series is not None,
            *stream.window.shape, stream.step_s, time, digest,
        ),
        *_names(stream.series),
        stream.window.astype("<f4").tobytes(),
    ]  # fmt: skip
    if detector is not None:
        counts = (len(detector.forecasts), len(detector.residuals), len(detector.highest))
        parts.append(_DETECTOR.pack(detector.rate, detector.kept, *counts))
        parts.append(detector.forecasts.astype("<f4").tobytes())
        parts += [part.astype("<f8").tobytes() for part in (detector.judged, detector.residuals, detector.highest)]
    for tag, section in sorted(sections.items()):
        parts += [_SECTION.pack(tag, len(section)), section]
    body = b"".join(parts)
    return body + _CHECKSUM.pack(zlib.crc32(body))


def _learnt_bytes(learnt: CorrectorState) -> bytes:
    arrays = [getattr(learnt, part.name).astype("<f8").tobytes() for part in dataclasses.fields(learnt)]
    return b"".join([_LEARNT.pack(learnt.exact.shape[1], len(learnt.errors), len(learnt.frames)), *arrays])


def _names(series: tuple[str | Pool, ...] | None) -> list[bytes]:
    """Return the names, one on each line and none for the pool, after their length."""
    if series is None:
        return []
    text = "".join(f"{'' if name is POOL else name}\n" for name in series).encode("utf-8")
    return [_LENGTH.pack(len(text)), text]


def read_state(data: bytes) -> State:
    """Return the state in `data`; raises FormatError if it is damaged, or not a state of a known version."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise FormatError(f"the state is {type(data).__name__}; expected the bytes that to_bytes returned")
    data = bytes(data)
    if data[:4] != MAGIC:
        raise FormatError("the state is not one of a pulsecast stream or detector")
    if data[4:5] not in (bytes([PLAIN]), bytes([VERSION])):
        raise FormatError(
            f"the state has version {data[4:5].hex() or 'none'}; this pulsecast reads {PLAIN:02x} and {VERSION:02x}"
        )
    body = data[: -_CHECKSUM.size]
    if len(data) < _HEADER.size + _CHECKSUM.size or data[-_CHECKSUM.size :] != _CHECKSUM.pack(zlib.crc32(body)):
        raise FormatError("the state is damaged: its checksum differs")
    return _parsed(_Reader(body))


class _Reader:
    """Takes a state's parts one after the other; raises FormatError at its end."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def record(self, form: struct.Struct) -> tuple[object, ...]:
        return form.unpack(self._take(form.size))

    def array(self, dtype: str, *shape: int) -> NDArray[np.generic]:
        size = np.dtype(dtype).itemsize
        for count in shape:
            size *= count  # of Python: it cannot overflow
        return np.frombuffer(self._take(size), dtype).reshape(shape).astype(np.dtype(dtype).newbyteorder("="))

    def names(self, streams: int) -> tuple[str | Pool, ...]:
        (length,) = self.record(_LENGTH)
        try:
            lines = self._take(length).decode("utf-8").split("\n")  # type: ignore[arg-type]
        except UnicodeDecodeError as error:
            raise FormatError("the state's names of series are not UTF-8") from error
        if len(lines) != streams + 1 or lines[-1]:
            raise FormatError(f"the state has {len(lines) - 1} names of series; it holds {streams} streams")
        return tuple(line or POOL for line in lines[:-1])

    def sections(self) -> dict[bytes, bytes]:
        """Take all that is left."""
        found: dict[bytes, bytes] = {}
        while self._at < len(self._body):
            tag, size = self.record(_SECTION)
            if tag not in SECTIONS or tag in found:
                raise FormatError(f"the state has a part {tag!r} twice, or that this pulsecast does not know")
            found[tag] = self._take(size)  # type: ignore[arg-type]
        return found

    def end(self) -> None:
        if self._at != len(self._body):
            raise FormatError(f"the state has {len(self._body) - self._at} bytes too many")

    def _take(self, size: int) -> bytes:
        part = self._body[self._at : self._at + size]
        if len(part) != size:
            raise FormatError("the state is too short for what it says it holds")
        self._at += size
        return part


def _parsed(reader: _Reader) -> State:
    _, version, detecting, named, streams, context, columns, step_s, time, digest = reader.record(_HEADER)
    if not all((streams, context, columns, step_s)):  # without a value, the other counts could be of any size
        raise FormatError(f"the state is of {streams} streams, {context} steps of {columns} columns every {step_s} s")
    series = reader.names(streams) if named else None  # type: ignore[arg-type]
    window = reader.array("<f4", streams, context, columns)  # type: ignore[arg-type]
    stream = StreamState(
        digest=digest.hex(),  # type: ignore[attr-defined]
        step_s=step_s,  # type: ignore[arg-type]
        time=None if time == _NO_TIME else time,  # type: ignore[arg-type]
        window=window,  # type: ignore[arg-type]
        series=series,
    )
    detector = _detector(reader) if detecting else None
    sections = reader.sections() if version == VERSION else {}
    reader.end()
    if ADAPTING in sections:
        stream = dataclasses.replace(stream, learnt=_all_learnt(sections.pop(ADAPTING), len(window)))
    return State(stream=stream, detector=detector, sections=sections)


def _all_learnt(section: bytes, streams: int) -> tuple[CorrectorState, ...]:
    reader = _Reader(section)
    found = tuple(_learnt(reader) for _ in range(streams))
    reader.end()
    return found


def _learnt(reader: _Reader) -> CorrectorState:
    horizon, errors, waiting = reader.record(_LEARNT)
    found = CorrectorState(
        gram=reader.array("<f8", INPUTS * (INPUTS + 1) // 2),  # type: ignore[arg-type]
        moment=reader.array("<f8", INPUTS),  # type: ignore[arg-type]
        errors=reader.array("<f8", errors),  # type: ignore[arg-type]
        losses=reader.array("<f8", 2),  # type: ignore[arg-type]
        frames=reader.array("<f8", waiting, 2),  # type: ignore[arg-type]
        exact=reader.array("<f8", waiting, horizon),  # type: ignore[arg-type]
        guesses=reader.array("<f8", waiting, horizon),  # type: ignore[arg-type]
    )
    finite = all(
        np.isfinite(part).all() for part in (found.gram, found.moment, found.losses, found.frames, found.errors)
    )
    sizes = (found.errors >= 0).all() and (found.losses >= 0).all() and (found.frames[:, 1] > 0).all()
    if not (finite and sizes and horizon and errors <= REMEMBERED):  # type: ignore[operator]
        raise FormatError("the state's corrector holds numbers that no corrector has learnt")
    return found


def _detector(reader: _Reader) -> DetectorState:
    rate, kept, horizon, residuals, highest = reader.record(_DETECTOR)
    found = DetectorState(
        rate=rate,  # type: ignore[arg-type]
        kept=kept,  # type: ignore[arg-type]
        forecasts=reader.array("<f4", horizon),  # type: ignore[arg-type]
        judged=reader.array("<f8", 7),  # type: ignore[arg-type]
        residuals=reader.array("<f8", residuals),  # type: ignore[arg-type]
        highest=reader.array("<f8", highest, 2),  # type: ignore[arg-type]
    )
    ago = found.highest[:, 0]
    if np.isnan(found.highest).any() or (ago != np.floor(ago)).any() or not (np.abs(ago) < _STEPS).all():
        raise FormatError("the state's highest scores have no whole number of steps, or are not numbers")
    if not (np.isfinite(found.residuals) & (found.residuals >= 0)).all():
        raise FormatError("the state's residuals are not finite numbers from 0")
    return found
