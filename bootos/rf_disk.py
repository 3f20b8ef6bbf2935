"""rf-exec's view of block devices: which one has this serial or WWN, who uses it, is it that one when open.

Not a program: a part of the one file that is installed as rf-exec (`bootos.one_file`).
"""
# ruff: noqa: PTH110, PTH119, PTH208 - see rf_records

from __future__ import annotations

import contextlib
import os
import re
from typing import NamedTuple

from bootos.rf_records import EXIT_DISK, EXIT_USAGE, Refused, System, read, read_bytes

SECTOR_BYTES = 512
MD_UUID = r"md-uuid:[0-9a-fA-F]{8}(?::[0-9a-fA-F]{8}){3}"
# What firmware and bridges report when they know no serial; two disks may well share it.
NO_IDENTITY = r"0*|[fF]+|x+|(?i:none|unknown|default|n/a|not specified|to be filled by o\.e\.m\.)"


class Disk(NamedTuple):
    """A verified disk and the descriptor it was verified on."""

    name: str
    path: str
    fd: int
    identity: str


def identities(system: System, number: str) -> tuple[set[str], set[str]]:
    """Serials and WWNs of a block device by its number: from sysfs, VPD page 80 and udev's database."""
    base = f"{system.sys}/dev/block/{number}"
    serials = {read(f"{base}/serial"), read(f"{base}/device/serial")}
    # VPD page 80h: four bytes of header, then the serial (SPC-4 7.8.15)
    serials.add(read_bytes(f"{base}/device/vpd_pg80")[4:].decode(errors="replace").strip("\0 "))
    wwns = {read(f"{base}/wwid"), read(f"{base}/device/wwid")}
    for line in read(f"{system.udev}/b{number}").splitlines():
        key, _, value = line.removeprefix("E:").partition("=")
        if key in {"ID_SERIAL_SHORT", "ID_SCSI_SERIAL"}:
            serials.add(value.strip())
        if key in {"ID_WWN", "ID_WWN_WITH_EXTENSION"}:
            wwns.add(value)
        if key == "MD_UUID":
            serials.add(f"md-uuid:{value}")
    return {text for text in serials if text}, {plain_wwn(text) for text in wwns if text}


def plain_wwn(text: str) -> str:
    """One spelling for 0x5000c5…, naa.5000c5…, wwn-0x5000c5…, eui.0025…."""
    return re.sub(r"^(wwn-)?(0x|naa\.|eui\.|nvme\.)?", "", text.strip().lower())


def split_wish(wish: str) -> tuple[str, int | None]:
    """IDENTITY[:SIZE_BYTES]; the colons of an md-uuid belong to it."""
    found = re.fullmatch(rf"({MD_UUID}|.+?)(?::(\d+))?", wish.strip())
    if not found or re.fullmatch(NO_IDENTITY, found.group(1).strip()):
        raise Refused(EXIT_DISK, "an empty or placeholder identity names no disk", asked=wish)
    return found.group(1).strip(), int(found.group(2)) if found.group(2) else None


def whole_disks(system: System) -> dict[str, str]:
    """Name -> device number of the block devices that can be a target: no loop, RAM or optical devices."""
    names = (
        name
        for name in sorted(os.listdir(f"{system.sys}/block"))
        if not re.match(r"loop|ram|zram|sr|fd", name)
    )
    return {name: read(f"{system.sys}/block/{name}/dev") for name in names}


def is_called(system: System, number: str, identity: str) -> bool:
    """Whether the device of this number has this serial or WWN."""
    serials, wwns = identities(system, number)
    if identity.startswith("md-uuid:"):
        identity = identity.lower()
    return identity in serials or plain_wwn(identity) in wwns


def users_of(system: System, name: str, number: str) -> list[str]:
    """Who uses the disk or a part of it: holders (md, dm), mounts, swap."""
    base = f"{system.sys}/block/{name}"
    parts = [part for part in sorted(os.listdir(base)) if os.path.exists(f"{base}/{part}/partition")]
    used = []
    numbers = {number: name}
    for part in parts:
        numbers[read(f"{base}/{part}/dev")] = part
    for folder in (base, *(f"{base}/{part}" for part in parts)):
        with contextlib.suppress(FileNotFoundError):
            used += [
                f"{os.path.basename(folder)} is held by {holder}"
                for holder in os.listdir(f"{folder}/holders")
            ]
    for line in read(f"{system.proc}/self/mountinfo").splitlines():
        fields = line.split()
        if fields[2] in numbers:
            used.append(f"{numbers[fields[2]]} is mounted on {fields[4]}")
    for line in read(f"{system.proc}/swaps").splitlines()[1:]:
        device = os.path.basename(line.split()[0])
        if device in numbers.values():
            used.append(f"{device} is swap")
    return used


def open_disk(system: System, wish: str) -> Disk:
    """Find, open and verify one disk; a Refused names what was found instead."""
    identity, size_bytes = split_wish(wish)
    disks = whole_disks(system)
    found = [name for name, number in disks.items() if is_called(system, number, identity)]
    seen = {name: sorted(set().union(*identities(system, number))) for name, number in disks.items()}
    if len(found) != 1:
        what = "no disk" if not found else "more than one disk"
        raise Refused(EXIT_DISK, f"{what} has this identity", asked=identity, matches=found, found=seen)
    name = found[0]
    path = f"{system.dev}/{name}"
    used = users_of(system, name, disks[name])
    if used:
        raise Refused(EXIT_DISK, f"{path} is in use", asked=identity, users=used)
    try:
        fd = os.open(path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(
            EXIT_DISK, f"{path} does not open exclusively: {error.strerror}", asked=identity
        ) from None
    number = system.device_number(fd)
    got_bytes = int(read(f"{system.sys}/dev/block/{number}/size") or 0) * SECTOR_BYTES
    if not is_called(system, number, identity) or (size_bytes is not None and got_bytes != size_bytes):
        os.close(fd)
        facts = {"asked": identity, "asked_bytes": size_bytes, "got_bytes": got_bytes}
        got = sorted(set().union(*identities(system, number)))
        raise Refused(EXIT_DISK, f"{path} is not the disk asked for", got=got, **facts)
    return Disk(name, path, fd, identity)


def fill_in(system: System, argv: list[str], disks: list[Disk]) -> list[str]:
    """Replace {diskN} and {diskN:pM} by device paths."""
    filled = []
    for element in argv:
        found = re.fullmatch(r"\{disk(\d+)(?::p(\d+))?\}", element)
        if not found:
            filled.append(element)
            continue
        if int(found.group(1)) >= len(disks):
            raise Refused(
                EXIT_USAGE, f"{element} in the command, but {len(disks)} disks were given by --disk"
            )
        disk = disks[int(found.group(1))]
        if found.group(2) is None:
            filled.append(disk.path)
            continue
        base = f"{system.sys}/block/{disk.name}"
        names = [part for part in os.listdir(base) if read(f"{base}/{part}/partition") == found.group(2)]
        if not names:
            raise Refused(EXIT_DISK, f"{disk.path} has no partition {found.group(2)}", asked=element)
        filled.append(f"{system.dev}/{names[0]}")
    return filled
