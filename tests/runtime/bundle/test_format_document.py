"""FORMAT.md describes every key that the manifest may hold, and every word that it may hold there."""

import json
import re
from pathlib import Path

from pulsecast.bundle.archive import MAX_FILE_BYTES, MAX_MEMBERS, MAX_NAME_BYTES, MAX_RATIO, MAX_TOTAL_BYTES
from pulsecast.bundle.schema import SCHEMA_PATH
from pulsecast.foundation.strict_json import MAX_DEPTH, MAX_JSON_BYTES

TEXT = (Path(__file__).parents[3] / "FORMAT.md").read_text(encoding="utf-8")
WORDS = {word for code in re.findall(r"`([^`]+)`", TEXT) for word in (code, *re.split(r"[ .,]+", code))}


def test_every_key_and_every_word_of_the_schema_is_explained() -> None:
    definitions = json.loads(SCHEMA_PATH.read_text())["$defs"]
    named = {key for one in definitions.values() for key in one["properties"]}
    for one in definitions.values():
        for value in one["properties"].values():
            named |= {word for word in value.get("enum", ()) if isinstance(word, str)}
    assert named - WORDS == set()


def test_the_limits_are_those_of_the_reader() -> None:
    assert f"1 to {MAX_MEMBERS} members" in TEXT
    assert f"at most {MAX_NAME_BYTES} bytes" in TEXT
    assert f"more than {MAX_RATIO} times" in TEXT
    assert (MAX_FILE_BYTES, MAX_TOTAL_BYTES) == (2**30, 2**31)
    assert {"2^30 bytes", "2^31 bytes"} <= set(re.findall(r"2\^\d+ bytes", TEXT))
    assert f"{MAX_JSON_BYTES >> 20} MiB" in TEXT
    assert f"nested at most {MAX_DEPTH} levels" in TEXT
