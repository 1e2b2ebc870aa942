"""The fuzzing child process: `python -m fuzz.child TARGET CORPUS LIBFUZZER-OPTIONS`, in the folder `tests`.

The packages are imported under atheris, which counts the branches that a case takes.
"""

from __future__ import annotations

import sys

import atheris

PACKAGES = [f"pulsecast{end}" for end in ("", "_serve", "_streams", "_train", "_export", "_bench")]
with atheris.instrument_imports(include=PACKAGES):
    from fuzz.targets import TARGETS
    from pulsecast.errors import PulsecastError
    from pulsecast.limits import MESSAGE_BYTES

    CHECK = TARGETS[sys.argv[1]].make()


def one(data: bytes) -> None:
    """Let the target take `data`; what is not a PulsecastError of one printable sentence ends the process."""
    try:
        CHECK(data)
    except PulsecastError as error:
        said = str(error)
        assert said.isprintable(), said
        assert len(said.encode()) <= MESSAGE_BYTES, said


if __name__ == "__main__":
    atheris.Setup(sys.argv[:1] + sys.argv[2:], one)
    atheris.Fuzz()
