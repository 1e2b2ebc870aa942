"""The public functions and methods with usual arguments, found by introspection, and how a hostile call ended."""

from __future__ import annotations

import importlib
import inspect
import signal
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from helpers.hostile.values import SECRET
from pulsecast.errors import PulsecastError
from pulsecast.limits import MESSAGE_BYTES

DOORS = (
    "pulsecast",
    "pulsecast_serve",
    "pulsecast_streams",
    "pulsecast_train",
    "pulsecast_export",
    "pulsecast_bench",
)
CASE_S = 5.0  # of the processor: on a busy machine a second of work may take five
WAITING_S = 60.0  # for a call that waits and does no work

_LIMITS = ((signal.ITIMER_PROF, signal.SIGPROF, CASE_S), (signal.ITIMER_REAL, signal.SIGALRM, WAITING_S))


class Callee(NamedTuple):
    """A public function, class or method: `pulsecast.load`, `pulsecast.Scaler`, `pulsecast.Stream.push`."""

    name: str
    parameters: tuple[str, ...]


def callees() -> Iterator[Callee]:
    """Yield all that an app may call through the doors, in their order; errors are left out."""
    for door in DOORS:
        package = importlib.import_module(door)
        for name in package.__all__:
            found = getattr(package, name)
            if inspect.isclass(found) and issubclass(found, Exception):
                continue
            if callable(found):
                yield Callee(f"{door}.{name}", _parameters(found))
            if inspect.isclass(found):
                yield from _methods(f"{door}.{name}", found)


def _methods(name: str, found: type) -> Iterator[Callee]:
    for method in dir(found):
        kept = inspect.getattr_static(found, method)
        if method.startswith("_") or not isinstance(kept, types.FunctionType | classmethod | staticmethod):
            continue
        parameters = _parameters(getattr(found, method))
        yield Callee(f"{name}.{method}", parameters[isinstance(kept, types.FunctionType) :])


def _parameters(found: Callable[..., object]) -> tuple[str, ...]:
    return tuple(inspect.signature(found).parameters)


class TooSlowError(BaseException):
    """The call took too long; not an Exception, so that nothing takes it for the end of a case."""


def outcome(call: Callable[[], object], *, values: bool = False) -> str | None:
    """Return what was wrong with the end of `call`; None for a result, and for an error that the rules allow.

    values  a record's own ValueError is allowed too: what reads a record says where it stands
    """
    usual = {number: signal.signal(number, _too_slow) for _, number, _ in _LIMITS}
    for timer, _, limit_s in _LIMITS:
        signal.setitimer(timer, limit_s)
    try:
        found = call()
        if inspect.isgenerator(found):
            next(found, None)
    except PulsecastError as error:
        return wrong_text(error)
    except ValueError as error:
        return wrong_text(error) if values else _unexpected(error)
    except TooSlowError:
        return f"took more than {CASE_S:g} s of the processor, or {WAITING_S:g} s"
    except BaseException as error:
        return _unexpected(error)
    finally:
        for timer, number, _ in _LIMITS:
            signal.setitimer(timer, 0)
            signal.signal(number, usual[number])
    return None


def _too_slow(*_: object) -> NoReturn:
    raise TooSlowError


def _unexpected(error: BaseException) -> str:
    frames = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if "pulsecast" in code.co_filename:
            frames.append(f"{Path(code.co_filename).name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{type(error).__name__} from {' '.join(frames[-3:])}"


def wrong_text(error: BaseException) -> str | None:
    """Return what is wrong with an error's text, and with those of its causes: they stand in a traceback, too."""
    said = str(error)
    if not said or not said.isprintable():
        return f"its text is not printable: {said[:80]!a}"
    if len(said.encode("utf-8")) > MESSAGE_BYTES:
        return f"its text has {len(said.encode('utf-8'))} bytes: {said[:80]}"
    cause: BaseException | None = error
    while cause is not None:
        if SECRET in _text(cause):
            return f"a secret stands in a {type(cause).__name__}, cause of: {said[:80]}"
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return None


def _text(error: BaseException) -> str:
    own = "a method of the argument failed" in str(error)  # that text is the argument's, not ours
    return "" if own else str(error)
