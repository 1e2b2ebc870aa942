"""`pulsecast keygen` and `sign`: who made a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...terminal.output import Format, show


def keygen(
    out: Annotated[Path, typer.Option("--out", help="Private key file; the public key is written beside it as .pub.")],
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Make an Ed25519 key pair: the private key with mode 0600, never printed and never overwritten."""
    from pulsecast import generate_key
    from pulsecast.bundle.signing import PUBLIC_SUFFIX

    key_id = generate_key(out)
    text = f"key {key_id}\nprivate: {out}, mode 0600, keep it secret\npublic:  {out}{PUBLIC_SUFFIX}, give it away"
    show(format_, text=text, document={"command": "keygen", "key_id": key_id})


def sign(
    bundle: Annotated[Path, typer.Argument(exists=True, help="Bundle, a folder or a .pulse file.")],
    key: Annotated[Path, typer.Option("--key", exists=True, dir_okay=False, help="Private key of `keygen`.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing signature.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Check every file of a bundle, then sign its manifest, which holds their hashes."""
    from pulsecast import sign as run

    signed = run(bundle, key, force=force)
    show(format_, text=f"{bundle}: {signed.signature}", document={"command": "sign", "signature": signed.signature})
