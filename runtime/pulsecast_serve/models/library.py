"""Keeps the served models as the disk says: a version is loaded and proven beside the others, then takes its place."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pulsecast.errors import PulsecastError
from pulsecast.forecasting.forecaster import Forecaster, load
from pulsecast.model.series import POOL_ROW
from pulsecast.model.windows import Windows

from ..config import ServerConfig
from .alike import alike
from .served import STABLE, Models, Served, Shelf
from .sources import Found, Stamp, in_folder, stamp

log = logging.getLogger("pulsecast.serve")
WARM_UP = 3  # forecasts before a version answers: the first one of an engine takes longer
_LOWEST = 19  # priority of the thread that loads: answers come first
_TURN_S = 0.0002  # of a thread of Python while a version is loaded; 0.005 is usual

Load = Callable[[Path], Forecaster]


def load_for(config: ServerConfig) -> Load:
    """Return how `config` loads a bundle."""

    def loaded(path: Path) -> Forecaster:
        return load(
            path, backend=config.backend, artifact=config.artifact, threads=config.threads, key=config.key,
            trust_code=config.trust_code,
        )  # fmt: skip

    return loaded


def warm(model: Forecaster) -> None:
    """Forecast a window of the middle of training's range some times."""
    spec = model.manifest.spec
    middle = [(one.low + one.high) / 2 for one in model.manifest.scaler.features[: spec.measured]]
    windows = Windows(
        values=np.tile(np.array(middle, np.float32), (1, spec.context, 1)),
        time=np.zeros(1, np.int64) if spec.timed else None,
        series=None if model.series is None else np.full(1, POOL_ROW),
    )
    for _ in range(WARM_UP):
        model.predict(windows, bad="nan")  # a calendar of holidays may not know the time


@dataclass(frozen=True, kw_only=True)
class _Tried:
    """What a version on disk looked like when it was loaded, or refused."""

    stamp: Stamp
    served: Served | None
    reason: str = ""


class Library:
    """The models of a folder, followed as it changes; or bundles that were named, which stay as they are."""

    def __init__(self, models: Models, config: ServerConfig, *, folder: Path | None) -> None:
        self._models = models
        self._load = load_for(config)
        self._folder = folder
        if folder is not None:
            models.wanted = self.wanted
        self._poll_s = config.poll_s
        self._tried: dict[tuple[str, int], _Tried] = {}
        self._seen: dict[tuple[str, int], Stamp] = {}  # at the look before
        self._said: set[str] = set()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to follow the folder in a thread of its own; the first look is part of it."""
        if self._folder is None:
            return
        self._thread = threading.Thread(target=self._follow, name="pulsecast-models", daemon=True)
        self._thread.start()

    def wanted(self, name: str) -> int | None:
        """Return the version that is to be stable by what the disk says now, whether or not it was loaded already."""
        found = None if self._folder is None else in_folder(self._folder).get(name)
        if found is None:
            return None
        labelled = found.labels.get(STABLE)
        good = found.versions.keys() - self._refused(name)
        return labelled if labelled in good else max(good, default=None)

    def stop(self) -> None:
        """End the thread after what it is loading."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _follow(self) -> None:
        if hasattr(os, "setpriority"):  # on Linux a thread has a priority of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)
        first = True
        while not self._stop.is_set():
            try:
                self.refresh(first=first)
            except Exception:
                log.exception("the models could not be looked at")
            first = False
            self._stop.wait(self._poll_s)

    def refresh(self, *, first: bool) -> None:
        """Look at the folder once, and load what is new.

        A version is loaded when two looks in a row saw the same files, since it may be on its way; at the `first` look
        at once.
        """
        assert self._folder is not None  # noqa: S101  # for the type checker: `start` has looked
        found = {name: self._labelled(name, one) for name, one in in_folder(self._folder).items()}
        shelves = dict(self._models.shelves)
        if first:
            shelves = {name: Shelf(loading=frozenset(one.versions)) for name, one in found.items()}
            self._models.replace(shelves, complete=False)
        for name, one in found.items():
            self._tell_once(name, one.problem)
            for version, path in sorted(one.versions.items(), reverse=True):
                if version in wanted(one, self._refused(name)):
                    self._try(name, version, path, first=first)
            shelves[name] = self._shelf(name, one)
            self._models.replace(dict(shelves), complete=not first)
        kept = {name: shelf for name, shelf in shelves.items() if name in found}
        self._models.replace(kept, complete=True)
        self._forget(found)

    def _labelled(self, name: str, found: Found) -> Found:
        """Return `found` with the labels before, if its own cannot be read: the file may be on its way."""
        shelf = self._models.shelves.get(name)
        return found if found.problem is None or shelf is None else replace(found, labels=shelf.labels)

    def _try(self, name: str, version: int, path: Path, *, first: bool) -> None:
        """Load a version unless its files are those of the last attempt, or are still being written."""
        place, looks = (name, version), stamp(path)
        settled = first or self._seen.get(place) == looks
        self._seen[place] = looks
        tried = self._tried.get(place)
        if not settled or (tried is not None and tried.stamp == looks):
            return
        try:
            with _short_turns():
                model = self._load(path)
                warm(model)
                most = alike(model)
        except PulsecastError as error:
            log.error("model %s version %d is refused: %s", name, version, error)
            before = None if tried is None else tried.served
            self._tried[place] = _Tried(stamp=looks, served=before, reason=str(error))
            return
        served = Served(name=name, version=version, model=model, alike=most)
        self._tried[place] = _Tried(stamp=looks, served=served)
        log.info("model %s version %d answers: %s", name, version, model.artifact.id)

    def _shelf(self, name: str, found: Found) -> Shelf:
        """Return what stands for a model now: versions that are wanted, and good."""
        tried = {version: one for (known, version), one in self._tried.items() if known == name}
        refused = {v: one.reason for v, one in tried.items() if one.reason and v in found.versions}
        good = {v: one.served for v, one in tried.items() if one.served is not None and v in found.versions}
        before = self._models.shelves.get(name, Shelf()).stable
        if not good and before is not None and found.versions:  # the old one goes on until a good one is there
            return Shelf(versions={before.version: before}, labels={STABLE: before.version}, refused=refused)
        labels = {label: version for label, version in found.labels.items() if version in good}
        for label in found.labels.keys() - labels.keys():
            self._tell_once(name, f"label {label} is of version {found.labels[label]}, which does not answer")
        if STABLE not in labels and good:  # of a label whose version does not answer, the one before goes on
            stays = before is not None and STABLE in found.labels and before.version in good
            labels[STABLE] = before.version if before is not None and stays else max(good)
        kept = {version: good[version] for version in sorted(set(labels.values()))}
        return Shelf(versions=kept, labels=labels, refused=refused)

    def _refused(self, name: str) -> set[int]:
        """Return the versions of a model that could not be loaded."""
        return {version for (known, version), one in self._tried.items() if known == name and one.served is None}

    def _forget(self, found: Mapping[str, Found]) -> None:
        """Drop what is no longer on disk, or no longer stands."""
        for name, version in list(self._tried):
            shelf = self._models.shelves.get(name)
            gone = name not in found or version not in found[name].versions
            tried = self._tried[name, version]
            if gone or (tried.served is not None and (shelf is None or version not in shelf.versions)):
                del self._tried[name, version]
        self._seen = {(n, v): one for (n, v), one in self._seen.items() if n in found and v in found[n].versions}

    def _tell_once(self, name: str, problem: str | None) -> None:
        said = f"model {name}: {problem}"
        if problem is not None and said not in self._said:
            self._said.add(said)
            log.warning("%s", said)


@contextmanager
def _short_turns() -> Iterator[None]:
    """Let threads take the interpreter's lock from each other sooner: an answer needs it several times, and asks for it
    anew after each call to the system.
    """
    usual = sys.getswitchinterval()
    sys.setswitchinterval(min(usual, _TURN_S))
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def wanted(found: Found, refused: AbstractSet[int]) -> set[int]:
    """Return the versions to have loaded: the labelled ones, and the largest that was not refused (and each above)."""
    numbers = set(found.labels.values()) & found.versions.keys()
    if STABLE in found.labels and found.labels[STABLE] not in refused:
        return numbers
    above = [version for version in found.versions if version in refused]
    good = [version for version in found.versions if version not in refused]
    return numbers | set(above) | ({max(good)} if good else set())


def fixed(models: Models, loaded: Mapping[str, Forecaster]) -> None:
    """Serve bundles that were loaded already, each as version 1."""
    shelves = {
        name: Shelf(versions={1: Served(name=name, version=1, model=model, alike=alike(model))}, labels={STABLE: 1})
        for name, model in loaded.items()
    }
    models.replace(shelves, complete=True)
