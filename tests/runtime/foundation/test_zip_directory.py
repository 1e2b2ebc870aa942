"""The list of a zip file's members is measured before `zipfile` reads it."""

import io
import struct
import zipfile

import pytest

from pulsecast.foundation.zip_directory import open_zip


def zipped(members: int, *, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = comment
        for i in range(members):
            archive.writestr(f"{i:04}", b"x")
    return buffer.getvalue()


@pytest.mark.parametrize("comment", [b"", b"a comment", b"PK", b"x" * 65_535])
def test_a_list_within_the_limit_is_read_and_one_beyond_it_refused(comment: bytes) -> None:
    data = zipped(10, comment=comment)
    with open_zip(io.BytesIO(data), directory_bytes=500) as archive:
        assert len(archive.namelist()) == 10
    with pytest.raises(zipfile.BadZipFile, match="its list of members has 500 bytes; at most 499 are read"):
        open_zip(io.BytesIO(data), directory_bytes=499)


def with_record_of_64_bits(data: bytes, size: int, *, moved: int = 0) -> bytes:
    """Return a zip file whose end is written with 64 bits, as of one over 4 GB."""
    end = data.rindex(b"PK\x05\x06")
    members, _, start = struct.unpack("<HII", data[end + 10 : end + 20])
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, members, members, size, start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    return data[:end] + record + b"\0" * moved + locator + data[end:]


def test_a_record_of_64_bits_counts_where_python_reads_it() -> None:
    data = zipped(10)
    with open_zip(io.BytesIO(with_record_of_64_bits(data, 500)), directory_bytes=500) as archive:
        assert len(archive.namelist()) == 10
    for damaged in (with_record_of_64_bits(data, 1 << 40), with_record_of_64_bits(data, 500, moved=8)):
        with pytest.raises(zipfile.BadZipFile, match="its list of members has"):
            open_zip(io.BytesIO(damaged), directory_bytes=500)


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\x05\x06", b"x" * 100, zipped(3)[:-30]])
def test_what_is_not_a_zip_file_is_refused_as_one_that_is_damaged(data: bytes) -> None:
    with pytest.raises(zipfile.BadZipFile):
        open_zip(io.BytesIO(data), directory_bytes=500)
