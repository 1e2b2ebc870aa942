"""The properties of a shared library's file: its format and processor, its exports and needs.

ELF, PE and Mach-O are read with `struct`, 64-bit and for ELF also 32-bit, little-endian; offsets are those of the
formats' specifications.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_ELF_MACHINES = {62: "x86_64", 183: "aarch64", 40: "armv7", 243: "riscv64"}
_PE_MACHINES = {0x8664: "x86_64", 0xAA64: "aarch64"}
_MACH_O_MACHINES = {0x01000007: "x86_64", 0x0100000C: "aarch64"}
_MACH_O_OWN = {"_mh_dylib_header", "__dso_handle"}  # of every library, from the linker
_DYNAMIC, _LOAD = 2, 1
_NEEDED, _HASH, _STRINGS, _SYMBOLS = 1, 4, 5, 6  # tags of the dynamic section
_SYMBOL_TABLE, _LOAD_LIBRARY, _SIGNATURE = 0x2, 0xC, 0x1D  # Mach-O load commands


@dataclass(frozen=True, kw_only=True)
class LibraryFile:
    """`platform` as in a bundle; `needed`: libraries, and in ELF also functions, that must come from elsewhere."""

    platform: str
    exported: frozenset[str]
    needed: frozenset[str]


def read_library(data: bytes) -> LibraryFile:
    """Return the properties of the file `data`; raises ValueError if it is of another format or truncated."""
    try:
        if data[:4] == b"\x7fELF":
            return _elf(data)
        if data[:2] == b"MZ":
            return _pe(data)
        if data[:4] == b"\xcf\xfa\xed\xfe":
            return _mach_o(data)
    except (struct.error, IndexError, KeyError, ValueError, StopIteration) as error:
        raise ValueError(f"a shared library that is cut off or of an unknown kind ({error})") from error
    raise ValueError(f"neither ELF nor PE nor Mach-O: it begins with {data[:4].hex()}")


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(0, at)].decode("ascii", "replace")


def _elf(data: bytes) -> LibraryFile:
    wide = data[4] == 2
    machine = struct.unpack_from("<H", data, 18)[0]
    parts_at = struct.unpack_from("<Q" if wide else "<I", data, 32 if wide else 28)[0]
    part_size, count = struct.unpack_from("<HH", data, 54 if wide else 42)
    parts = []  # type, offset, address, bytes in the file
    for i in range(count):
        numbers = struct.unpack_from("<IIQQQQ" if wide else "<IIIII", data, parts_at + i * part_size)
        parts.append((numbers[0], numbers[2], numbers[3], numbers[5]) if wide else (*numbers[:3], numbers[4]))

    def place(address: int) -> int:
        return int(next(a - v + address for kind, a, v, n in parts if kind == _LOAD and v <= address < v + n))

    word = 8 if wide else 4
    tags: list[tuple[int, int]] = []
    for kind, offset, _, size in parts:
        if kind == _DYNAMIC:
            tags += struct.iter_unpack("<QQ" if wide else "<II", data[offset : offset + size // (2 * word) * 2 * word])
    values = dict(tags)
    strings, symbols = place(values[_STRINGS]), place(values[_SYMBOLS])
    exported: set[str] = set()
    needed = {_text(data, strings + value) for tag, value in tags if tag == _NEEDED}
    for i in range(1, struct.unpack_from("<I", data, place(values[_HASH]) + 4)[0]):
        at = symbols + i * (24 if wide else 16)
        name = _text(data, strings + struct.unpack_from("<I", data, at)[0])
        section = struct.unpack_from("<H", data, at + (6 if wide else 14))[0]
        (exported if section else needed).add(name)
    return LibraryFile(
        platform=f"{_ELF_MACHINES[machine]}-linux", exported=frozenset(exported), needed=frozenset(needed)
    )


def _pe(data: bytes) -> LibraryFile:
    head = struct.unpack_from("<I", data, 0x3C)[0]
    machine, sections, optional = struct.unpack_from("<HH12xH", data, head + 4)
    directories = head + 24 + 112
    export, imports = struct.unpack_from("<I", data, directories)[0], struct.unpack_from("<I", data, directories + 8)[0]
    rows = [struct.unpack_from("<IIII", data, head + 24 + optional + 40 * i + 8) for i in range(sections)]

    def place(address: int) -> int:
        return int(next(o - v + address for size, v, stored, o in rows if v <= address < v + max(size, stored)))

    needed = set()
    at = place(imports) if imports else 0
    while imports and (name := struct.unpack_from("<I", data, at + 12)[0]):
        needed.add(_text(data, place(name)))
        at += 20
    exported: set[str] = set()
    if export:
        count = struct.unpack_from("<I", data, place(export) + 24)[0]
        table = place(struct.unpack_from("<I", data, place(export) + 32)[0])
        exported = {_text(data, place(struct.unpack_from("<I", data, table + 4 * i)[0])) for i in range(count)}
    return LibraryFile(
        platform=f"{_PE_MACHINES[machine]}-windows", exported=frozenset(exported), needed=frozenset(needed)
    )


def _mach_o(data: bytes) -> LibraryFile:
    machine, commands = struct.unpack_from("<4xI8xI", data)
    at, exported, needed, signed = 32, set(), set(), False
    for _ in range(commands):
        kind, size = struct.unpack_from("<II", data, at)
        if kind == _SYMBOL_TABLE:
            symbols, count, strings = struct.unpack_from("<III", data, at + 8)
            for i in range(count):
                name, flags, section = struct.unpack_from("<IBB", data, symbols + 16 * i)
                if flags & 0x01 and not flags & 0x10 and section:  # external, not private, defined
                    exported.add(_text(data, strings + name).removeprefix("_"))
        exported -= _MACH_O_OWN
        if kind == _LOAD_LIBRARY:
            needed.add(_text(data, at + struct.unpack_from("<I", data, at + 8)[0]))
        signed = signed or kind == _SIGNATURE
        at += size
    if not signed and machine == 0x0100000C:
        raise ValueError("it has no code signature, but macOS on Apple's processors requires one")
    return LibraryFile(
        platform=f"{_MACH_O_MACHINES[machine]}-macos", exported=frozenset(exported), needed=frozenset(needed)
    )
