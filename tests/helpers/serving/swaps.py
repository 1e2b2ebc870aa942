"""Requests while versions are swapped: each answer must be that of the version that it names."""

from __future__ import annotations

import http.client
import json
import shutil
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

from helpers.serving import WAIT_S, Client, series_body

PATH = "/v1/timeseries/forecast"
SERIES = [float(200 + i % 24) for i in range(90)]


@dataclass
class Asked:
    """What two clients were answered: seconds of each request, versions seen, and everything that was wrong."""

    seconds: list[float] = field(default_factory=list)
    versions: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


class Asking:
    """Asks until it is stopped, each client on one connection that is kept.

    right  version % 2 -> the forecast that it must give
    """

    def __init__(self, client: Client, model: str, right: dict[int, list[float]], clients: int = 2) -> None:
        self.found = Asked()
        self._body = json.dumps(series_body(model, SERIES)).encode()
        self._where = urllib.parse.urlsplit(client.address).netloc
        self._right = right
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]

    def __enter__(self) -> Asking:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(WAIT_S)

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(self._where, timeout=WAIT_S)
        while not self._stop.is_set() and not self.found.wrong:
            began = time.perf_counter()
            connection.request("POST", PATH, self._body)
            answer = connection.getresponse()
            said = answer.read()
            self.found.seconds.append(time.perf_counter() - began)
            if answer.status != 200:
                self.found.wrong.append(f"{answer.status} {said[:300]!r}")
                return
            document = json.loads(said)
            version = int(document["model_version"])
            self.found.versions.add(version)
            forecast = document["outputs"][0]["content"][0]["mean_forecast"]
            if forecast != self._right[version % 2]:
                self.found.wrong.append(f"version {version} forecast {forecast}")
        connection.close()

    def until(self, version: int) -> None:
        """Wait until `version` answers."""
        self._wait(lambda: version in self.found.versions, f"version {version} never answered")

    def until_asked(self, count: int) -> None:
        """Wait until so many more requests were answered."""
        goal = len(self.found.seconds) + count
        self._wait(lambda: len(self.found.seconds) >= goal, "the server stands still")

    def _wait(self, condition: object, what: str) -> None:
        assert callable(condition)
        end = time.monotonic() + 10 * WAIT_S
        while not condition() and not self.found.wrong:
            assert time.monotonic() < end, what
            threading.Event().wait(0.005)


def install(bundle: Path, folder: Path, version: int) -> None:
    """Copy a bundle to where the server sees a version, file by file, as a slow copy would."""
    shutil.copytree(bundle, folder / str(version))
