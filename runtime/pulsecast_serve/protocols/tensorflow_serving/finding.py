"""Which version of a model a request means, and the state of versions, in TensorFlow Serving's sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...models.served import STABLE, Models, Served, Shelf
from ...refusal import BAD_REQUEST, NOT_FOUND, RefusedError

# Our versions begin at 1. ovmsclient sends 0 where its caller names no version.
NO_VERSION = 0
AVAILABLE, LOADING, END = "AVAILABLE", "LOADING", "END"
OK, REFUSED = "OK", "FAILED_PRECONDITION"
_WHY = "the bundle was refused; the server's log says why"  # the reason itself may hold a path


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A model as a request names it: with a version, a label, or neither."""

    name: str
    version: int | None = None
    label: str | None = None

    @property
    def any_version(self) -> bool:
        """Whether neither a version nor a label is named."""
        return self.label is None and not self.pinned

    @property
    def pinned(self) -> bool:
        """Whether the number of a version is named: what is answered by it stays the same model."""
        return self.version not in (None, NO_VERSION)


@dataclass(frozen=True, kw_only=True)
class State:
    """The state of one version; `code` and `message` say what is wrong with it."""

    version: int
    state: str
    code: str = OK
    message: str = ""


def find(models: Models, wanted: Wanted) -> Served:
    """Return the version that answers; a model that is being loaded is not found, as the protocol has it.

    Raises RefusedError: 404 (model or version), 400 (label).
    """
    shelf = models.shelves.get(wanted.name, Shelf())
    number = _number(shelf, wanted)
    found = shelf.versions.get(number)
    if found is None:
        which = f"Latest({wanted.name})" if wanted.any_version else f"Specific({wanted.name}, {number})"
        raise RefusedError(NOT_FOUND, f"Servable not found for request: {which}", param="model")
    return found


def states(models: Models, wanted: Wanted) -> list[State]:
    """Return the state of the version that is wanted, or of all versions, the newest first; raises RefusedError."""
    shelf = models.shelves.get(wanted.name, Shelf())
    number = None if wanted.any_version else _number(shelf, wanted)
    found = [one for one in _states(shelf) if number in (None, one.version)]
    if not found:
        which = "any versions" if number is None else f"version {number}"
        raise RefusedError(NOT_FOUND, f"Could not find {which} of model {wanted.name}", param="model")
    return found


def _number(shelf: Shelf, wanted: Wanted) -> int:
    """Return the number of the version that is wanted, NO_VERSION if there is none; raises RefusedError (a label)."""
    if wanted.any_version:
        return shelf.labels.get(STABLE, NO_VERSION)
    if wanted.label is None:
        assert wanted.version is not None  # noqa: S101  # for the type checker: one of the two is named
        return wanted.version
    if wanted.label not in shelf.labels:
        raise RefusedError(BAD_REQUEST, f"Unrecognized servable version label: {wanted.label}", param="label")
    return shelf.labels[wanted.label]


def _states(shelf: Shelf) -> Iterator[State]:
    for version in sorted({*shelf.versions, *shelf.loading, *shelf.refused}, reverse=True):
        if version in shelf.versions:
            yield State(version=version, state=AVAILABLE)
        elif version in shelf.refused:
            yield State(version=version, state=END, code=REFUSED, message=_WHY)
        else:
            yield State(version=version, state=LOADING)
