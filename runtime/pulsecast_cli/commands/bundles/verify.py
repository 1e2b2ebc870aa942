"""`pulsecast verify`: hashes, then every artifact against the golden, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pulsecast import ArtifactReport, Bundle, MissingExtraError, Signature
from pulsecast import verify as run
from pulsecast.stages.exits import OUT_OF_TOLERANCE

from ...terminal.options import Key, TrustCode
from ...terminal.output import Format, show


def verify(
    bundle: Annotated[Path, typer.Argument(exists=True, help="Bundle to check.")],
    artifact: Annotated[str | None, typer.Option("--artifact", help="Check this one only.")] = None,
    key: Key = None,
    trust_code: TrustCode = False,
    strict: Annotated[bool, typer.Option("--strict", help="An artifact whose engine is missing is a failure.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Check a bundle's hashes, its signature (with --key) and that each artifact computes the trained forecast here."""
    opened = Bundle.open(bundle, key=key)
    reports = run(opened, artifact=artifact, trust_code=trust_code)
    show(
        format_,
        text=_text(reports, opened.signature),
        document={
            "command": "verify",
            "passed": _passed(reports),
            "signature": opened.signature,
            "artifacts": reports,
        },
    )
    missing = [report for report in reports if report.skipped]
    if missing and (strict or len(missing) == len(reports)):
        raise MissingExtraError("; ".join(f"{report.artifact}: {report.skipped}" for report in missing))
    if not _passed(reports):
        raise typer.Exit(OUT_OF_TOLERANCE)


def _passed(reports: tuple[ArtifactReport, ...]) -> bool:
    return all(report.passed for report in reports)


def _text(reports: tuple[ArtifactReport, ...], signature: Signature) -> str:
    lines = ["hashes of all files match the manifest"]
    for report in reports:
        if report.skipped:
            lines.append(f"[-] {report.artifact}: skipped, {report.skipped}")
            continue
        worst = report.checks[0]
        mark = "✓" if report.passed else "✗"
        lines.append(
            f"[{mark}] {report.artifact}: {sum(c.passed for c in report.checks)}/{len(report.checks)} checks on "
            f"{report.engine}, {report.device}; {worst.name} {worst.measured} (limit {worst.limit})"
        )
        lines += [f"    ✗ {c.name}: {c.measured}, limit {c.limit}" for c in report.checks if not c.passed]
    verdict = "every artifact that can run here computes the trained forecast"
    return "\n".join(
        [
            *lines,
            f"signature: {signature}",
            verdict if _passed(reports) else "NOT all artifacts compute the trained forecast",
        ]
    )
