"""LVM in an image: which group lies on a partition, and where each of its volumes begins. Pure parsing.

The label in one of the first four sectors leads to the metadata area, which holds the group as text
(lvm2, lib/format_text/layout.h and man lvm.conf(5) for the form of the text).
"""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

Reader = Callable[[int, int], bytes]

SIGNATURE: Final = "LVM2_member"
"""How blkid calls a partition that LVM uses."""
SECTOR_BYTES: Final = 512
_MDA_MAGIC: Final = b" LVM2 x[5A%r0N*>"
_MDA_HEADER_BYTES: Final = 512
_TEXT_MAX_BYTES: Final = 1 << 20
_AREAS_MAX: Final = 8
_DEPTH_MAX: Final = 8
_ID_GROUPS: Final = (6, 4, 4, 4, 4, 4, 6)
_TOKEN: Final = re.compile(r'#[^\n]*|"(?:[^"\\]|\\.)*"|[\w.+-]+|[{}\[\]=,]')


@dataclass(frozen=True, slots=True)
class Header:
    """What the label says of its partition: its id, and where metadata stands."""

    uuid: str
    areas: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class ImageVolume:
    """A logical volume; without `start_bytes` it is not one plain piece of this partition."""

    name: str
    uuid: str
    extents: int
    linear: bool
    start_bytes: int | None


@dataclass(frozen=True, slots=True)
class ImageGroup:
    """A volume group as the metadata on one partition of the image tells it."""

    name: str
    uuid: str
    pv_uuid: str
    extent_bytes: int
    first_extent_bytes: int
    """Where extents begin, from the start of the partition."""
    partitions: int
    areas: int
    volumes: tuple[ImageVolume, ...]
    closed: str | None = None
    """Why no other system than the one that made it opens it."""


def header(read: Reader, start: int) -> Header | None:
    """The label of a partition that starts here; None where it bears none."""
    head = read(start, 4 * SECTOR_BYTES)
    for sector in range(len(head) // SECTOR_BYTES):
        label = head[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES]
        if label[:8] == b"LABELONE" and label[24:32] == b"LVM2 001":
            offset = struct.unpack_from("<I", label, 20)[0]
            return _header(label[offset:]) if offset <= SECTOR_BYTES - 40 else None
    return None


def _header(raw: bytes) -> Header | None:
    text = raw[:32].decode("ascii", "replace")
    if not text.isalnum():
        return None
    places = [sum(_ID_GROUPS[:n]) for n in range(len(_ID_GROUPS) + 1)]
    uuid = "-".join(text[a:b] for a, b in pairwise(places))
    lists: list[list[tuple[int, int]]] = [[], []]
    at = 40
    for found in lists:  # data areas, then metadata areas, each ended by zeros
        while at + 16 <= len(raw):
            area = struct.unpack_from("<QQ", raw, at)
            at += 16
            if not area[0]:
                break
            found.append(area)
    return Header(uuid, tuple(lists[1][:_AREAS_MAX]))


def group(read: Reader, start: int) -> ImageGroup | None:
    """The group on a partition that starts here; None where there is none, or one that cannot be read."""
    found = header(read, start)
    if found is None or not found.areas:
        return None
    text = _metadata(read, start, *found.areas[0])
    try:
        return _group(parse(text), found, start) if text else None
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def _metadata(read: Reader, start: int, offset: int, size: int) -> str | None:
    """The committed text; the area is a ring behind its header."""
    head = read(start + offset, _MDA_HEADER_BYTES)
    if len(head) < _MDA_HEADER_BYTES or head[4:20] != _MDA_MAGIC:
        return None
    at, length = struct.unpack_from("<QQ", head, 40)
    if not length or length > _TEXT_MAX_BYTES or not _MDA_HEADER_BYTES <= at < size:
        return None
    first = min(length, size - at)
    raw = read(start + offset + at, first)
    raw += read(start + offset + _MDA_HEADER_BYTES, length - first) if first < length else b""
    return raw.split(b"\0")[0].decode("utf-8", "replace")


def _group(parsed: dict[str, Any], found: Header, start: int) -> ImageGroup:
    name, told = next((key, value) for key, value in parsed.items() if isinstance(value, dict))
    plain = found.uuid.replace("-", "")
    own = [key for key, one in told["physical_volumes"].items() if str(one["id"]).replace("-", "") == plain]
    extent_bytes = int(told["extent_size"]) * SECTOR_BYTES
    first = int(told["physical_volumes"][own[0]]["pe_start"]) * SECTOR_BYTES
    base = start + first
    volumes = told.get("logical_volumes", {})
    return ImageGroup(
        name=name,
        uuid=str(told["id"]),
        pv_uuid=found.uuid,
        extent_bytes=extent_bytes,
        first_extent_bytes=first,
        partitions=len(told["physical_volumes"]),
        areas=len(found.areas),
        volumes=tuple(_volume(key, one, own[0], base, extent_bytes) for key, one in volumes.items()),
        closed=_closed(told),
    )


def _closed(told: dict[str, Any]) -> str | None:
    """What keeps LVM of another machine from a group (lvmsystemid(7), lvmlockd(8), vgexport(8))."""
    if told.get("system_id"):
        return f"it belongs to the system {str(told['system_id'])[:80]}"
    if told.get("lock_type") not in (None, "none"):
        return f"it is shared by locks of {str(told['lock_type'])[:80]}"
    return "it is exported" if "EXPORTED" in told.get("status", ()) else None


def _volume(name: str, told: dict[str, Any], pv: str, base: int, extent_bytes: int) -> ImageVolume:
    segments = [one for one in told.values() if isinstance(one, dict)]
    linear = all(one["type"] == "striped" and int(one.get("stripe_count", 1)) == 1 for one in segments)
    extents = sum(int(one["extent_count"]) for one in segments)
    stripes = segments[0]["stripes"] if linear and segments else []
    plain = linear and len(segments) == 1 and stripes[0] == pv
    start = base + int(stripes[1]) * extent_bytes if plain else None
    return ImageVolume(name, str(told["id"]), extents, linear, start)


def parse(text: str) -> dict[str, Any]:
    """LVM's text as nested values. Raises ValueError where it is none."""
    words = iter(word for word in _TOKEN.findall(text) if not word.startswith("#"))
    return _section(words, 0)


def _section(words: Iterator[str], depth: int) -> dict[str, Any]:
    if depth > _DEPTH_MAX:
        raise ValueError("sections within sections without end")
    found: dict[str, Any] = {}
    for name in words:
        if name == "}":
            return found
        sign = next(words, "")
        if sign == "{":
            found[name] = _section(words, depth + 1)
        elif sign == "=":
            found[name] = _value(words)
        else:
            raise ValueError(f"expected a section or a value behind {name!r}")
    if depth:
        raise ValueError("a section without its end")
    return found


def _value(words: Iterator[str]) -> Any:
    first = next(words, "")
    if first != "[":
        return _plain(first)
    values: list[Any] = []
    for word in words:
        if word == "]":
            return values
        if word != ",":
            values.append(_plain(word))
    raise ValueError("a list without its end")


def _plain(word: str) -> str | int:
    if word.startswith('"'):
        return word[1:-1]
    return int(word) if re.fullmatch(r"-?\d{1,19}", word) else word
