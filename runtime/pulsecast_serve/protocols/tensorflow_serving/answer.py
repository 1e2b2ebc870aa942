"""Numbers and answers as TensorFlow Serving writes them.

A number has the six digits of `%g` where these read back as the same float32, else nine digits, which always do; ".0"
is added to a whole number without an exponent. Text is pretty-printed as the original is: four spaces, and in the row
form the numbers of one output on one line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from .predicting import Outputs

_INDENT = "    "
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def numbers(values: NDArray[np.float32]) -> list[str]:
    """Return how each of `values` (n,) is written.

    >>> numbers(np.array([0.2, 9e6, 3, -0.0, 1 / 3, np.nan, -np.inf], np.float32))
    ['0.2', '9e+06', '3.0', '-0.0', '0.333333343', 'NaN', '-Infinity']
    """
    texts = [f"{one:g}" for one in values.tolist()]
    with np.errstate(over="ignore"):  # six digits may round above the largest float32
        same = np.array(texts, np.float64).astype(np.float32) == values
    found = zip(texts, same.tolist(), values.tolist(), strict=True)
    return [_finished(text if good else f"{one:.9g}") for text, good, one in found]


def _finished(text: str) -> str:
    if text in _NOT_FINITE:
        return _NOT_FINITE[text]
    return text if "." in text or "e" in text else f"{text}.0"


def row_answer(outputs: Outputs) -> str:
    """Return the answer to `instances`: a list of forecasts, or of objects where there are several outputs."""
    lines = {name: [f"[{', '.join(row)}]" for row in _rows(outputs[name])] for name in sorted(outputs)}
    if len(lines) == 1:
        inside = ", ".join(next(iter(lines.values())))
    else:
        inside = ",".join(_row_object(dict(zip(lines, row, strict=True))) for row in zip(*lines.values(), strict=True))
    return f'{{\n{_INDENT}"predictions": [{inside}\n{_INDENT}]\n}}'


def _rows(array: NDArray[np.float32]) -> Iterator[list[str]]:
    """Return how the numbers of each row (horizon,) of `array` are written."""
    texts, steps = numbers(array.ravel()), array.shape[1]
    return (texts[first : first + steps] for first in range(0, len(texts), steps))


def _row_object(texts: dict[str, str]) -> str:
    members = ",".join(f'\n{3 * _INDENT}"{name}": {text}' for name, text in texts.items())
    return f"\n{2 * _INDENT}{{{members}\n{2 * _INDENT}}}"


def columnar_answer(outputs: Outputs) -> str:
    """Return the answer to `inputs`: a tensor, or an object of tensors where there are several outputs."""
    if len(outputs) == 1:
        inside = _columnar(next(iter(outputs.values())), 1)
    else:
        members = [f'{2 * _INDENT}"{name}": {_columnar(outputs[name], 2)}' for name in sorted(outputs)]
        inside = "{\n" + ",\n".join(members) + f"\n{_INDENT}}}"
    return f'{{\n{_INDENT}"outputs": {inside}\n}}'


def _columnar(array: NDArray[np.float32], depth: int) -> str:
    return _block([_block(row, depth + 1) for row in _rows(array)], depth)


def _block(texts: Sequence[str], depth: int) -> str:
    """Return a list with a line for each of its texts."""
    inside = ",".join(f"\n{_INDENT * (depth + 1)}{text}" for text in texts)
    return f"[{inside}\n{_INDENT * depth}]" if texts else "[]"
