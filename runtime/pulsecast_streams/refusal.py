"""Why a message is not answered: a word that a program can count by, and a sentence for people."""

from __future__ import annotations

from typing import Literal

from pulsecast.errors import PulsecastError

Code = Literal["unreadable", "schema", "series", "time", "value", "grid", "late", "conflict", "waiting"]
# what a dead letter may say in `code`
CODES: dict[Code, str] = {
    "unreadable": "the bytes are not an object of JSON or a map of MessagePack",
    "schema": "a field is not in the schema",
    "series": "the series is missing, not known to the bundle, or one too many",
    "time": "the time is missing, not in the schema, in milliseconds, or too far ahead",
    "value": "the value is missing, or not a number that the model takes",
    "grid": "the time lies between two steps",
    "late": "a later step was taken before",
    "conflict": "the step was taken before with another value",
    "waiting": "not refused: to a request whose event was counted, and whose step is not complete yet",
}


class RefusedError(PulsecastError):
    """A message that becomes a dead letter.

    code  a key of CODES, in the place of the errors' own: a dead letter says it
    """

    code: Code

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code
