"""The front door: serve bundles until told to stop, or give an application for a server of your own."""

from __future__ import annotations

import functools
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulsecast.errors import RangeWarning, UsageError
from pulsecast.foundation.arguments import StrPath, instance, one_path, paths
from pulsecast.foundation.private_folder import temporary_folder
from pulsecast.plain_text import printable

from .config import ServerConfig
from .models.sources import named

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from pulsecast.forecasting.forecaster import Forecaster

    from .http.measures import Measures
    from .rpc.server import RpcServer
    from .serving import Serving
    from .streams.streams import Streams

log = logging.getLogger("pulsecast.serve")
Listening = Callable[[str], None]


def _silent(address: str) -> None:
    del address


def serve(
    bundles: StrPath | Sequence[StrPath] = (),
    *,
    models: StrPath | None = None,
    config: ServerConfig | None = None,
    listening: Listening = _silent,
) -> None:
    """Answer requests until SIGTERM or Ctrl-C, then finish what is at work and return.

    bundles    bundles, folders or `.pulse` files, each as PATH or "NAME=PATH"; the name is the bundle's own by default
    models     in their place: a folder of models, DIR/NAME/VERSION/; it is followed, and a new version takes its place
               once it was loaded and proven
    config     how to listen, whom to answer
    listening  called with each address once the server listens, that of gRPC last

    Raises UsageError (neither or both of bundles and models; two of one name; the port is taken; the keys), and what
    `pulsecast.load` raises of a bundle that was named.

        serve("bundle")
    """
    config = ServerConfig() if config is None else instance("config", config, ServerConfig)
    making = replace(_making(bundles, models, config), own=True)
    from .http.keys import read_keys
    from .http.server import bound, check_tls, run

    if config.keys is not None:
        read_keys(one_path("keys", config.keys))  # before anything is loaded
    check_tls(config)
    if config.store is not None:
        from .streams.store import open_store

        open_store(config.store).close()  # said here, before anything is loaded
    making = making.loaded() if config.workers == 1 else making.proven()
    with bound(config) as socket, _rpc_reserved(config) as config, _shared_numbers(config):
        secure, host = "" if config.tls_certificate is None else "s", config.host
        shown_host = f"[{host}]" if ":" in host else host
        listening(f"http{secure}://{shown_host}:{socket.getsockname()[1]}")
        grpc = functools.partial(listening, f"grpc{secure}://{shown_host}:{config.grpc_port}")
        if config.workers > 1 and config.grpc_port is not None:
            grpc()  # a worker cannot say it here
        run(replace(making, config=config, grpc=grpc if config.workers == 1 else None), config, socket)


def application(
    bundles: StrPath | Sequence[StrPath] = (), *, models: StrPath | None = None, config: ServerConfig | None = None
) -> ASGIApp:
    """Return the ASGI application that `serve` runs, for a server of your own; host, port, workers and TLS are its.

    Arguments and errors are those of `serve`.
    """
    config = ServerConfig() if config is None else instance("config", config, ServerConfig)
    return _making(bundles, models, config).loaded()()


def _making(bundles: StrPath | Sequence[StrPath], models: StrPath | None, config: ServerConfig) -> _Making:
    none = isinstance(bundles, list | tuple) and len(bundles) == 0
    given = [] if none else [str(path) for path in paths("bundles", bundles)]
    if bool(given) == (models is not None):
        raise UsageError("pass bundles, or a folder of models (--models DIR), one of the two")
    folder = None if models is None else one_path("models", models)
    if folder is not None and not folder.is_dir():
        raise UsageError(f"the folder of models {folder} is not there; expected DIR/NAME/VERSION/ with a bundle in it")
    return _Making(bundles=named(given), folder=folder, config=config)


@dataclass(frozen=True, kw_only=True)
class _Making:
    """Makes the application, in this process or in one that was started for it.

    ready  the bundles, loaded already: they do not travel to another process
    own    the process is the server's own: its log goes to stderr
    grpc   called once gRPC listens; it does not travel either
    """

    bundles: Mapping[str, Path]
    folder: Path | None
    config: ServerConfig
    ready: Mapping[str, Forecaster] | None = None
    own: bool = False
    grpc: Callable[[], None] | None = None

    def _load(self) -> dict[str, Forecaster]:
        from .models.library import load_for, warm

        load = load_for(self.config)
        loaded = {name: load(path) for name, path in self.bundles.items()}
        for model in loaded.values():
            warm(model)
        return loaded

    def loaded(self) -> _Making:
        """Return the same with its bundles loaded; raises what `pulsecast.load` raises."""
        return replace(self, ready=self._load())

    def proven(self) -> _Making:
        """Return the same after its bundles were loaded once, so that an error is said here; workers load anew."""
        self._load()
        return self

    def __call__(self) -> ASGIApp:
        from .batching import Batches
        from .http.app import build
        from .http.measures import Measures
        from .http.server import end_with_parent
        from .live.hub import Hub
        from .models.library import Library, fixed
        from .models.served import Models
        from .serving import Serving

        if self.own:
            _log_to_stderr()
            if self.config.workers > 1:
                end_with_parent()
            warnings.filterwarnings("ignore", category=RangeWarning)  # an answer says it of each series
        models = Models()
        if self.folder is None:
            fixed(models, self._load() if self.ready is None else self.ready)
        measures, streams = Measures(models), self._streams()
        if streams is not None:
            measures.follow_streams(streams, series=self.config.series_metrics)
        batches = Batches(self.config.batch_wait_us / 1e6)
        hub = Hub(self.config.listeners)
        serving = Serving(models=models, config=self.config, batches=batches, streams=streams, hub=hub)
        library = Library(models, self.config, folder=self.folder)
        return build(serving, library, measures, _rpc(serving, measures, self.grpc))

    def _streams(self) -> Streams | None:
        from .streams.store import open_store
        from .streams.streams import Streams

        config = self.config
        if config.store is None:
            return None
        if not self.own:  # `serve` has looked
            open_store(config.store).close()
        opened = functools.partial(open_store, config.store, thorough=False)
        return Streams(opened, most=config.streams, age_days=config.streams_age_days)


def _rpc(serving: Serving, measures: Measures, started: Callable[[], None] | None) -> RpcServer | None:
    """Return the server of gRPC, None where it was not asked for."""
    config = serving.config
    if config.grpc_port is None:
        return None
    from .http.keys import read_keys
    from .http.tracing import Tracer
    from .rpc.server import RpcServer

    admits = None if config.keys is None else read_keys(one_path("keys", config.keys)).admits
    tracer = Tracer() if config.traces else None
    return RpcServer(serving, admits=admits, note=measures.note, started=started, tracer=tracer)


def _rpc_reserved(config: ServerConfig) -> AbstractContextManager[ServerConfig]:
    if config.grpc_port is None:
        return nullcontext(config)
    from .rpc.ports import reserved

    return reserved(config)


class _Clean(logging.Formatter):
    """Lines that nothing in a request or a folder's name can forge: a message is one line, a traceback is indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return "\n".join(f"    {printable(line)}" for line in super().formatException(ei).split("\n"))


def _log_to_stderr() -> None:
    """Write the server's log, in a worker too; a process that set up a log of its own keeps it."""
    if not log.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(_Clean("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)


@contextmanager
def _shared_numbers(config: ServerConfig) -> Iterator[None]:
    """Let several workers add up their metrics, in a folder that is gone afterwards."""
    if config.workers == 1:
        yield
        return
    with temporary_folder() as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
        try:
            yield
        finally:
            del os.environ["PROMETHEUS_MULTIPROC_DIR"]
