"""`mdadm --detail --export` (KEY=value lines, for udev) and the ARRAY lines of `--scan` and `--brief`."""

import re
import shlex
from collections.abc import Iterator
from typing import Final

from metal.drivers.raid.md_array import TOOL, MdArray, MdMember, MemberState, level_of
from metal.drivers.tool_text import Line, number, size_bytes, unparsable

PAIR = re.compile(r"^(MD_\w+)=(.*)$")
ARRAY = re.compile(r"^(INACTIVE-)?ARRAY\s")
_ROLE = re.compile(r"^MD_DEVICE_(\S+)_ROLE=(\S+)$", re.MULTILINE)
_FIRST: Final = ("MD_LEVEL", "MD_METADATA", "MD_STARTED")
"""An export begins with one of these, so that a second one means the next array."""


def device_roles(text: str) -> tuple[tuple[str, str], ...]:
    """Device and role of the `MD_DEVICE_dev_sda1_ROLE=0` lines; the kernel's name, without /dev/.

    The name is made of the device node's: `_dev_sda`, `dev_sda` or `sda`, by mdadm version.
    """
    return tuple(
        (match[1].removeprefix("_").removeprefix("dev_"), match[2]) for match in _ROLE.finditer(text)
    )


def read_exports(lines: tuple[Line, ...]) -> Iterator[MdArray]:
    """All arrays that are exported one after the other."""
    current: list[Line] = []
    seen: set[str] = set()
    for line in lines:
        key = line.words.partition("=")[0]
        if current and key in seen and key in _FIRST:
            yield _export(current)
            current, seen = [], set()
        current.append(line)
        seen.add(key)
    if current:
        yield _export(current)


def _export(lines: list[Line]) -> MdArray:
    values = {match[1]: match[2] for line in lines if (match := PAIR.match(line.words))}
    if "MD_UUID" not in values and "MD_LEVEL" not in values:
        raise unparsable(TOOL, lines[-1], "MD_LEVEL or MD_UUID of an exported array")
    name = values.get("MD_DEVNAME")
    return MdArray(
        device=f"/dev/md/{name.removeprefix('/dev/md/')}" if name else None,
        level=level_of(values.get("MD_LEVEL")),
        state="migrating" if values.get("MD_RESHAPE_ACTIVE") == "True" else None,
        size_bytes=size_bytes(values.get("MD_ARRAY_SIZE")),
        uuid=values.get("MD_UUID") or None,
        name=values.get("MD_NAME") or None,
        metadata=values.get("MD_METADATA") or None,
        raid_devices=number(values.get("MD_DEVICES")),
        members=tuple(_member(kname, role) for kname, role in device_roles(_joined(lines))),
    )


def _joined(lines: list[Line]) -> str:
    return "\n".join(line.words for line in lines)


def _member(kname: str, role: str) -> MdMember:
    states: dict[str, MemberState] = {"spare": "spare", "journal": "active", "faulty": "failed"}
    return MdMember(
        f"/dev/{kname}",
        role=int(role) if role.isdigit() and len(role) < 10 else None,
        state="active" if role.isdigit() else states.get(role),
    )


def read_array_line(lines: tuple[Line, ...]) -> MdArray:
    """`ARRAY /dev/md0 level=raid1 num-devices=2 UUID=…`, with the indented lines that follow it."""
    try:
        words = shlex.split(" ".join(line.words for line in lines))
    except ValueError:
        raise unparsable(TOOL, lines[0], "an ARRAY line with its quotes closed") from None
    pairs = dict(word.split("=", 1) for word in words[1:] if "=" in word)
    values = {key.lower(): value for key, value in pairs.items()}
    if "uuid" not in values:
        raise unparsable(TOOL, lines[0], "UUID= of an ARRAY line")
    device = next((word for word in words[1:2] if "=" not in word), None)
    return MdArray(
        device=device if device is None or device.startswith("/") else f"/dev/md/{device}",
        level=level_of(values.get("level")),
        state="offline" if words[0].startswith("INACTIVE") else None,
        uuid=values["uuid"] or None,
        name=values.get("name") or None,
        metadata=values.get("metadata") or None,
        raid_devices=number(values.get("num-devices")),
        spare=number(values.get("spares")),
        members=tuple(MdMember(path) for path in values.get("devices", "").split(",") if path),
    )
