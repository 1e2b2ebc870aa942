"""How numbers and texts are written in C."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.resources import files

import numpy as np

LANE_PADDING = 16  # floats of the widest vector that the kernels use


def filled(package: str, template: str, values: Mapping[str, str]) -> str:
    """Return the text of a package's `templates/<template>` with every `@NAME@` replaced; an unknown name: KeyError."""
    text = files(package).joinpath("templates", template).read_text(encoding="ascii")
    return re.sub(r"@([A-Z_0-9]+)@", lambda match: values[match.group(1)], text)


def padded(count: int, to: int = LANE_PADDING) -> int:
    """Return `count` rounded up to a multiple of `to`."""
    return -(-count // to) * to


def plain(text: str) -> str:
    """Return `text` fit for a C string and a C comment."""
    return re.sub(r"[^\w .,()+-]", "_", text, flags=re.ASCII)


def commented(text: str) -> str:
    """Return JSON `text` fit for a C comment, where neither end may stand; it is still the same JSON.

    >>> print(commented('"/* name */"'))
    "/\\u002a name *\\/"
    """
    return text.replace("/*", "/\\u002a").replace("*/", "*\\/")


def c_string(text: str) -> str:
    """Return ASCII `text` as a C string; a question mark is escaped because two of them may begin a trigraph."""
    return '"' + re.sub(r'(["\\?])', r"\\\1", text) + '"'


def rows_text(matrix: Iterable[Iterable[float]]) -> str:
    """Return the rows of a table of floats."""
    return ",\n".join(f"{{{', '.join(map(float_text, row))}}}" for row in matrix)


def array_text(values: Iterable[np.float32 | np.int8]) -> str:
    """Return `values` separated by commas, eight in a line."""
    texts = [str(value) if isinstance(value, np.int8) else float_text(float(value)) for value in values]
    return ",\n".join(", ".join(texts[i : i + 8]) for i in range(0, len(texts), 8))


def float_text(value: float) -> str:
    """Return `value` as a float constant; nine digits determine a float32."""
    text = f"{value:.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"
