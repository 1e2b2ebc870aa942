"""The `.pulse` file: a bundle as one zip archive in one canonical form, which any zip tool reads.

Members are stored or deflated, one after the other from byte 0, with no gap, extra field, comment, encryption, data
descriptor or zip64 record, dated 1980-01-01, as plain files with mode 0644; the central directory repeats their headers
and ends the file. Every header can be written in one way only, so the reader computes what each header must be and
compares. Everything else that zip allows (and readers disagree on) is refused before any member is inflated.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import threading
import weakref
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from .. import limits
from ..errors import FormatError, IntegrityError
from ..foundation.quick_dataclass import dataclass
from ..plain_text import Problems
from .manifest import MANIFEST_NAME, check_distinct, check_relative

SUFFIX = ".pulse"
STORED, DEFLATED = 0, 8

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_VERSION = 20  # 2.0: deflate
_MADE_BY_UNIX = 3 << 8 | _VERSION
_DATE = 1 << 5 | 1  # 1980-01-01 00:00:00, the earliest time in a zip file
_MODE = (stat.S_IFREG | 0o644) << 16


@dataclass(frozen=True, kw_only=True)
class Member:
    """One file of the archive; `offset` is that of its local header."""

    name: str
    method: int
    crc: int
    packed_bytes: int
    size_bytes: int
    offset: int

    @property
    def local(self) -> bytes:
        """The one local header that this member may have."""
        return (
            _LOCAL.pack(b"PK\3\4", _VERSION, 0, self.method, 0, _DATE, *self._sizes, len(self.name), 0)
            + self.name.encode()
        )

    @property
    def central(self) -> bytes:
        """The one central header that this member may have."""
        head = (_MADE_BY_UNIX, _VERSION, 0, self.method, 0, _DATE, *self._sizes)
        return _CENTRAL.pack(b"PK\1\2", *head, len(self.name), 0, 0, 0, 0, _MODE, self.offset) + self.name.encode()

    @property
    def data_offset(self) -> int:
        """Where its bytes start."""
        return self.offset + _LOCAL.size + len(self.name)

    @property
    def _sizes(self) -> tuple[int, int, int]:
        return self.crc, self.packed_bytes, self.size_bytes


class ArchiveSource:
    """A `.pulse` file whose headers have been checked; members are inflated in memory, never to disk.

    The file is held open: if the path is replaced meanwhile, this source still reads the checked file. Thread-safe.
    """

    def __init__(self, path: Path, file: BinaryIO, members: Iterable[Member]) -> None:
        self.path = path
        self.members = {member.name: member for member in members}
        self._file = file
        self._lock = threading.Lock()
        weakref.finalize(self, file.close)

    def listing(self) -> dict[str, int | str]:
        """See `Source.listing`."""
        return {name: member.size_bytes for name, member in self.members.items()}

    def read(self, relative: str, at_most: int) -> bytes:
        """See `Source.read`."""
        member = self.members.get(relative)
        if member is None:
            raise IntegrityError(f"{relative} is not in {self.path.name}")
        if member.size_bytes > at_most:
            raise IntegrityError(f"{relative} has more than {at_most} bytes")
        try:
            with self._lock:
                self._file.seek(member.data_offset)
                packed = self._file.read(member.packed_bytes)
        except OSError as error:
            raise IntegrityError(f"{self.path.name} cannot be read: {error.strerror}") from error
        data = packed if member.method == STORED else _inflate(packed, member)
        if len(data) != member.size_bytes or zlib.crc32(data) != member.crc:
            raise IntegrityError(f"{relative} is damaged: its size or CRC differs from its header")
        return data


def _inflate(packed: bytes, member: Member) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(packed, member.size_bytes + 1)  # at most one byte more than promised
    except zlib.error as error:
        raise IntegrityError(f"{member.name} is damaged: {error}") from error
    if not inflater.eof or inflater.unused_data:
        raise IntegrityError(f"{member.name} is damaged: its deflated data do not end where its header says")
    return data


def read_archive(path: Path) -> ArchiveSource:
    """Return the source for the `.pulse` file at `path` after checking every header; nothing is inflated.

    Raises FormatError that lists what is wrong.
    """
    try:
        with contextlib.ExitStack() as stack:
            # unbuffered: a member's bytes are read when they are asked for, not before
            file = stack.enter_context(path.open("rb", buffering=0))
            source = ArchiveSource(path, file, check_archive(file, path.name))
            stack.pop_all()  # the source closes it
            return source
    except OSError as error:
        raise FormatError(f"{path.name} cannot be read: {error.strerror}") from error


def check_archive(file: BinaryIO, name: str) -> list[Member]:
    """Return the members of an opened archive; raises FormatError, naming `name`, that lists what is wrong."""
    size = file.seek(0, os.SEEK_END)
    central, count = _central_directory(file, size, name)
    members, found = _members(central, count)
    problems = Problems(found)
    problems.extend(_problems(file, members, size - _END.size - len(central)))
    if problems:
        raise FormatError(f"{name} is refused: {problems}")
    return members


def _central_directory(file: BinaryIO, size: int, name: str) -> tuple[bytes, int]:
    """Return the bytes of the central directory and the number of members that it states."""
    if size < _END.size:
        raise FormatError(f"{name} is not a .pulse file: it has {size} bytes")
    file.seek(size - _END.size)
    end = file.read(_END.size)
    signature, _, _, _, count, length, offset, _ = _END.unpack(end)
    if signature != b"PK\5\6":
        raise FormatError(f"{name} is not a whole .pulse file: it does not end in a zip end record without comment")
    if not 0 < count <= limits.MEMBERS or length > limits.MEMBERS * (_CENTRAL.size + limits.PATH_BYTES):
        raise FormatError(f"{name} says it has {count} members; expected 1 to {limits.MEMBERS}")
    if offset + length + _END.size != size or end != _end_record(count, length, offset):
        raise FormatError(f"{name} is refused: there are bytes before, after or between its parts, or zip64 records")
    file.seek(offset)
    return file.read(length), count


def _end_record(count: int, length: int, offset: int) -> bytes:
    return _END.pack(b"PK\5\6", 0, 0, count, count, length, offset, 0)


def _members(central: bytes, count: int) -> tuple[list[Member], list[str]]:
    """Return the members of a central directory and everything that is not canonical about their headers."""
    members: list[Member] = []
    problems: list[str] = []
    position = 0
    while position + _CENTRAL.size <= len(central):
        fields = _CENTRAL.unpack_from(central, position)
        length = fields[10]
        raw = central[position + _CENTRAL.size : position + _CENTRAL.size + length]
        member, found = _member(fields, raw, central[position : position + _CENTRAL.size + length])
        problems += found
        if member is None:
            return members, problems  # the next header cannot be trusted to be where it seems
        members.append(member)
        position += _CENTRAL.size + length
    if position != len(central) or len(members) != count:
        problems.append(f"its directory holds {len(members)} whole entries; its end record says {count}")
    return members, problems


def _member(fields: tuple[int, ...], raw: bytes, header: bytes) -> tuple[Member | None, list[str]]:
    _, _, _, flags, method, _, _, crc, packed, size, _, _, _, _, _, mode, offset = fields
    shown = raw[:80].decode("utf-8", "backslashreplace")
    try:
        name = raw.decode("ascii")
        check_relative(name)
    except ValueError:
        return None, [f"member {shown!r} is not a relative path of plain names"]
    problems = []
    if flags & 1:
        problems.append(f"{name} is encrypted")
    if method not in (STORED, DEFLATED):
        problems.append(f"{name} uses compression method {method}; expected stored or deflated")
    if stat.S_ISLNK(mode >> 16):
        problems.append(f"{name} is a link")
    if size > limits.FILE_BYTES or packed > limits.FILE_BYTES:
        problems.append(f"{name} has {size} bytes; at most {limits.FILE_BYTES} are read")
    if method == DEFLATED and size > limits.INFLATION * packed:
        problems.append(f"{name} inflates {size // max(packed, 1)} times; at most {limits.INFLATION} times is read")
    member = Member(name=name, method=method, crc=crc, packed_bytes=packed, size_bytes=size, offset=offset)
    if not problems and (header != member.central or (method == STORED and size != packed)):
        problems.append(f"the directory entry of {name} is not in canonical form")
    return (None, problems) if problems else (member, [])


def _problems(file: BinaryIO, members: list[Member], start_of_directory: int) -> Iterator[str]:
    """Yield what is wrong with the members together, and with their local headers."""
    if members and members[0].name != MANIFEST_NAME:
        yield f"its first member is {members[0].name}; expected {MANIFEST_NAME}"
    yield from check_distinct([member.name for member in members])
    if sum(member.size_bytes for member in members) > limits.ARCHIVE_BYTES:
        yield f"its members have more than {limits.ARCHIVE_BYTES} bytes together"
    expected = 0
    for member in members:
        if member.offset != expected:
            yield f"{member.name} starts at byte {member.offset}; expected {expected}"
            return
        file.seek(member.offset)
        if file.read(len(member.local)) != member.local:
            yield f"the header of {member.name} differs from its directory entry"
        expected = member.data_offset + member.packed_bytes
    if members and expected != start_of_directory:
        yield f"its directory starts at byte {start_of_directory}; expected {expected}"


def write_archive(file: BinaryIO, files: Iterable[tuple[str, bytes]], *, compress: bool) -> None:
    """Write `files` as a canonical archive, in the order given.

    The same files give the same bytes everywhere when they are stored, and with the same zlib when they are deflated.
    """
    members: list[Member] = []
    offset = 0
    for name, data in files:
        packed = _deflate(data) if compress else data
        if len(packed) >= len(data) or len(data) > limits.INFLATION * len(packed):
            packed = data
        member = Member(
            name=name,
            method=STORED if packed is data else DEFLATED,
            crc=zlib.crc32(data),
            packed_bytes=len(packed),
            size_bytes=len(data),
            offset=offset,
        )
        file.write(member.local + packed)
        members.append(member)
        offset = member.data_offset + len(packed)
    central = b"".join(member.central for member in members)
    file.write(central + _end_record(len(members), len(central), offset))


def _deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()
