"""Strict reading: anything that a record does not describe is refused, with every problem in one message."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pytest

from pulsecast.errors import FormatError
from pulsecast.foundation import strict_json


@dataclass(frozen=True, kw_only=True)
class Inner:
    low: float
    high: float = 1.0

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    count: int
    kind: Literal["a", "b", 1]
    inner: Inner
    several: tuple[Inner, ...] = ()
    named: Mapping[str, int] = None  # type: ignore[assignment]
    maybe: int | None = None
    either: Inner | str = "none"
    flag: bool = False
    anything: Mapping[str, object] = None  # type: ignore[assignment]


WHOLE = {
    "name": "n",
    "count": 3,
    "kind": "a",
    "inner": {"low": 0, "high": 2.5},
    "several": [{"low": 0.5}],
    "named": {"x": 1},
    "maybe": None,
    "either": {"low": 0.25},
    "flag": True,
    "anything": {"a": [1, "b", None, {"c": 1.5}]},
}


def loads(document: object) -> Outer:
    return strict_json.loads(Outer, json.dumps(document).encode(), where="file.json")


def test_a_record_comes_back_as_written() -> None:
    record = loads(WHOLE)
    assert record.inner == Inner(low=0.0, high=2.5)
    assert record.several == (Inner(low=0.5),)
    assert record.either == Inner(low=0.25)
    assert strict_json.loads(Outer, strict_json.dumps(record).encode(), where="file.json") == record


def test_an_integer_is_a_number_and_is_read_as_float() -> None:
    assert type(loads(WHOLE).inner.low) is float


def test_the_same_record_gives_the_same_text_with_a_final_newline() -> None:
    text = strict_json.dumps(loads(WHOLE))
    assert text.endswith("}\n")
    assert text == strict_json.dumps(loads(json.loads(text)))


def test_text_that_is_not_ascii_stays_readable() -> None:
    assert '"n\u00e9"' in strict_json.dumps(loads(WHOLE | {"name": "n\u00e9"}))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_a_json_number_is_never_written(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        strict_json.dumps({"a": value})


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "an unknown key": ({"more": 1}, "unknown key more; known: name, count, kind"),
    "an unknown key inside": ({"inner": {"low": 0, "hi": 1}}, "unknown key inner.hi; known: low, high"),
    "a missing key inside": ({"inner": {"high": 1}}, "missing key inner.low"),
    "a string for a number": ({"inner": {"low": "0"}}, "inner.low is the string '0'; expected a number"),
    "a float for an integer": ({"count": 3.0}, r"count is the number 3\.0; expected an integer"),
    "a boolean for an integer": ({"count": True}, "count is the boolean true; expected an integer"),
    "a boolean for a float": ({"inner": {"low": False}}, "inner.low is the boolean false; expected a number"),
    "an integer for a boolean": ({"flag": 1}, "flag is the number 1; expected true or false"),
    "null for a string": ({"name": None}, "name is null; expected a string"),
    "a list for an object": ({"inner": [1]}, "inner is a list; expected an object"),
    "an object for a list": ({"several": {}}, "several is an object; expected a list"),
    "a list for a mapping": ({"named": [1]}, "named is a list; expected an object"),
    "a wrong item of a list": ({"several": [{"low": 0}, 7]}, r"several\[1\] is the number 7; expected an object"),
    "a wrong value of a mapping": ({"named": {"x": "1"}}, "named.x is the string '1'; expected an integer"),
    "another literal": ({"kind": "c"}, "kind is 'c'; expected one of 'a', 'b', 1"),
    "a boolean for the literal 1": ({"kind": True}, "kind is True; expected one of"),
    "a float for the literal 1": ({"kind": 1.0}, r"kind is 1\.0; expected one of"),
    "a number beyond 64 bits": ({"inner": {"low": 10**400}}, "inner.low is too large for a 64-bit float"),
    "a record that refuses itself": ({"inner": {"low": 3}}, r"inner: low 3\.0 is above high 1\.0"),
    "neither of two kinds": ({"either": 5}, "either is the number 5; expected a string"),
    "a string where null may stand": ({"maybe": "x"}, "maybe is the string 'x'; expected an integer"),
}


@pytest.mark.parametrize(("change", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_what_the_record_does_not_describe_is_refused(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(FormatError, match=f"^file.json: {sentence}"):
        loads(WHOLE | change)


def test_all_problems_are_listed_at_once() -> None:
    document = WHOLE | {"count": "x", "kind": "c", "inner": {"high": "y"}, "more": 1}
    del document["name"]
    with pytest.raises(FormatError) as raised:
        loads(document)
    for problem in ("unknown key more", "missing key name", "count is", "kind is", "missing key inner.low", "inner.hi"):
        assert problem in str(raised.value)


NOT_JSON: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "is not valid JSON"),
    "half a document": (b'{"name": "n"', "is not valid JSON"),
    "a repeated key": (b'{"name": "n", "name": "m"}', "key 'name' appears twice"),
    "a repeated key inside": (b'{"inner": {"low": 1, "low": 2}}', "key 'low' appears twice"),
    "NaN": (b'{"inner": {"low": NaN}}', "NaN is not a JSON number"),
    "infinity": (b'{"inner": {"low": -Infinity}}', "-Infinity is not a JSON number"),
    "a number that overflows": (b'{"inner": {"low": 1e999}}', "1e999 is too large for a 64-bit float"),
    "a number that overflows anywhere": (b'{"anything": {"a": [-1e999]}}', "-1e999 is too large for a"),
    "Latin-1": ('{"name": "\u00e9"}'.encode("latin-1"), "is not UTF-8 text: byte 10"),
    "a byte order mark": (b'\xef\xbb\xbf{"name": "n"}', "is not valid JSON"),
    "deep nesting": (b"[" * 200_000, "is nested too deeply"),
    "deep nesting where anything may stand": (b'{"anything": {"a": ' + b"[" * 200_000, "is nested too deeply"),
    "a list": (b"[]", "the document is a list; expected an object"),
    "an integer of 5,000 digits": (b'{"count": ' + b"9" * 5000 + b"}", "is not valid JSON"),
    "a control character": (b'{"name": "a\nb"}', "is not valid JSON"),
}


@pytest.mark.parametrize(("data", "sentence"), NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_is_not_strict_json_is_refused(data: bytes, sentence: str) -> None:
    with pytest.raises(FormatError, match=f"^file.json.*{sentence}"):
        strict_json.loads(Outer, data, where="file.json")


def test_a_file_too_large_to_be_meant_is_refused_unread() -> None:
    with pytest.raises(FormatError, match="has 11 bytes; at most 10 are read"):
        strict_json.loads(Outer, b" " * 11, where="file.json", at_most=10)
