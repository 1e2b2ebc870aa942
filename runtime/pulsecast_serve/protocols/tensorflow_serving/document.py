"""The JSON of a request, in TensorFlow Serving's words where it cannot be read.

NaN, Infinity and -Infinity are numbers here. An object with the same key twice is refused, where the original takes one
of the two.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from pulsecast.foundation.arguments import shown

from ...refusal import BAD_REQUEST, RefusedError
from ..bodies import once

_SHOWN = 80  # characters of a value that a sentence repeats
# what the standard library says -> what RapidJSON says
_PARSING = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid control character at": "Invalid encoding in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
    "Extra data": "The document root must not be followed by other values.",
}
_COMMA = "Expecting ',' delimiter"
_AFTER = {
    "{": "Missing a comma or } after an object member.",
    "[": "Missing a comma or ] after an array element.",
}
_TEXTS = re.compile(r'"(?:[^"\\]|\\.)*"')
_TYPES: Mapping[type, str] = {
    type(None): "Null", dict: "Object", list: "Array", str: "String", int: "Number", float: "Number",
}  # fmt: skip


def read_document(body: bytes) -> dict[str, Any]:
    """Return the object that JSON `body` is; raises RefusedError (400)."""
    if not body:
        raise RefusedError(BAD_REQUEST, "JSON Parse error: The document is empty")
    if body.isspace():
        raise _unreadable("The document is empty.", len(body))
    try:
        document = (_CAREFUL if _MAY_OVERFLOW.search(body) else _QUICK).decode(body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _unreadable("Invalid encoding in string.", error.start) from None
    except RecursionError:
        raise RefusedError(BAD_REQUEST, "JSON Parse error: the document is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise _unreadable(_said(error), len(error.doc[: error.pos].encode("utf-8"))) from None
    except ValueError:  # a whole number of thousands of digits
        raise _too_big("a whole number") from None
    if not isinstance(document, dict):
        raise RefusedError(BAD_REQUEST, f"JSON Value: {value_text(document)} Is not object")
    return document


def _unreadable(said: str, offset: int) -> RefusedError:
    return RefusedError(BAD_REQUEST, f"JSON Parse error: {said} at offset: {offset}")


def _too_big(which: str) -> RefusedError:
    return RefusedError(BAD_REQUEST, f"JSON Parse error: Number too big to be stored in double: {which}")


def _float(text: str) -> float:
    found = float(text)
    if math.isinf(found):
        raise _too_big(shown(text))
    return found


# A number of less than 200 digits, whose exponent has at most two, is below 1e300: the reader need not ask `_float`.
_MAY_OVERFLOW = re.compile(rb"[eE]\+?[0-9]{3}|[0-9]{200}")
_CAREFUL = json.JSONDecoder(object_pairs_hook=once, parse_float=_float, parse_constant=float)
_QUICK = json.JSONDecoder(object_pairs_hook=once, parse_constant=float)


def _said(error: json.JSONDecodeError) -> str:
    if error.msg == _COMMA:
        return _AFTER[_innermost(error.doc[: error.pos])]
    return _PARSING.get(error.msg, "Invalid value.")


def _innermost(text: str) -> str:
    """Return the bracket that is open at the end of `text`."""
    opened = []
    for character in _TEXTS.sub("", text):
        if character in "[{":
            opened.append(character)
        elif character in "]}":
            opened.pop()
    return opened[-1]


def type_word(value: object) -> str:
    """Return the word of a value's type in messages: True and False are types of their own.

    >>> type_word(1.5), type_word(True), type_word(None)
    ('Number', 'True', 'Null')
    """
    return str(value) if isinstance(value, bool) else _TYPES[type(value)]


def value_text(value: object) -> str:
    """Return a value as a message repeats it: JSON, and only its beginning where it is long.

    >>> value_text("a"), value_text([1, float("nan")])
    ('"a"', '[1, NaN]')
    """
    try:
        text = "".join(_some(json.JSONEncoder(ensure_ascii=False).iterencode(value)))
    except RecursionError:
        return "..."
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _some(parts: Any) -> Any:
    """Yield parts of a text until there are enough of them to be shown."""
    size = 0
    for part in parts:
        yield part
        size += len(part)
        if size > _SHOWN:
            return


def is_base64(value: object) -> bool:
    """Return whether a value stands for bytes: {"b64": TEXT}, and nothing else."""
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)
