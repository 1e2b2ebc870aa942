"""`pulsecast serve-config`: what a model server needs to serve a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pulsecast.errors import UsageError

from ...terminal.dry_run import DryRun
from ...terminal.grouped import grouped
from ...terminal.options import under
from ...terminal.output import Format, show

if TYPE_CHECKING:
    from pulsecast_export.serving.folder.adding import Plan
    from pulsecast_export.serving.options import ServeOptions

_OF_SERVER = under("Of some servers")
SERVERS = "tfserving, triton, triton-python, kserve, kserve-pulsecast, ovms or pulsecast"


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """The options of `ServeOptions`."""

    server: Annotated[str, typer.Option("--for", help=f"The server: {SERVERS}.")] = "tfserving"
    version: Annotated[int, typer.Option("--version", help="Number of the version directory.")] = 1
    keep: Annotated[int | None, typer.Option("--keep", help="Remove all versions but the newest N.")] = None
    threads: Annotated[int, typer.Option("--threads", help="Cores that the server may use.")] = 2
    name: Annotated[str, _OF_SERVER("--name", "Name of the model in requests.")] = "pulsecast"
    wait_us: Annotated[int | None, _OF_SERVER("--wait-us", "How long a batch waits to fill; 0 never.")] = None
    image: Annotated[str | None, _OF_SERVER("--image", "Image of the server, or to build on.")] = None
    storage_uri: Annotated[str | None, _OF_SERVER("--storage-uri", "Where KServe gets models/ from.")] = None
    wheel: Annotated[str | None, _OF_SERVER("--wheel", "Wheel of pulsecast that an image installs.")] = None

    def checked(self) -> ServeOptions:
        """Return the options for Python; raises UsageError."""
        from pulsecast_export import ServeOptions

        try:
            return ServeOptions(**vars(self))
        except ValueError as error:
            raise UsageError(str(error)) from error


USUAL = ServerOptions()


@grouped
def serve_config(
    bundle: Annotated[Path, typer.Argument(exists=True, help="Bundle, a folder or a .pulse file.")],
    out: Annotated[Path, typer.Option("--out", help="New folder, or one of this command for a further version.")],
    options: ServerOptions = USUAL,
    force: Annotated[bool, typer.Option("--force", help="Replace this version if it has other bytes.")] = False,
    dry_run: DryRun = False,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Write a version of a bundle for a model server: version directory, configuration, README with a request.

    A version comes to stand beside those that the folder has.
    """
    from pulsecast_export.serving.serve_config import place_version

    checked = options.checked()
    placed = place_version(bundle, out, checked, force=force, dry_run=dry_run)
    plan, artifact = placed.plan, placed.artifact.id
    facts = {
        "command": "serve-config",
        **({"dry_run": True} if dry_run else {}),
        "server": checked.server,
        "artifact": artifact,
        "fate": plan.fate,
        "version": plan.version,
        "versions": list(plan.versions),
        "removed": list(plan.removed),
        "beside": sorted(plan.beside),
    }
    if dry_run:
        show(format_, text=_would(out, plan), document=facts)
        return
    lines = (
        f"{out}: {checked.server} serves {artifact} as version {plan.versions[-1]}; {_done(plan)}",
        placed.remark,
        f"next: {out / 'README.md'} has the command that starts it, and a request with its answer",
    )
    show(format_, text="\n".join(filter(None, lines)), document=facts)


def _would(out: Path, plan: Plan) -> str:
    """Return what a run without --dry-run does."""
    if plan.fate == "made":
        return f"{out} would be made"
    version = {
        "added": f"version {plan.version} would be added",
        "replaced": f"version {plan.version} would be replaced",
        "unchanged": f"version {plan.version} is there with the same bytes",
    }
    written = [f"{', '.join(sorted(plan.beside))} would be written"] if plan.beside else []
    removed = [f"{_versions(plan.removed)} would be removed"] if plan.removed else []
    return "\n".join(f"{out}: {one}" for one in (version[plan.fate], *written, *removed))


def _done(plan: Plan) -> str:
    """Return what was done."""
    others = [number for number in plan.versions if number != plan.version]
    words = [f"version {plan.version} was {plan.fate}"]
    words += [f"{_versions(others)} stayed"] if others else []
    words += [f"{_versions(plan.removed)} went"] if plan.removed else []
    return ", ".join(words)


def _versions(numbers: Sequence[int]) -> str:
    return f"version{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"
