"""Classification and regression: our signature has neither, and a request for them is answered as the original does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...refusal import BAD_REQUEST, RefusedError
from .document import type_word, value_text
from .signature import CLASSIFY, PREDICT, REGRESS, SIGNATURE

EXAMPLES, CONTEXT = "examples", "context"
_KINDS = {CLASSIFY: "classification", REGRESS: "regression"}


def check_examples(document: Mapping[str, Any]) -> None:
    """Raise RefusedError (400) unless a request of REST holds examples: objects, at least one."""
    if CONTEXT in document:
        _check_example(document[CONTEXT])
    said = None
    if EXAMPLES not in document:
        said = f"When method is classify, key '{EXAMPLES}' is expected and was not found"
    elif not isinstance(document[EXAMPLES], list):
        said = f"Expecting '{EXAMPLES}' value to be an list/array"
    elif not document[EXAMPLES]:
        said = f"'{EXAMPLES}' value is an empty array"
    if said is not None:
        raise RefusedError(BAD_REQUEST, f"JSON Value: {value_text(document)} {said}")
    for example in document[EXAMPLES]:
        _check_example(example)


def _check_example(example: object) -> None:
    if not isinstance(example, dict):
        raise RefusedError(BAD_REQUEST, f"Example must be JSON object but got JSON {type_word(example)}")


def no_such_method(method: str, signature_name: str) -> RefusedError:
    """Return why a signature does not serve CLASSIFY or REGRESS: it is not there, or it predicts."""
    if signature_name != SIGNATURE:
        return RefusedError(BAD_REQUEST, f"No signature was found with the name: {signature_name}")
    return RefusedError(BAD_REQUEST, f"Expected {_KINDS[method]} signature method_name to be {method}. Was: {PREDICT}")
