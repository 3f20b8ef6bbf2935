"""What the builder reads of ELF files without binutils: the libraries asked for, and where a table lies.

Only what the closure of the boot OS needs: 64-bit little-endian files. Layout: System V gABI, ch. 4 and 5.
"""

import struct
from pathlib import Path

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM = struct.Struct("<IIQQQQQQ")
_DYNAMIC = struct.Struct("<qQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SHT_DYNSYM = 11
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NEEDED, _DT_STRTAB = 1, 5


def needed_libraries(path: Path) -> list[str]:
    """Sonames in DT_NEEDED; [] for a file that is not ELF or has no dynamic section."""
    data = path.read_bytes()
    if data[:4] != b"\x7fELF":
        return []
    if data[4:6] != b"\x02\x01":
        raise ValueError(
            f"{path}: expected a 64-bit little-endian ELF file, got class/data {data[4:6].hex()}"
        )
    header = _HEADER.unpack_from(data)
    offset, entry_bytes, count = header[5], header[9], header[10]
    programs = [_PROGRAM.unpack_from(data, offset + index * entry_bytes) for index in range(count)]
    dynamic = next(((entry[2], entry[5]) for entry in programs if entry[0] == _PT_DYNAMIC), None)
    if dynamic is None:
        return []
    start, size = dynamic
    tags = [_DYNAMIC.unpack_from(data, start + at) for at in range(0, size, _DYNAMIC.size)]
    table = next((value for tag, value in tags if tag == _DT_STRTAB), None)
    if table is None:
        return []
    strings = _file_offset(programs, table)
    names = (strings + value for tag, value in tags if tag == _DT_NEEDED)
    return [data[at : data.index(b"\0", at)].decode() for at in names]


def data_symbol(path: Path, *, prefix: str) -> tuple[int, int]:
    """Where in the file the largest exported object of this name begins, and its size."""
    data = path.read_bytes()
    header = _HEADER.unpack_from(data)
    sections = [_SECTION.unpack_from(data, header[6] + index * header[11]) for index in range(header[12])]
    programs = [_PROGRAM.unpack_from(data, header[5] + index * header[9]) for index in range(header[10])]
    found = []
    for section in sections:
        if section[1] != _SHT_DYNSYM:
            continue
        strings = sections[section[6]][4]
        for at in range(section[4], section[4] + section[5], _SYMBOL.size):
            name, _info, _other, _index, value, size = _SYMBOL.unpack_from(data, at)
            text = data[strings + name : data.index(b"\0", strings + name)].decode()
            if text.startswith(prefix) and size:
                found.append((size, _file_offset(programs, value)))
    if not found:
        raise ValueError(f"{path} exports no object named {prefix}*")
    size, offset = max(found)
    return offset, size


def _file_offset(programs: list[tuple[int, ...]], address: int) -> int:
    """Where a virtual address lies in the file, by the PT_LOAD segment that maps it."""
    for kind, _flags, offset, virtual, _physical, file_bytes, _memory, _align in programs:
        if kind == _PT_LOAD and virtual <= address < virtual + file_bytes:
            return offset + address - virtual
    raise ValueError(f"no PT_LOAD segment maps address {address:#x}")
