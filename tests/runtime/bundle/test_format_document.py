"""FORMAT.md describes every key that the manifest may hold, and every word that it may hold there."""

import json
import re
from pathlib import Path

from pulsecast import limits
from pulsecast.bundle.schema import SCHEMA_PATH

TEXT = (Path(__file__).parents[3] / "FORMAT.md").read_text(encoding="utf-8")
WORDS = {word for code in re.findall(r"`([^`]+)`", TEXT) for word in (code, *re.split(r"[ .,]+", code))}


def test_every_key_and_every_word_of_the_schema_is_explained() -> None:
    definitions = json.loads(SCHEMA_PATH.read_text())["$defs"]
    named = {key for one in definitions.values() for key in one["properties"]}
    for one in definitions.values():
        for value in one["properties"].values():
            named |= {word for word in value.get("enum", ()) if isinstance(word, str)}
    assert named - WORDS == set()


def test_the_table_of_limits_is_that_of_the_reader() -> None:
    section = TEXT.partition("\n## Limits\n")[2].partition("\n## ")[0]
    stated = {
        name: int(most.replace(",", "")) for name, most in re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", section, re.M)
    }
    assert stated == {name.lower(): value for name, value in vars(limits).items() if name.isupper()}


def test_limits_in_the_text_are_those_of_the_table() -> None:
    assert f"1 to {limits.MEMBERS} members" in TEXT
    assert f"at most {limits.PATH_BYTES} bytes" in TEXT
    assert f"more than {limits.INFLATION} times" in TEXT
    assert (limits.FILE_BYTES, limits.ARCHIVE_BYTES) == (2**30, 2**31)
    assert {"2^30 bytes", "2^31 bytes"} <= set(re.findall(r"2\^\d+ bytes", TEXT))
    assert f"of at most {limits.MANIFEST_BYTES:,} bytes, nested at most {limits.JSON_DEPTH} levels" in TEXT
    assert f"JSON of at most {limits.SIGNATURE_BYTES} bytes" in TEXT
    assert f"has at most {limits.TEXT_CHARACTERS} characters" in TEXT
