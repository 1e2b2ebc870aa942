"""A damaged or hostile log is refused in one sentence, in time that is linear in it; no traceback, no memory bomb."""

import gzip
import io
import json
import random
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from helpers.hostile.damage import damaged
from helpers.logs.log_files import NOW_S, hours, log, refusal
from helpers.source_tree import REPOSITORY
from pulsecast.errors import PulsecastError
from pulsecast_train.logs import files as log_files
from pulsecast_train.logs import limits
from pulsecast_train.logs.config import LogConfig
from pulsecast_train.logs.reader import read_log

CSV = hours(list(range(24)))
ROWS = [{"timestamp": f"2025-01-06T{i:02}:00:00Z", "value": i, "user": {"name": "ann"}} for i in range(24)]


def ndjson(*more: str) -> str:
    return "\n".join([*map(json.dumps, ROWS), *more]) + "\n"


def zipped(method: int = zipfile.ZIP_STORED, name: str = "log.csv", text: str = CSV) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr(name, text)
    return buffer.getvalue()


def edited(data: bytes, sign: bytes, at: int, new: bytes) -> bytes:
    """Return `data` with `new` at `at` bytes after its first `sign`."""
    start = data.index(sign) + at
    return data[:start] + new + data[start + len(new) :]


def many_members() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for i in range(4000):
            archive.writestr(f"{i:0250}", b"")
    return buffer.getvalue()


def parquet(**columns: Any) -> bytes:
    buffer = io.BytesIO()
    times = pl.Series([f"2025-01-06T{i:02}:00:00" for i in range(24)]).str.to_datetime(time_zone="UTC")
    pl.DataFrame({"timestamp": times, "value": list(range(24)), **columns}).write_parquet(buffer)
    return buffer.getvalue()


WIDE = ",".join(f"c{i}" for i in range(500))
NOT_A_HEADER = "log.csv line 1 is not a header; the first line must name the columns"
NOT_WHOLE, UNUSUAL = "is not a whole {} file; copy it again", "has a password or an unusual packing; unpack it first"
DEEP = "log.ndjson line 25 is nested more than 64 levels deep, or is not a JSON object"
HOSTILE: dict[str, tuple[str, Callable[[], str | bytes], str]] = {
    "a header field of 200 kB": ("log.csv", lambda: f"{'x' * 200_000},{CSV}", NOT_A_HEADER),
    "a header of two megabytes": ("log.csv", lambda: f"{'x,' * (1 << 20)}{CSV}", "is a header of over 1 MB; shorten"),
    "a quoted header without an end": ("log.csv", lambda: '"' + "\n" * (2 << 20), "is a header of over 1 MB; shorten"),
    "a long name": ("log.csv", lambda: f"{'x' * 2000},{CSV}", "begins with 'x{40}' and has 2,000 characters; at most"),
    "too many columns": ("log.csv", lambda: f"{'x,' * 5000}{CSV}", "log.csv has 5,002 columns; at most 4,096 are read"),
    "a wide header over short rows": (
        "log.csv",
        lambda: f"timestamp,value,{WIDE}\n" + "2025-01-06T00:00:00Z,1\n" * 70_000,
        "log.csv line 2 and those after it are much shorter than the header; fill them",
    ),
    "escapes in a name": ("log.csv", lambda: "timestamp,\x1b[2J\n1,2\n", r"choose --metric from \\x1b\[2J"),
    "a long series": (
        "log.csv",
        lambda: CSV.replace("timestamp", "series,timestamp").replace("2025", "x" * 2000 + ",2025"),
        "series has 2,000 characters; a name has at most 1,000",
    ),
    "deep NDJSON": ("log.ndjson", lambda: ndjson('{"a":' * 3000 + "1" + "}" * 3000), DEEP),
    "NDJSON deep enough for a crash": ("log.ndjson", lambda: ndjson('{"a":' + "[" * 500_000), DEEP),
    "65 levels": ("log.ndjson", lambda: ndjson('{"a":' * 65 + "1" + "}" * 65), DEEP),
    "deep NDJSON after text": ("log.ndjson", lambda: ndjson('{"b":"\\"","a":' + "[" * 70 + "]" * 70 + "}"), DEEP),
    "a line of escapes without an end": ("log.ndjson", lambda: ndjson('{"a":"' + '\\"' * 10**6 + "{" * 99), DEEP),
    "20,000 names in a row": (
        "log.ndjson",
        lambda: ndjson(json.dumps({f"k{i}": 1 for i in range(20_000)})),
        "log.ndjson line 1 and those after it have 20,004 names in their objects; at most 1,024 are read",
    ),
    "a name of its own in every row": (
        "log.ndjson",
        lambda: ndjson(*(json.dumps({f"k{i}": 1}) for i in range(20_000))),
        "have 20,004 names in their objects; at most 1,024 are read",
    ),
    "many names in few rows": (
        "log.ndjson",
        lambda: ndjson(json.dumps({f"k{i}": 1 for i in range(900)}), *["{}"] * 40_000),
        r"have 40,02\d objects of up to 90\d names, most of them left out",
    ),
    "many empty objects in a list": (
        "log.ndjson",
        lambda: ndjson(json.dumps({f"k{i}": 1 for i in range(900)}), '{"a":[' + "{}, " * 40_000 + "{}]}"),
        r"objects of up to 90\d names, most of them left out",
    ),
    "packed text": ("log.ndjson", lambda: b"x\x01" + ndjson().encode(), "log.ndjson line 1 is not a JSON object"),
    "a name that is a list": ("log.ndjson", lambda: ndjson('{"series": ["a"]}'), "log.ndjson"),
    "zip of version 9.9": ("log.zip", lambda: edited(zipped(), b"PK\x01\x02", 6, b"\x63"), UNUSUAL),
    "bad deflate": ("log.zip", lambda: edited(zipped(8), b"log.csv", 7, b"\xff" * 9), NOT_WHOLE.format("zip")),
    "bad bzip2": ("log.zip", lambda: edited(zipped(12), b"log.csv", 7, b"\xff" * 9), NOT_WHOLE.format("zip")),
    "bad LZMA": ("log.zip", lambda: edited(zipped(14), b"log.csv", 20, b"\xff" * 9), NOT_WHOLE.format("zip")),
    "packed by Zstandard": (
        "log.zip",
        lambda: edited(edited(zipped(), b"PK\x03\x04", 8, b"\x5d"), b"PK\x01\x02", 10, b"\x5d"),
        f"{UNUSUAL}|{NOT_WHOLE.format('zip')}",
    ),
    "a list of a megabyte": ("log.zip", many_members, NOT_WHOLE.format("zip")),
    "no zip": ("log.zip", lambda: b"PK\x05\x06", NOT_WHOLE.format("zip")),
    "bad gzip": ("log.csv.gz", lambda: gzip.compress(CSV.encode())[:40] + b"\xff" * 40, NOT_WHOLE.format("gzip")),
    "gzip that is xz": ("log.csv.gz", lambda: b"\xfd7zXZ\x00" + b"x" * 99, NOT_WHOLE.format("gzip")),
    "gzip that is Zstandard": ("log.csv.gz", lambda: b"\x28\xb5\x2f\xfd" + b"x" * 99, NOT_WHOLE.format("gzip")),
    "cut UTF-16": ("log.csv", lambda: CSV.encode("utf-16")[:-1], "log.csv begins as UTF-16 or UTF-32 text and has a"),
    "UTF-32 without a mark": ("log.csv", lambda: CSV.encode("utf-32-le"), "log.csv is binary, not text"),
    "no Parquet": ("log.parquet", lambda: b"PAR1" + b"x" * 99 + b"PAR1", "log.parquet is not a whole Parquet file"),
    "wide Parquet": ("log.parquet", lambda: parquet(**{f"c{i}": [0] * 24 for i in range(5000)}), "has 5,002 columns"),
    "a date of the year 100,000": (
        "log.parquet",
        lambda: parquet(ds=pl.Series([3 * 10**18] * 24).cast(pl.Datetime("us"))),
        "timestamp '3000000000000000000 us since 1970', read as typed, lies in the future",
    ),
    "a list of numbers": ("log.parquet", lambda: parquet(series=[["a"]] * 24), "log.parquet"),
}
OPTIONS = {
    "a date of the year 100,000": {"time": "ds", "timezone": "UTC"},
    "a long series": {"series": "series"},
    "a name that is a list": {"series": "series"},
    "a list of numbers": {"series": "series"},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_log_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    file, make, sentence = HOSTILE[name]
    said = refusal(log(tmp_path, make(), file), **OPTIONS.get(name, {}))
    assert re.search(sentence, said), said
    assert said.isprintable()
    assert len(said) < 1000


@pytest.mark.parametrize("name", ["a\\b.csv", "a\x1b.csv", "a\nb.csv", "a\udcff.csv", "a\\b.parquet"])
def test_a_file_name_that_no_report_can_hold_is_refused(name: str, tmp_path: Path) -> None:
    said = refusal(log(tmp_path, CSV, name))
    assert "holds a backslash or a character that is not shown; rename the file" in said
    assert said.isprintable()


@pytest.mark.parametrize("name", ["a[b].parquet", "a*.parquet", "~a.parquet"])
def test_a_parquet_file_is_found_by_its_name_and_not_by_a_pattern(name: str, tmp_path: Path) -> None:
    (series,), _ = read_log(log(tmp_path, parquet(), name), now_s=NOW_S)
    assert series.values[:, 0].tolist() == list(range(24))


def test_a_member_of_a_zip_file_may_have_a_backslash_in_its_name(tmp_path: Path) -> None:
    (series,), _ = read_log(log(tmp_path, zipped(name="a\\b.csv"), "log.zip"), now_s=NOW_S)
    assert len(series.values) == 24


@pytest.mark.parametrize("packing", [".gz", ".zip"])
def test_a_file_that_unpacks_to_far_more_than_itself_is_refused(
    packing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "FREE_INFLATION_BYTES", 1 << 20)
    text = "timestamp,value\n" + "2025-01-06T00:00:00Z,1\n" * (1 << 20)
    data = gzip.compress(text.encode()) if packing == ".gz" else zipped(zipfile.ZIP_LZMA, text=text)
    said = refusal(log(tmp_path, data, f"log.csv{packing}"))
    assert said == f"log.csv{packing} unpacks to over 200 times its size; unpack it and look at it"


def test_brackets_in_text_are_not_levels(tmp_path: Path) -> None:
    text = json.dumps({**ROWS[0], "timestamp": "2025-01-07T00:00:00Z", "text": '\\"{[' * 200})
    (series,), _ = read_log(log(tmp_path, ndjson(text), "log.ndjson"), LogConfig(metrics=("value",)), now_s=NOW_S)
    assert len(series.values) == 25


@pytest.mark.parametrize("time_format", ["%", "%Q", "%Y-%", "%-", "%9999f", "%Y\0"])
def test_a_time_format_that_polars_does_not_know_is_refused(time_format: str, tmp_path: Path) -> None:
    said = refusal(log(tmp_path, CSV), time_format=time_format)
    assert "correct --time-format" in said or "no timestamp that can be read" in said


def test_the_limits_of_the_table_are_those_that_train_s_readme_states() -> None:
    text = (REPOSITORY / "train" / "README.md").read_text("utf-8")
    stated = {
        f"| one row | {limits.MAX_ROW_BYTES >> 20} MB |",
        f"| the header | {limits.MAX_HEADER_BYTES >> 20} MB |",
        f"| a column's name, a series' name | {limits.MAX_NAME_CHARACTERS:,} characters |",
        f"| columns of CSV, TSV, Parquet, XLSX | {limits.MOST_COLUMNS:,} |",
        f"| names in the objects of NDJSON | {limits.MOST_FIELDS:,} in {limits.BLOCK_BYTES >> 20} MB |",
        f"| levels of NDJSON | {limits.MAX_DEPTH} |",
        f"| rows times columns | {limits.MOST_CELLS:,} in {limits.BLOCK_BYTES >> 20} MB |",
        f"| a `.gz` or `.zip` file over {limits.FREE_INFLATION_BYTES >> 20} MB | {limits.MAX_INFLATION} times its size",
    }
    assert [row for row in stated if row not in text] == []


WORDS = [
    *(
        b'"',
        b",",
        b"\n",
        b"\r",
        b"\0",
        b"\t",
        b"{",
        b"[",
        b"[]",
        b"{}",
        b"null",
        b"true",
        b"1e999",
        b"-",
        b"\xff",
        b"9" * 20,
    ),
    *(
        b"\\ud800",
        b'"\\"',
        b'["a"]',
        b"2025-13-45T99:99:99Z",
        b"PK\x01\x02",
        b"PK\x05\x06",
        b"PAR1",
        b'"a":{"b":1},',
        b"\x1b",
    ),
]
BASES: dict[str, list[bytes]] = {
    "csv": [CSV.encode(), CSV.replace(",", "\t").encode()],
    "tsv": [CSV.replace(",", "\t").encode()],
    "ndjson": [ndjson().encode()],
    "csv.gz": [gzip.compress(CSV.encode())],
    "zip": [zipped(method) for method in (0, 8, 12, 14)],
    "parquet": [parquet(), parquet(series=[f"s{i % 2}" for i in range(24)])],
}
CONFIGS: list[dict[str, Any]] = [
    {},
    {},
    {"id": "user.name"},
    {"series": "series"},
    {"time_format": "%Y-%m-%dT%H:%M:%SZ"},
]


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.parametrize("ending", BASES)
def test_two_thousand_damaged_logs_are_read_or_refused(
    ending: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(f"pulsecast {ending}")
    path = tmp_path / f"log.{ending}"
    said: list[str] = []
    for case in range(2000):
        path.write_bytes(damaged(draw, draw.choice(BASES[ending]), WORDS))
        config = LogConfig(timezone="UTC", metrics=("value",), on_conflict="first", **draw.choice(CONFIGS))
        try:
            read_log(path, config, now_s=NOW_S)
        except PulsecastError as error:
            said.append(str(error))
        except BaseException as error:
            path.rename(tmp_path / f"failed-{case}.{ending}")
            pytest.fail(f"case {case}: {type(error).__name__}: {error}")
    capfd.readouterr()  # what panics of Rust print
    assert [line for line in said if not line.isprintable() or len(line) > 1000] == []
    assert 1000 < len(said) < 2000
