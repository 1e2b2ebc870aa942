"""Messages from tables."""

from __future__ import annotations

import pytest

from pulsecast_serve.rpc.messages import POOL, Schema, described, message, methods

OTHER = Schema(path="t/other.proto", package="t.other", messages={"X": ("int64 n = 1",)}, enums={"E": ("ZERO", "ONE")})
SCHEMA = Schema(
    path="t/mine.proto",
    package="t.mine",
    uses=(OTHER,),
    well_known=("wrappers", "any"),
    messages={
        "Outer": (
            "repeated int64 shape = 3",
            "map<string, Outer.Inner> by_name = 4",
            "map<string, int64> counts = 5",
            ".t.other.X x = 1",
            ".t.other.E e = 2",
            ".google.protobuf.Int64Value version = 7",
            "Gaps gaps = 8",
            ".google.protobuf.Any any = 9",
        ),
        "Outer.Inner": ("bool b = 1 in choice", "int64 i = 2 in choice"),
    },
    enums={"Gaps": {"NONE": 0, "FIVE": 5}},
    services={"S": {"Do": ("Outer", ".t.other.X")}},
)


def test_every_form_of_a_field_is_kept() -> None:
    file = described(SCHEMA)
    outer = message("t.mine.Outer")
    one = outer(shape=[1, -2], e=1, gaps=5, version={"value": 0}, counts={"k": 3}, by_name={"a": {"i": 4}}, x={"n": 7})
    one.any.Pack(message("t.other.X")(n=4))
    one.by_name["b"].i = 1
    one.by_name["b"].b = True  # takes the place of i
    again = outer.FromString(one.SerializeToString())
    assert again == one
    assert again.by_name["b"].WhichOneof("choice") == "b"
    assert (again.HasField("version"), again.gaps, again.any.type_url) == (True, 5, "type.googleapis.com/t.other.X")
    assert list(methods(file, "S")) == [("Do", outer, message("t.other.X"))]


def test_a_schema_is_described_once_and_apart_from_the_usual_pool() -> None:
    from google.protobuf.descriptor_pool import Default

    assert described(SCHEMA) is described(SCHEMA)
    assert POOL.FindFileByName("t/mine.proto").package == "t.mine"
    with pytest.raises(KeyError):
        Default().FindFileByName("t/mine.proto")


@pytest.mark.parametrize("line", ["int64 n", "int64 n = x", "repeated int64 n=1", "map<string> n = 1", "int64  n = 1"])
def test_a_line_that_is_no_field_is_an_error(line: str) -> None:
    with pytest.raises(ValueError, match="expected TYPE name = number"):
        described(Schema(path=f"t/{line}.proto", package="t.bad", messages={"X": (line,)}))
