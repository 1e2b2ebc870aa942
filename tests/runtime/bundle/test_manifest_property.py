"""For any content, reading a manifest gives a manifest with the same content, or a FormatError in one line."""

import json
from pathlib import Path
from typing import Any

import pytest

from helpers.engines import require

require("hypothesis")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from pulsecast.bundle.manifest import parse_manifest  # noqa: E402
from pulsecast.errors import FormatError  # noqa: E402
from pulsecast.foundation import strict_json  # noqa: E402

TEXT = (Path(__file__).parents[2] / "data" / "golden_v1" / "manifest.json").read_text()
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.sampled_from(["..", "/a", "1e400"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner)),
    max_leaves=8,
)


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to everything in a document."""
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


PLACES = places(json.loads(TEXT))[1:]


def read(data: bytes) -> None:
    try:
        manifest = parse_manifest(data)
    except FormatError as error:
        sentence = str(error)
    else:
        assert parse_manifest(strict_json.dumps(manifest).encode()) == manifest
        return
    assert "\n" not in sentence
    assert sentence.startswith("manifest.json")


@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(edits=st.lists(st.tuples(st.sampled_from(PLACES), VALUES, st.booleans()), min_size=1, max_size=3))
def test_an_edited_manifest_is_read_as_it_is_or_refused(edits: list[tuple[tuple[Any, ...], Any, bool]]) -> None:
    document = json.loads(TEXT)
    for path, value, remove in edits:
        holder = document
        try:
            for key in path[:-1]:
                holder = holder[key]
            if remove:
                del holder[path[-1]]
            else:
                holder[path[-1]] = value
        except (KeyError, IndexError, TypeError):  # an earlier edit removed the place
            continue
    read(json.dumps(document).encode("utf-8", "surrogatepass"))


@settings(max_examples=100, derandomize=True, deadline=None, database=None)
@given(data=st.one_of(st.binary(max_size=200), VALUES.map(lambda value: json.dumps(value).encode())))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_manifest(data)
