"""All files that a server needs for a bundle, in one folder: a version directory, configuration, deployment, README.

    DIR/models/NAME/VERSION/   what the server runs; a new version comes to stand beside the old ones
    DIR/README.md              how to start the server, and a request that works, with its answer
    DIR/pulsecast.json         for which server and model the folder is, and the SHA-256 of every other file

A server runs as a user without rights, on a read-only file system, and cannot change the model. So every file is
readable by all, whatever the umask. `servers/` has what each server needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pulsecast.backends import AUTO_ORDER
from pulsecast.bundle.bundle import Bundle
from pulsecast.bundle.manifest import Artifact
from pulsecast.errors import UsageError
from pulsecast.foundation.arguments import StrPath, flag, instance, one_path
from pulsecast.foundation.lazy import imported

from .folder.adding import Plan, Wanted, planned, write
from .folder.marker import promise_of
from .options import ServeOptions
from .servers.example import example_of
from .servers.order import Layout, Order
from .servers.table import SERVERS


def serve_config(
    path: StrPath,
    out: StrPath,
    options: ServeOptions | None = None,
    *,
    force: bool = False,
) -> Artifact:
    """Write what a server needs for the bundle at `path` (a folder or a `.pulse` file); return the artifact served.

    out    a new folder, or one that this function wrote for the same server and model: then the version is added, and
           the others stay. A version that is there with the same bytes is left alone.
    force  replace the version if it is there with other bytes

    Raises what `Bundle.open` raises, UsageError if the bundle has no artifact for the server, or `out` cannot take the
    version, and EngineError if a SavedModel holds more than a forecast, because a server runs any operator.
    """
    return place_version(path, out, options, force=force).artifact


@dataclass(frozen=True, kw_only=True)
class Placed:
    """What was written, or would be.

    artifact  the one that the server runs
    remark    what a client must know of the server, empty if nothing
    """

    plan: Plan
    artifact: Artifact
    remark: str


def place_version(
    path: StrPath, out: StrPath, options: ServeOptions | None = None, *, force: bool = False, dry_run: bool = False
) -> Placed:
    """Do what `serve_config` does, and return all about it; with `dry_run` write nothing, but refuse the same."""
    options = ServeOptions() if options is None else instance("options", options, ServeOptions)
    force, dry_run, folder = flag("force", force), flag("dry_run", dry_run), one_path("out", out)
    order = _order(Bundle.open(path), options)
    wanted = _wanted(order, force=force)
    plan = planned(folder, wanted) if dry_run else write(folder, wanted)
    return Placed(plan=plan, artifact=order.artifact, remark=wanted.layout.remark)


def _order(bundle: Bundle, options: ServeOptions) -> Order:
    artifact = _artifact(bundle, options)
    if bundle.manifest.format == 1:
        raise UsageError(
            f"{bundle.path.name} is a bundle of format 1, whose files take calendar columns instead of a time; export "
            "its model again"
        )
    return Order(bundle=bundle, artifact=artifact, options=options, example=example_of(bundle, artifact))


def _wanted(order: Order, *, force: bool) -> Wanted:
    options = order.options
    return Wanted(
        server=options.server,
        model=promise_of(order.bundle, options),
        version=options.version,
        keep=options.keep,
        force=force,
        layout=_layout(order),
    )


def _layout(order: Order) -> Layout:
    writer: Callable[[Order], Layout] = imported(
        SERVERS[order.options.server].writer, "pulsecast_export.serving.servers"
    )
    return writer(order)


def _artifact(bundle: Bundle, options: ServeOptions) -> Artifact:
    """Return the artifact that the server runs: of the backend that it needs, or the one that `load` chooses there."""
    needs = SERVERS[options.server].needs
    wanted = (needs,) if needs else (*AUTO_ORDER, "savedmodel")
    for backend in wanted:
        found = next((a for a in bundle.manifest.artifacts if a.backend == backend and a.units == "raw"), None)
        if found is not None:
            return found
    name, target = ("SavedModel", "savedmodel") if needs == "savedmodel" else ("ONNX file", "onnx")
    raise UsageError(f"{bundle.path.name} has no {name}; export it with --target {target}")
