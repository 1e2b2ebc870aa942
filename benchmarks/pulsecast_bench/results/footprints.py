"""Flash, RAM and stack on a microcontroller, as `python -m pulsecast_bench.native.microcontroller` writes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pulsecast.errors import FormatError, UsageError
from pulsecast.foundation import strict_json

from .document import read_document

KIND: Literal["pulsecast microcontroller"] = "pulsecast microcontroller"
SCHEMA_VERSION: Literal[1] = 1


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Bytes of one program: `text` (code and constants), `data` (initial values), `bss` (zeros), deepest stack."""

    artifact: str
    use: str
    text: int
    data: int
    bss: int
    stack: int

    def __post_init__(self) -> None:
        if min(self.text, self.data, self.bss, self.stack) < 0:
            raise ValueError(f"{self.artifact}, {self.use}: bytes are negative")

    @property
    def flash(self) -> int:
        """Code, constants, and the values that are copied to RAM."""
        return self.text + self.data

    @property
    def ram(self) -> int:
        """Static memory and the deepest stack."""
        return self.data + self.bss + self.stack


@dataclass(frozen=True, kw_only=True)
class Footprints:
    """All programs of a bundle's native artifacts, as `--out` writes them; `kind` identifies the file.

    model     the bundle's name, with the SHA-256 of its manifest: the model of the figures
    compiler  its name and version, with its options for the processor
    """

    kind: Literal["pulsecast microcontroller"]
    schema_version: Literal[1]
    model: str
    manifest_sha256: str
    compiler: str
    programs: tuple[Footprint, ...]

    def __post_init__(self) -> None:
        if not self.programs:
            raise ValueError("programs are empty")


def read_footprints(path: Path) -> Footprints:
    """Return the record that `--out` wrote to `path`.

    Raises UsageError if the file is of another kind, FormatError that lists every problem or names the unknown version.
    """
    kind = f"{KIND} result; `python -m pulsecast_bench.native.microcontroller BUNDLE --out FILE` writes one"
    document = read_document(path, "kind", kind)
    if document["kind"] != KIND:
        raise UsageError(f"{path.name} is not a {kind}")
    if (version := document.get("schema_version")) != SCHEMA_VERSION:
        raise FormatError(
            f"{path.name}: schema_version is {version!r}; this version of pulsecast reads {SCHEMA_VERSION}"
        )
    return strict_json.parse(Footprints, document, where=path.name)
