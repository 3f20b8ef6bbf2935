"""`add vd`: one volume, several in a group, or one for each drive.

storcli's errors are a description and a row of code and description; storcli2's are a row of their own kind,
or only a description. Codes are those of the firmware (11 resource conflict, 13 drive too small, 84 preserved
cache) where captures and runbooks show them; 38 is what MegaCli prints for the same words, and texts of code
255 are not from a capture.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from lab.raid import model
from lab.raid.model import Controller, Drive, Effect, Refusal
from lab.raid.storcli.answer import Answer, Dialect, Row, Table
from lab.raid.storcli.request import Malformed, Request, places_of

_LEVEL: Final = re.compile(r"(?:type=)?r(?:aid)?\s?(00|10|50|60|0|1|5|6)")
_SIZE: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*(kb|mb|gb|tb|kib|mib|gib|tib)?")
_SCALE: Final = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_FLAGS: Final = frozenset(
    {"wt", "wb", "awb", "ra", "nora", "adra", "direct", "cached", "sed", "pi", "unmap", "force", "cachevd",
     "cachedbadbbu", "nocachedbadbbu", "exclusiveaccess"}
)  # fmt: skip
_OPTIONS: Final = frozenset(
    {"size", "name", "names", "drives", "pdperarray", "strip", "spares", "aftervd", "pdcache", "ds",
     "dimmerswitch", "emulationtype", "cbsize", "cbmode", "type"}
)  # fmt: skip
NAME_CHARACTERS: Final = 15
MOST_SPANS: Final = 8
_SPANNED: Final = ("raid00", "raid10", "raid50", "raid60")

ERRORS: Final[Mapping[str, tuple[int, str]]] = {
    "foreign": (11, "resources already in use"),
    "drive-twice": (11, "resources already in use"),
    "spun-down": (38, "physical disk does not have appropriate attributes"),
    "mixed-kinds": (38, "physical disk does not have appropriate attributes"),
    "drive-state": (38, "physical disk does not have appropriate attributes"),
    "in-use": (13, "disk doesn't have enough capacity"),
    "space": (13, "disk doesn't have enough capacity"),
    "preserved-cache": (84, "controller has data in cache for offline or missing virtual disks"),
    "no-drive": (255, "Drive not found"),
    "no-volume": (255, "Invalid VD number"),
    "level": (255, "RAID level is not supported"),
    "drive-count": (255, "Number of drives is not valid for the RAID level"),
    "spans": (255, "PDperArray is not valid"),
    "strip": (255, "Strip size is not supported"),
    "name": (255, "VD name is longer than 15 characters"),
    "too-many-volumes": (255, "Maximum number of VDs is reached"),
}
_NO_SPACE: Final = "No freespace available to create VD."
"""storcli2's words where the drives are in use, without a row."""


@dataclass(frozen=True)
class _Asked:
    """One line, read."""

    level: str
    sizes: tuple[int | None, ...]
    names: tuple[str, ...]
    drives: tuple[tuple[int | None, int], ...] | None
    spares: tuple[tuple[int | None, int], ...]
    each: bool
    per_span: int | None
    strip_bytes: int | None
    write_cache: Literal["back", "through"]
    read_cache: Literal["ahead", "none"]


def add_volumes(request: Request, dialect: Dialect, one: Controller, index: int) -> Answer:
    """Make what is asked; a line that makes several stops at the first that can't be made."""
    asked = _read(request, dialect)
    made: list[model.Volume] = []
    effects: list[Effect] = []
    try:
        for drives, name, size in _jobs(asked, one):
            volume, seen = _make(asked, one, drives, name, size)
            made.append(volume)
            effects += seen
    except Refusal as refusal:
        return _failed(refusal, dialect, index, effects)
    if dialect.second:
        rows: list[Row] = [
            {"VDID": volume.id, "VDSize": dialect.size(volume.size_bytes), "Status": "Success",
             "ErrType": "-", "ErrCd": "-", "Msg": "-"}
            for volume in made
        ]  # fmt: skip
        parts = [Table("VD Information", rows)]
        return Answer(index, "Add VD succeeded.", parts=parts, effects=effects, takes_s=3)
    return Answer(index, "Add VD Succeeded.", effects=effects, takes_s=3)


def _failed(refusal: Refusal, dialect: Dialect, index: int, effects: list[Effect]) -> Answer:
    code, text = ERRORS.get(refusal.code, (3, "invalid parameter"))
    if not dialect.second:
        row: Row = {"VD": "0 KB", "ErrCd": code, "Status": "Failed", "Description": text}
        return Answer(index, text, ok=False, code=code, rows=[row], effects=effects)
    if refusal.code in ("in-use", "space", "drive-state"):
        return Answer(index, _NO_SPACE, ok=False, effects=effects)
    row = {"VDID": "-", "VDSize": "-", "Status": "Failure", "ErrType": "DCMD", "ErrCd": code, "Msg": text}
    return Answer(index, "Add VD failed.", ok=False, parts=[Table("VD Information", [row])], effects=effects)


def _read(request: Request, dialect: Dialect) -> _Asked:
    """Raises Malformed."""
    words, raw = request.words[2:], request.raw[2:]
    each = bool(words) and words[0] == "each"
    words, raw = (words[1:], raw[1:]) if each else (words, raw)
    level = _LEVEL.fullmatch(words[0]) if words else None
    if level is None:
        raise Malformed("unexpected $end" if not words else "unexpected TOKEN_UNKNOWN, expecting TOKEN_TYPE")
    if dialect.second and words[0].startswith("type="):
        raise Malformed("unexpected TOKEN_TYPE, expecting TOKEN_RAID_LEVEL or TOKEN_EACH")
    options: dict[str, str] = {}
    flags: set[str] = set()
    for plain, word in zip(words[1:], raw[1:], strict=True):
        key, found, value = word.partition("=")
        if found and key.lower() in _OPTIONS and key.lower() not in options and value:
            options[key.lower()] = value
        elif not found and plain in _FLAGS:
            flags.add(plain)
        else:
            raise Malformed("unexpected TOKEN_UNKNOWN")
    drives = options.get("drives", "all" if each else "")
    if not drives:
        raise Malformed("unexpected $end, expecting TOKEN_DRIVES")
    names = options.get("name", options.get("names", ""))
    return _Asked(
        level=f"raid{level[1]}",
        sizes=tuple(map(_size, options.get("size", "all").lower().split(","))),
        names=tuple(names.split(",")),
        drives=None if drives.lower() == "all" else places_of(drives),
        spares=places_of(options["spares"]) if "spares" in options else (),
        each=each,
        per_span=_number(options.get("pdperarray")),
        strip_bytes=(_number(options.get("strip")) or 0) << 10 or None,
        write_cache="through" if "wt" in flags else "back",
        read_cache="none" if "nora" in flags else "ahead",
    )


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 5:
        raise Malformed(f"unexpected {text}, expecting TOKEN_NUMBER")
    return int(text)


def _size(text: str) -> int | None:
    if text in ("all", "remaining"):
        return None
    match = _SIZE.fullmatch(text)
    if match is None:
        raise Malformed("unexpected TOKEN_UNKNOWN, expecting TOKEN_SIZE")
    return int(float(match[1]) * _SCALE[(match[2] or "mb")[0]])


def _jobs(asked: _Asked, one: Controller) -> list[tuple[list[Drive], str, int | None]]:
    """The drives, name and size of each volume. Raises Refusal."""
    if asked.drives is None:
        drives = [drive for drive in one.drives if drive.condition == "good" and not drive.foreign]
    else:
        drives = [model.drive_at(one, enclosure, slot) for enclosure, slot in asked.drives]
    if not asked.each:
        names = (*asked.names, *("" for _ in asked.sizes))
        return [(drives, names[n], size) for n, size in enumerate(asked.sizes)]
    names = (*asked.names, *("" for _ in drives))
    return [([drive], names[n], None) for n, drive in enumerate(drives)]


def _make(
    asked: _Asked, one: Controller, drives: Sequence[Drive], name: str, size: int | None
) -> tuple[model.Volume, list[Effect]]:
    if asked.level not in model.LEAST:
        raise Refusal("level", asked.level)
    if len(name) > NAME_CHARACTERS:
        raise Refusal("name", name)
    if one.pinned:
        raise Refusal("preserved-cache")
    if asked.level == "raid1" and len(drives) > 2:
        # Firmware makes mirrored pairs of them under the same name; the model knows that as RAID10.
        raise Refusal("drive-count", f"raid1 {len(drives)}")
    spans = _spans(asked, len(drives))
    spares = [model.drive_at(one, enclosure, slot) for enclosure, slot in asked.spares]
    group = _shared_group(one, drives)
    if group is None:
        return model.create(
            one, asked.level, drives, name=name, size_bytes=size, strip_bytes=asked.strip_bytes, spans=spans,
            spares=spares, write_cache=asked.write_cache, read_cache=asked.read_cache,
        )  # fmt: skip
    first = next(volume for volume in one.volumes if volume.group == group)
    if (first.level, first.spans) != (asked.level, spans):
        raise Refusal("in-use")
    made = model.create_in(
        one, group, asked.level, name=name, size_bytes=size, strip_bytes=asked.strip_bytes, spans=spans,
        write_cache=asked.write_cache, read_cache=asked.read_cache,
    )  # fmt: skip
    for spare in spares:
        model.set_spare(spare, group)
    return made


def _spans(asked: _Asked, count: int) -> int:
    """A RAID10 without a word is made of pairs; the other spanned levels must be told."""
    if asked.level not in _SPANNED:
        return 1
    each = asked.per_span or (2 if asked.level == "raid10" else 0)
    if not each or count % each or not 2 <= count // each <= MOST_SPANS:
        raise Refusal("spans", f"{count} {each}")
    if asked.level == "raid10" and each % 2:
        raise Refusal("spans", f"{count} {each}")
    return count // each


def _shared_group(one: Controller, drives: Sequence[Drive]) -> int | None:
    """The group that is made of just these drives; None where they are free. Raises Refusal `in-use`."""
    groups = {drive.group for drive in drives if drive.condition in ("online", "rebuilding")}
    if not groups:
        return None
    group = groups.pop()
    if groups or group is None or {id(d) for d in model.members(one, group)} != {id(d) for d in drives}:
        raise Refusal("in-use")
    if any(drive.condition != "online" for drive in drives):
        raise Refusal("in-use")
    return group
