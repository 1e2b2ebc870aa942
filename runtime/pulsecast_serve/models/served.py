"""The models that are served now. Reading takes no lock: a change puts a new shelf in the place of the old one."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pulsecast.forecasting.forecaster import Forecaster
from pulsecast.foundation.arguments import shown

from ..refusal import NOT_FOUND, NOT_READY, RefusedError

STABLE = "stable"


@dataclass(frozen=True, kw_only=True)
class Served:
    """One version of a model, loaded; its golden windows were forecast as the export did.

    alike  most windows that may be forecast at once, to the last bit as each alone
    """

    name: str
    version: int
    model: Forecaster
    alike: int = 1


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """All that is known of one model.

    versions  the loaded ones
    labels    names of versions; `stable` is the one that answers if a request names none
    loading   versions that are being loaded
    refused   versions that could not be, and why
    """

    versions: Mapping[int, Served] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)
    loading: frozenset[int] = frozenset()
    refused: Mapping[int, str] = field(default_factory=dict)

    @property
    def stable(self) -> Served | None:
        """The version that answers if a request names none; None before one was loaded."""
        version = self.labels.get(STABLE)
        return None if version is None else self.versions.get(version)


class Models:
    """Model names and their shelves. Any thread reads; one thread changes.

    wanted  looks at the disk: the version of a model that ought to be stable now; None if none is known there
    """

    def __init__(self) -> None:
        self.wanted: Callable[[str], int | None] = lambda name: None  # named bundles have one version each
        self._shelves: Mapping[str, Shelf] = {}
        self._complete = False

    @property
    def names(self) -> list[str]:
        """The names of all models, also of those that are not loaded yet."""
        return sorted(self._shelves)

    @property
    def shelves(self) -> Mapping[str, Shelf]:
        """What is known of each model."""
        return self._shelves

    @property
    def ready(self) -> bool:
        """Whether there is a model, all were looked at, and each can answer."""
        return self._complete and bool(self._shelves) and all(shelf.stable for shelf in self._shelves.values())

    def replace(self, shelves: Mapping[str, Shelf], *, complete: bool) -> None:
        """Put `shelves` in the place of the present ones; `complete` says that nothing waits to be loaded at first."""
        self._shelves, self._complete = shelves, complete

    def shelf(self, name: str) -> Shelf:
        """Return what is known of a model; raises RefusedError (404)."""
        shelf = self._shelves.get(name)
        if shelf is None:
            raise RefusedError(NOT_FOUND, f"no model {shown(name)}{self._instead(name)}", param="model")
        return shelf

    def find(self, name: str, *, version: int | None = None, label: str | None = None) -> Served:
        """Return the version of a model that a request names, by number or label, or its stable one.

        Raises RefusedError: 404 (unknown model, version or label), 503 (it is being loaded).
        """
        shelf = self.shelf(name)
        if version is None:
            version = shelf.labels.get(STABLE if label is None else label)
        found = None if version is None else shelf.versions.get(version)
        if found is not None:
            return found
        if version in shelf.loading or (label is None and version is None):
            raise RefusedError(NOT_READY, f"model {shown(name)} is not loaded yet; ask again later", param="model")
        wanted = f"version {version}" if label is None else f"label {shown(label)}"
        known = [*map(str, sorted(shelf.versions)), *sorted(shelf.labels)]
        raise RefusedError(
            NOT_FOUND, f"model {shown(name)} has no {wanted}; it has {', '.join(known) or 'none'}", param="model"
        )

    def _instead(self, name: str) -> str:
        names = self.names
        near = difflib.get_close_matches(name[:100], names, n=3) or names[:3]
        return f"; there is {', '.join(map(shown, near))}" if near else "; there is none yet"
